"""Plans: the order of expected gain within the budget, and honest expectations of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import observed, past, table_of
from transfercast.core.errors import InputError
from transfercast.core.plan import Budget, Plan
from transfercast.core.records import ALONE, Observation, Recipe
from transfercast.core.table import FeatureTable, Provenance, TargetFacts
from transfercast.core.trainings import TrainingRecord
from transfercast.history.store import History
from transfercast.planning.cost import hours_of
from transfercast.planning.greedy import Options, chosen
from transfercast.planning.order import plan as plan_of
from transfercast.planning.stop import expected_best
from transfercast.predictor.predictor import Predictor

FACTS = TargetFacts(fingerprint="", metric="positive_f1", train_rows=360, score=0.5, seconds_per_row_epoch=1.0)


def table(targets=("t0", "t1"), facts=FACTS):
    import pandas as pd

    parts = [table_of(past(), target) for target in targets]
    frame = pd.concat([part.frame for part in parts])
    return FeatureTable(frame, parts[0].schema, Provenance(targets=dict.fromkeys(targets, facts)))


@pytest.fixture(scope="module")
def learned():
    return Predictor.of(observed(12), name="learned")


def plan(predictor, some, budget, coverage=0.9, bounds=None, history=None) -> Plan:
    """A plan of a predictor's forecasts."""
    return plan_of(predictor.predict(some, coverage, bounds=bounds, explain=False), some, budget, history=history)


def test_a_forecast_of_other_candidates_is_refused(learned):
    with pytest.raises(InputError, match="other candidates than the table"):
        plan_of(learned.predict(table(("t0",))), table(("t1",)), Budget(trials=1))


def test_a_plan_is_explained_afterwards_with_the_reasons_that_the_forecast_has(learned):
    some = table()
    made, whole = plan(learned, some, Budget(trials=4)), learned.predict(some)
    explained = learned.explained(made, some)
    assert not any(step.why for step in made.steps)
    rows = {candidate: row for row, candidate in enumerate(whole.candidates)}
    for step in explained.steps[2:]:
        row = rows[(step.source, step.target, step.recipe)]
        assert step.why == pytest.approx(dict(zip(whole.groups, whole.why[row].tolist(), strict=True)))
    assert explained.model_copy(update={"steps": made.steps}) == made


def test_the_baseline_of_each_target_comes_first_and_then_the_best_forecast(learned):
    made = plan(learned, table(), Budget(trials=4))
    assert [step.source for step in made.steps[:2]] == [ALONE, ALONE]
    assert len(made.steps) == 6
    for target in made.targets:
        scores = [step.score for step in made.steps if step.target == target and step.source != ALONE]
        assert scores == sorted(scores, reverse=True)
    assert [step.position for step in made.steps] == list(range(6))


def test_without_evidence_a_plan_is_an_order_without_scores_and_says_what_would_change_it(tmp_path):
    some = table()
    made = plan(Predictor(), some, Budget(trials=10))
    forecast = Predictor().predict(some)
    best_first = [
        forecast.candidates[row].source for row in np.argsort(-forecast.score) if forecast.candidates[row].target == "t0"
    ]
    assert [step.source for step in made.steps if step.target == "t0"][1:] == best_first
    for step in made.steps[2:]:
        assert (step.score, step.lower, step.upper, step.expected_best) == (None, None, None, None)
    assert [step.score for step in made.steps[:2]] == [0.5, 0.5]  # measured, not forecast
    assert made.is_order_only
    assert (made.stop_after, made.regret_left) == (None, None)
    assert "Rests on no observed transfers: an order" in made.basis
    assert "observe transfers to other targets (search or import)" in made.basis
    made.save(tmp_path / "plan.json")
    assert Plan.load(tmp_path / "plan.json") == made
    assert "0.5" not in str(made).splitlines()[-1]


