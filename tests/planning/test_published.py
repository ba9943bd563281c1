"""Published models beside a plan: expected from the baseline and what they gained elsewhere, where that is near the best."""

from __future__ import annotations

import pytest

from transfercast.cli.plan import say_published
from transfercast.core.plan import Budget, Plan, Step
from transfercast.core.records import ALONE
from transfercast.core.table import Provenance, TargetFacts
from transfercast.corpus.hub import hub_models
from transfercast.planning.published import NEAR, published_models


def a_plan(best: float, metric: str = "macro_f1", encoder: str = "roberta-base", **facts) -> Plan:
    about = TargetFacts(fingerprint="", metric=metric, train_rows=300, score=0.7, **facts)
    unknown = dict.fromkeys(("lower", "upper", "hours", "expected_best"))
    steps = tuple(
        Step(position=number, source=source, target="t", recipe="full", encoder=encoder, score=score, **unknown)
        for number, (source, score) in enumerate(((ALONE, 0.7), ("s", best)))
    )
    return Plan(
        id="0" * 12, stop_after=None, regret_left=None, steps=steps, budget=Budget(trials=1), predictor="p", basis="",
        candidates=1, columns=(),
        provenance=Provenance(targets={"t": about}, encoder=encoder),
    )  # fmt: skip


def test_a_published_model_is_expected_at_the_baseline_plus_its_gain_elsewhere():
    first = hub_models("roberta-base", most=3)
    found = published_models(a_plan(0.6))
    assert [one.model for one in found] == [one.name for one in sorted(first, key=lambda one: -one.gain)]
    gains = {one.name: one for one in first}
    for one in found:
        assert one.score == pytest.approx(0.7 + gains[one.model].gain)
        assert (one.lower, one.upper) == pytest.approx((0.7 + gains[one.model].low, 0.7 + gains[one.model].high))


def test_models_that_fall_behind_the_plan_s_best_are_not_offered():
    best = max(one.gain for one in hub_models("roberta-base", most=3)) + 0.7
    assert published_models(a_plan(best + NEAR - 1e-6))
    assert not published_models(a_plan(best + NEAR + 1e-6))


def test_for_pairs_of_texts_the_gains_on_pairs_count():
    pairs = published_models(a_plan(0.6, spec={"text_pair": "second"}))
    assert {one.model for one in pairs} == {one.name for one in hub_models("roberta-base", pairs=True, most=3)}


def test_people_are_told_the_model_what_to_expect_and_the_command_that_measures_it(capsys):
    say_published(a_plan(0.6), as_json=False)
    told = " ".join(capsys.readouterr().out.split())
    for model in published_models(a_plan(0.6)):
        assert f"--adopt NAME={model.model} --encoder roberta-base" in told
        assert f"{model.score:.3f} expected" in told


@pytest.mark.parametrize("change", [{"metric": "mcc"}, {"metric": "pearson"}, {"encoder": "all-MiniLM-L6-v2"}])
def test_where_accuracy_says_nothing_or_nothing_is_published_there_are_none(change):
    assert published_models(a_plan(0.6, **change)) == []
