"""Costs follow from hours that were observed, by encoder, rows, recipe and device."""

from __future__ import annotations

import math

import numpy as np
import pytest

from transfercast.core.records import Observation, Recipe
from transfercast.core.table import TargetFacts
from transfercast.planning.cost import RIDGE, Costs, hours_of

FACTS = {
    "t": TargetFacts(fingerprint="", metric="accuracy", train_rows=1000, seconds_per_row_epoch=0.01),
    "u": TargetFacts(fingerprint="", metric="accuracy", train_rows=1000),
}


def observed(target, hours, recipe="full/epochs=4", encoder="e", device="cpu", rows=1000.0, seed=0) -> Observation:
    return Observation(
        source="s", target=target, recipe=recipe, encoder=encoder, seed=seed, metric="accuracy", split="validation", score=0.5,
        hours=hours, features={"target_rows": rows}, device=device,
    )  # fmt: skip


def test_without_a_history_hours_are_those_of_the_target_alone():
    assert Costs(FACTS).hours("t", "full/epochs=4", "e") == hours_of(FACTS["t"], "full/epochs=4", "e")
    assert Costs(FACTS).hours("u", "full/epochs=4", "e") is None
    assert Costs(FACTS, [observed("x", 1.0)]).hours("u", "full/epochs=4", "e") is None  # one training says little


def test_what_was_never_timed_is_priced_by_trainings_of_others():
    history = [observed(f"x{n}", 0.5, seed=n) for n in range(20)]
    assert Costs({"u": FACTS["u"]}, history).hours("u", "full/epochs=4", "e") == pytest.approx(0.5, rel=0.01)
    assert Costs({"u": FACTS["u"]}, history).hours("u", "full/epochs=8", "e") == pytest.approx(1.0, rel=0.01)


def test_an_encoder_that_was_slow_is_expected_to_be():
    history = [observed(f"x{n}", hours, encoder=e, seed=n) for n in range(30) for e, hours in (("small", 0.1), ("large", 1.0))]
    costs = Costs(FACTS, history)
    small, large = (costs.hours("u", "full/epochs=4", encoder) for encoder in ("small", "large"))
    assert large / small == pytest.approx(10, rel=0.1)
    assert small < costs.hours("u", "full/epochs=4", "stranger") < large


def test_frozen_encoders_cost_what_they_took_and_not_a_third():
    history = [
        observed(f"x{n}", hours, recipe=recipe, seed=n)
        for n in range(30)
        for recipe, hours in (("full/epochs=4", 0.4), ("features", 0.01))
    ]
    costs = Costs(FACTS, history)
    assert costs.hours("u", "features", "e") / costs.hours("u", "full/epochs=4", "e") == pytest.approx(1 / 40, rel=0.15)


def test_small_targets_take_longer_a_row_where_they_did():
    history = [observed(f"x{n}", (0.1 + 0.001 * n), rows=10.0 * n, seed=n) for n in range(1, 60)]  # six minutes to begin with
    small, large = (
        Costs({"u": FACTS["u"].model_copy(update={"train_rows": rows})}, history).hours("u", "full/epochs=4", "e") / rows
        for rows in (50, 500)
    )
    assert small > 3 * large


def test_hours_are_for_the_device_of_most_trainings():
    history = [observed(f"x{n}", hours, device=d, seed=n) for n in range(30) for d, hours in (("cpu", 1.0), ("cuda", 0.01))]
    more = [observed(f"y{n}", 0.01, device="cuda", seed=n) for n in range(5)]
    assert Costs(FACTS, [*history, *more]).hours("u", "full/epochs=4", "e") == pytest.approx(0.01, rel=0.15)


def test_a_target_that_was_slow_is_expected_to_be_and_its_speed_alone_counts():
    history = [observed(f"x{n}", 0.01 * 4 * 1000 / 3600, seed=n) for n in range(20)]  # .01 s a row and pass
    slow = {"t": FACTS["t"].model_copy(update={"seconds_per_row_epoch": 0.1})}
    usual, slower = (Costs(facts, history).hours("t", "full/epochs=4", "e") for facts in (FACTS, slow))
    assert 2 * usual < slower < 10 * usual


def test_effects_are_those_of_a_ridge_regression_worked_by_hand():
    # two names that always differ: of log 4 and log 16 seconds, one each and once more, the mean is log 8
    history = [observed("a", 4 / 3600, "full/epochs=1", rows=1.0), observed("b", 16 / 3600, "full/epochs=1", rows=1.0)] * 2
    costs = Costs({}, [*history])
    assert costs._level == pytest.approx(math.log(8))
    assert costs._effects[("target", "a")] == pytest.approx(-math.log(2) * 2 / (2 + RIDGE))
    assert costs._effects[("encoder", "e")] == pytest.approx(0.0)


def test_a_plan_with_a_history_that_timed_trainings_can_be_bought_in_hours():
    assert np.isfinite(Costs(FACTS, [observed("x", 1.0, Recipe().key, seed=n) for n in range(3)]).hours("u", "full", "e"))