def test_a_budget_is_kept_for_each_target_or_over_all():
    for per, expected in (("target", 6), ("total", 3)):
        made = plan(Predictor(), table(), Budget(trials=3, per=per))
        assert sum(step.source != ALONE for step in made.steps) == expected


def test_hours_are_kept_with_the_baseline_s_in_them():
    # 360 rows are 23 batches, which get 9 epochs: 360 rows x 9 epochs x 1 s = 0.9 h a training, and the same for the baseline
    made = plan(Predictor(), table(), Budget(hours=3.0))
    assert made.hours <= 3.0
    assert made.hours == pytest.approx(0.9 * len(made.steps))
    with pytest.raises(InputError, match=r"buys no training: the first would take 108.0 min"):
        plan(Predictor(), table(), Budget(hours=1.5))


def test_a_budget_larger_than_all_candidates_runs_them_once(learned):
    made = plan(learned, table(), Budget(trials=99))
    assert len({(step.source, step.target) for step in made.steps}) == len(made.steps) == 12
    assert made.regret_left < 0.005


def test_cheap_recipes_come_first_by_the_hour():
    recipes = [Recipe(epochs=30), Recipe(epochs=1)]
    made = plan(Predictor(), table(("t0",)).with_recipes(recipes), Budget(hours=8.0))
    assert Recipe.parse(made.steps[1].recipe).epochs == 1
    assert made.steps[0].recipe == made.steps[1].recipe  # the target alone is trained, and paid, like its first transfer
    assert made.steps[0].hours == pytest.approx(0.1)


def test_a_training_that_does_not_fit_leaves_its_hours_to_others(learned):
    recipes = [Recipe(epochs=30), Recipe(epochs=3)]  # 3 h and 0.3 h
    made = plan(learned, table(("t0",)).with_recipes(recipes), Budget(hours=2.0))
    assert {Recipe.parse(step.recipe).epochs for step in made.steps} == {3}
    assert len(made.steps) == 6


def test_hours_that_nobody_knows_are_refused_for_a_budget_of_hours_and_shown_as_unknown_otherwise():
    unknown = table(facts=FACTS.model_copy(update={"seconds_per_row_epoch": None}))
    with pytest.raises(InputError, match=r"duration of a training of t0, t1 must be known.*Give a number of trials"):
        plan(Predictor(), unknown, Budget(hours=0.001))
    made = plan(Predictor(), unknown, Budget(trials=3))
    assert made.hours is None
    assert "unknown" in str(made)
    without_facts = FeatureTable(unknown.frame, unknown.schema, Provenance())
    with pytest.raises(InputError, match="duration of a training"):
        plan(Predictor(), without_facts, Budget(hours=0.001))


@pytest.mark.parametrize("alone", [0.5, 0.97])
def test_expectations_rise_but_not_above_what_the_metric_allows(learned, alone):
    facts = FACTS.model_copy(update={"score": alone})
    made = plan(learned, table(("t0",), facts), Budget(trials=5))
    best = [step.expected_best for step in made.steps]
    assert best == sorted(best)
    assert best[0] == alone
    assert best[-1] <= 1


def test_what_is_left_is_counted_from_the_score_in_hand_and_the_plan_stops_where_it_is_little(learned):
    some = table(("t0",))
    made = plan(learned, some, Budget(trials=5))
    best = [step.expected_best for step in made.steps]
    left = [best[-1] - value for value in best]  # the budget buys all candidates, so the last is the most there is
    stop = next(position for position, value in enumerate(left) if value < 0.005)
    assert made.stop_after == stop
    assert made.regret_left == pytest.approx(left[stop], abs=1e-9)
    one = plan(learned, some, Budget(trials=1))
    assert one.stop_after == 1
    assert one.regret_left == pytest.approx(left[1], abs=1e-9)


