"""Plans: the order of expected gain within the budget, and honest expectations of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.predictor.test_predictor import past, table_of
from transfercast.core.errors import InputError
from transfercast.core.plan import Budget, Plan
from transfercast.core.records import ALONE, Recipe
from transfercast.core.table import FeatureTable, Provenance, TargetFacts
from transfercast.planning.cost import hours_of
from transfercast.planning.order import plan
from transfercast.planning.stop import expected_best
from transfercast.predictor.model import Predictor

FACTS = TargetFacts(fingerprint="", metric="positive_f1", train_rows=360, score=0.5, seconds_per_row_epoch=1.0)


def table(targets=("t0", "t1"), facts=FACTS):
    import pandas as pd

    parts = [table_of(past(), target) for target in targets]
    frame = pd.concat([part.frame for part in parts])
    return FeatureTable(frame, parts[0].schema, Provenance(targets=dict.fromkeys(targets, facts)))


def test_the_baseline_of_each_target_comes_first_and_then_the_best_forecast():
    made = plan(Predictor.load(), table(), Budget(trials=4))
    assert [step.source for step in made.steps[:2]] == [ALONE, ALONE]
    assert len(made.steps) == 6
    for target in made.targets:
        scores = [step.score for step in made.steps if step.target == target and step.source != ALONE]
        assert scores == sorted(scores, reverse=True)
    assert [step.position for step in made.steps] == list(range(6))


def test_a_budget_is_kept_for_each_target_or_over_all():
    for per, expected in (("target", 6), ("total", 3)):
        made = plan(Predictor.load(), table(), Budget(trials=3, per=per))
        assert sum(step.source != ALONE for step in made.steps) == expected


def test_hours_are_kept_with_the_baseline_s_in_them():
    # 360 rows x 4 epochs x 1 s = 0.4 h a training (the default recipe has 3 epochs: 0.3 h)
    made = plan(Predictor.load(), table(), Budget(hours=1.0))
    assert made.hours <= 1.0
    assert made.hours == pytest.approx(0.3 * len(made.steps))
    with pytest.raises(InputError, match=r"buys no training: the first would take 0.6 hours"):
        plan(Predictor.load(), table(), Budget(hours=0.5))


def test_a_budget_larger_than_all_candidates_runs_them_once():
    made = plan(Predictor.load(), table(), Budget(trials=99))
    assert len({(step.source, step.target) for step in made.steps}) == len(made.steps) == 12
    assert made.regret_left == pytest.approx(0, abs=0.005)


def test_cheap_recipes_come_first_by_the_hour():
    recipes = [Recipe(epochs=30), Recipe(epochs=1)]
    made = plan(Predictor.load(), table(("t0",)).with_recipes(recipes), Budget(hours=8.0))
    assert Recipe.parse(made.steps[1].recipe).epochs == 1


@pytest.mark.parametrize("alone", [0.5, 0.97])
def test_expectations_rise_but_not_above_what_the_metric_allows(alone):
    facts = FACTS.model_copy(update={"score": alone})
    made = plan(Predictor.load(), table(("t0",), facts), Budget(trials=5))
    best = [step.expected_best for step in made.steps]
    assert best == sorted(best)
    assert best[-1] <= 1
    assert made.stop_after <= 5
    assert made.regret_left >= 0


def test_the_same_inputs_give_the_same_plan_and_it_is_read_back(tmp_path):
    one, two = (plan(Predictor.load(), table(), Budget(trials=3)) for _ in range(2))
    assert one == two
    assert one.id != plan(Predictor.load(), table(), Budget(trials=4)).id
    one.save(tmp_path / "plan.json")
    assert Plan.load(tmp_path / "plan.json") == one
    assert "No history yet" in str(one)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_the_expected_best_is_the_mean_of_simulated_maxima(seed, k):
    rng = np.random.default_rng(seed)
    scores, spreads, start = rng.uniform(0, 1, k), rng.uniform(0.02, 0.2, k), float(rng.uniform(0, 1))
    draws = np.maximum.accumulate(rng.normal(scores, spreads, size=(40_000, k)), axis=1)
    simulated = np.minimum(np.maximum(draws, start), 1).mean(0)
    np.testing.assert_allclose(expected_best(start, scores, spreads, 1.0), simulated, atol=0.006)
    np.testing.assert_allclose(expected_best(-np.inf, scores, spreads, np.inf), draws.mean(0), atol=0.006)


def test_a_frozen_encoder_costs_a_third():
    assert hours_of(FACTS, "features/epochs=3") == pytest.approx(hours_of(FACTS, "full/epochs=3") / 3)
    assert hours_of(None, "full") == 0