def test_the_same_inputs_give_the_same_plan_and_it_is_read_back(tmp_path, learned):
    one, two = (plan(learned, table(), Budget(trials=3)) for _ in range(2))
    assert one == two
    one.save(tmp_path / "plan.json")
    assert Plan.load(tmp_path / "plan.json") == one
    assert "Rests on 60 observed transfers" in str(one)
    assert repr(one) == f"<Plan {one.id[:12]}: 3 trials over all targets, 5 trainings to run, 0 done>"
    assert repr(table()) == "<FeatureTable of 10 candidates, 2 targets, 4 columns>"
    assert list(one.to_frame().source) == [step.source for step in one.steps]


def test_an_id_changes_with_all_that_a_plan_rests_on(learned):
    changed = [
        plan(learned, table(), Budget(trials=3)),
        plan(learned, table(), Budget(trials=4)),
        plan(learned, table(), Budget(trials=3), 0.8),
        plan(learned, table(), Budget(trials=3), bounds="hierarchical"),
        plan(Predictor(), table(), Budget(trials=3)),
        plan(learned, table(facts=FACTS.model_copy(update={"train_rows": 361})), Budget(trials=3)),
        plan(learned, table(), Budget(trials=3), history=history_with([("s0", 0.9)])),
    ]
    assert len({made.id for made in changed}) == len(changed)


def history_with(scores, **changes) -> History:
    """Trainings of t0 as a search would have recorded them."""
    common = {"target": "t0", "recipe": Recipe().key, "encoder": "unknown", "seed": 0, "metric": "positive_f1",
              "split": "validation", "hours": 0.1, **changes}  # fmt: skip
    history = History("sqlite://")
    history.append(Observation(source=source, score=score, **common) for source, score in scores)
    return history


def test_what_was_observed_is_done_and_the_budget_buys_what_is_new(learned):
    some = table(("t0",))
    first = plan(learned, some, Budget(trials=3))
    trained = [step.source for step in first.steps[1:]]
    history = history_with([(ALONE, 0.52), *((source, 0.6 + 0.1 * number) for number, source in enumerate(trained))])
    second = plan(learned, some, Budget(trials=2), history=history)
    done = [step for step in second.steps if step.done]
    assert [(step.source, step.score, step.hours) for step in done[:1]] == [(ALONE, 0.52, 0.0)]
    assert {step.source: step.score for step in done[1:]} == pytest.approx(dict(zip(trained, (0.6, 0.7, 0.8), strict=True)))
    new = [step for step in second.steps if not step.done]
    assert len(new) == 2
    assert not {step.source for step in new} & set(trained)
    assert all(step.expected_best == pytest.approx(0.8) for step in done[1:])
    assert new[0].expected_best >= 0.8
    assert "done" in str(second)
    in_hours = plan(learned, some, Budget(hours=0.9), history=history)
    assert in_hours.steps[0].hours == 0  # the baseline is paid already
    assert 0 < in_hours.hours <= 0.9


def went(source, target="t0", ended="failed", why="RuntimeError: CUDA out of memory", **changes):
    run = {"recipe": "full", "encoder": "unknown", "seed": 0, "run_key": f"{source} {target}", **changes}
    return TrainingRecord(source=source, target=target, ended=ended, why=why, **run)


@pytest.mark.parametrize(
    ("trainings", "left_out"),
    [
        ([went("s0", ended="stopped", why="")], {("s0", "t0")}),
        ([went("s0")], {("s0", "t0"), ("s0", "t1")}),
        ([went("s0", why="Diverged: the loss is no number in epoch 2")], {("s0", "t0"), ("s0", "t1")}),
        ([went("s0", why="TimeLimit: 1 of 9 epochs took 3.0 minutes")], {("s0", "t0")}),
        ([went("s0", why="OSError: No space left on device")], set()),
        ([went("s0"), went("s0", ended="finished", why="")], set()),
        ([went("s0"), went("s0", target="t1", ended="finished", why="")], {("s0", "t0")}),
        ([went("s0", encoder="other"), went("s1", recipe="ulmfit"), went("gone")], set()),
        ([went("s0", recipe="full/batch=16")], {("s0", "t0"), ("s0", "t1")}),  # the same recipe, written out
    ],
)
def test_what_was_stopped_or_failed_is_not_proposed_again_nor_what_is_like_it(learned, trainings, left_out):
    some, history = table(), History("sqlite://")
    for one in trainings:
        history.note(one)
    every = {(step.source, step.target) for step in plan(learned, some, Budget(trials=99)).steps}
    made = plan(learned, some, Budget(trials=99), history=history)
    assert every - {(step.source, step.target) for step in made.steps} == left_out


@pytest.mark.parametrize(
    "changes", [{"encoder": "other"}, {"recipe": Recipe(epochs=9).key}, {"target_fingerprint": "other"}, {"split": "test"},
                {"target": "t1"}, {"source_fingerprint": "other"}, {"metric": "accuracy"}],
)  # fmt: skip
def test_trainings_of_something_else_are_not_taken_as_done(learned, changes):
    facts = FACTS.model_copy(update={"fingerprint": "of t0"})
    some = table(("t0",), facts)
    about = some.provenance.model_copy(update={"sources": {f"s{number}": "of the source" for number in range(5)}})
    some = FeatureTable(some.frame, some.schema, about)
    known = {"target_fingerprint": "of t0", "source_fingerprint": "of the source"}
    assert any(
        step.done
        for step in plan(learned, some, Budget(trials=1), history=history_with([("s0", 0.9), (ALONE, 0.5)], **known)).steps
    )
    made = plan(learned, some, Budget(trials=5), history=history_with([("s0", 0.9)], **{**known, **changes}))
    assert not any(step.done for step in made.steps)


def test_where_all_is_done_nothing_is_left_to_buy(learned):
    history = history_with([(ALONE, 0.5), *((f"s{number}", 0.6) for number in range(5))])
    made = plan(learned, table(("t0",)), Budget(trials=5), history=history)
    assert all(step.done for step in made.steps)
    assert len(made.steps) == 6
    assert made.regret_left == 0


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_the_expected_best_is_the_mean_of_simulated_maxima(seed, k):
    rng = np.random.default_rng(seed)
    scores, spreads, start = rng.uniform(0, 1, k), rng.uniform(0.02, 0.2, k), float(rng.uniform(0, 1))
    draws = np.maximum.accumulate(rng.normal(scores, spreads, size=(40_000, k)), axis=1)
    simulated = np.minimum(np.maximum(draws, start), 1).mean(0)
    np.testing.assert_allclose(expected_best(start, scores, spreads, 1.0), simulated, atol=0.006)
    np.testing.assert_allclose(expected_best(-np.inf, scores, spreads, np.inf), draws.mean(0), atol=0.006)
    shared = rng.normal(0, 0.15, size=(40_000, 1))
    simulated = np.minimum(np.maximum(draws + shared, start), 1).mean(0)
    np.testing.assert_allclose(expected_best(start, scores, spreads, 1.0, 0.15), simulated, atol=0.006)


def test_an_error_that_all_candidates_share_promises_little_where_own_errors_would_promise_much():
    scores = np.full(20, 0.5)
    own_only = expected_best(0.5, scores, np.full(20, 0.1), 1.0)[-1]
    shared = expected_best(0.5, scores, np.full(20, 0.001), 1.0, 0.1)[-1]
    assert shared == pytest.approx(0.5 + 0.1 * 0.3989, abs=0.003)  # E max(0, z) of one normal error
    assert own_only == pytest.approx(0.5 + 0.1 * 1.867, abs=0.003)  # the largest of twenty (table of Teichroew 1956)


def options(rng, targets=2, each=3):
    return [
        Options(f"t{t}", np.arange(each), np.sort(rng.uniform(0.3, 0.7, each))[::-1], np.full(each, 0.05), 0.03,
                rng.uniform(0.2, 1.5, each), np.full(each, 0.2), float(rng.uniform(0.3, 0.6)), 1.0)
        for t in range(targets)
    ]  # fmt: skip


def worth(parts, subset) -> tuple[float, float]:
    """Expected gain and price of training a set of (target, candidate), worked out without the code that chooses."""
    gain = price = 0.0
    for t, own in enumerate(parts):
        numbers = [number for target, number in subset if target == t]
        if numbers:
            gain += expected_best(own.in_hand, own.scores[numbers], own.own[numbers], 1.0, own.shared)[-1] - own.in_hand
            price += own.prices[numbers].sum() + own.alone[0]
    return gain, price


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.5, 5))
def test_what_is_bought_is_near_the_best_of_all_choices_and_leaves_nothing_that_fits(seed, budget):
    from itertools import chain, combinations

    parts = options(np.random.default_rng(seed))
    everything = [(t, number) for t in range(2) for number in range(3)]
    bought = [(step.target, step.number) for step in chosen(parts, budget)]
    gain, price = worth(parts, bought)
    assert price <= budget + 1e-6
    for pair in set(everything) - set(bought):
        assert worth(parts, [*bought, pair])[1] > budget
    subsets = chain.from_iterable(combinations(everything, size) for size in range(7))
    best = max(own for own, cost in (worth(parts, subset) for subset in subsets) if cost <= budget)
    assert gain >= best * (1 - np.exp(-1)) / 2 - 1e-9
    same = [Options(p.target, p.rows, p.scores, p.own, p.shared, np.ones(3), np.zeros(3), p.in_hand, 1.0) for p in parts]
    bought = [(step.target, step.number) for step in chosen(same, 3)]
    best = max(worth(same, subset)[0] for subset in combinations(everything, 3))
    assert worth(same, bought)[0] == pytest.approx(best, abs=1e-6)


def test_an_expensive_best_does_not_keep_a_cheap_good_one_from_being_bought():
    # as in the audit: .613 for 10 h, .537 for 1 h, and five hours to spend
    one = Options("t", np.arange(2), np.array([0.613, 0.537]), np.full(2, 0.05), 0.0, np.array([10.0, 1.0]),
                  np.array([10.0, 1.0]), 0.5, 1.0)  # fmt: skip
    assert [step.number for step in chosen([one], 5.0)] == [1]
    # and a tiny gain for a tiny price does not eat the hours of a large one
    other = Options(
        "t", np.arange(2), np.array([0.9, 0.3]), np.full(2, 0.05), 0.0, np.array([2.0, 0.001]), np.zeros(2), 0.3, 1.0
    )
    assert [step.number for step in chosen([other], 2.0)] == [0]


def test_what_gains_most_for_an_hour_is_bought_first():
    long, short = (
        Options(name, np.arange(1), np.array([score]), np.full(1, 0.01), 0.0, np.array([price]), np.zeros(1), 0.5, 1.0)
        for name, score, price in (("long", 0.7, 4.0), ("short", 0.6, 1.0))
    )
    assert [step.target for step in chosen([long, short], 5.0)] == [1, 0]  # .1 an hour before .05


def test_a_frozen_encoder_reads_each_row_once_at_a_third_of_the_price():
    assert hours_of(FACTS, "features", "e") == pytest.approx(hours_of(FACTS, "full/epochs=1", "e") / 3)
    assert hours_of(None, "full", "e") is None
    assert hours_of(FACTS.model_copy(update={"seconds_per_row_epoch": None}), "full", "e") is None


def test_ten_thousand_candidates_are_planned_in_seconds():
    import time

    rng = np.random.default_rng(0)
    parts = [
        Options(f"t{t}", np.arange(10), np.sort(rng.uniform(0.3, 0.7, 10))[::-1], np.full(10, 0.05), 0.03, np.ones(10),
                np.zeros(10), 0.4, 1.0)
        for t in range(1000)
    ]  # fmt: skip
    started = time.process_time()
    assert len(chosen(parts, 10_000)) == 10_000
    assert time.process_time() - started < 20
