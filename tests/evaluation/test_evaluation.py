"""Forecasts of what was held out, and how good they are: no leaks, and figures worked out slowly."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from tests.builders import observed
from tests.core.test_core import column
from transfercast.core.errors import InputError
from transfercast.evaluation.evaluate import FEWEST_FOR_AN_INTERVAL, RANDOM, SHARES, _Bootstrap, evaluate
from transfercast.evaluation.holdout import BY, ORACLE, PREDICTOR, STATIC, HeldOut, fold_names, held_out
from transfercast.predictor.data import Transfers, candidates_of
from transfercast.predictor.metrics import ndcg


def test_each_target_is_held_out_with_one_encoder_at_a_time():
    some = observed(targets=5, encoders=("e", "f"))
    names = fold_names(some, "target and encoder")
    for name in set(names):
        inside = names == name
        pairs = set(zip(some.candidates.targets[inside], some.candidates.encoder[inside], strict=True))
        assert len({target for target, _ in pairs}) == len(pairs)


@pytest.mark.parametrize("by", BY)
def test_nothing_about_a_held_out_fold_changes_with_its_own_scores(by):
    """The test that would catch a leak into models, weights, levels, intervals or similarities."""
    before = observed(targets=7, sources=10, encoders=("e", "f"))
    out = fold_names(before, by) == fold_names(before, by)[0]
    scrambled = Transfers(before.candidates, np.where(out, before.score[::-1] * 0.3, before.score), before.hours)
    one, other = held_out(before, by=by), held_out(scrambled, by=by)
    for name in ("score", "improvement"):
        np.testing.assert_array_equal(getattr(one, name)[out], getattr(other, name)[out])
    for kind in one.lower:
        np.testing.assert_array_equal(one.lower[kind][out], other.lower[kind][out])
    assert not np.array_equal(one.score[~out], other.score[~out])


def test_an_evaluation_orders_the_oracle_first_and_random_last():
    some = observed(targets=8, sources=8)
    found = evaluate(held_out(some))
    orders = {order.name: order for order in found.orders}
    assert found.orders[0].name == PREDICTOR
    assert orders[ORACLE].ndcg.mean == pytest.approx(1)
    assert orders[ORACLE].regret[1].mean == 0
    assert orders[PREDICTOR].ndcg.mean > orders["logme"].ndcg.mean > orders[RANDOM].ndcg.mean
    assert "target_score" not in orders
    for order in found.orders:
        assert (np.diff(order.curve) >= 0).all()
        assert order.curve[-1] == pytest.approx(orders[ORACLE].curve[-1])
        assert not order.ndcg.is_known  # over eight targets there is no interval
    assert set(found.rmse_at) == {5, 10, 20, 50}
    assert orders[RANDOM].ndcg.mean == pytest.approx(
        np.mean([ndcg(np.zeros(8), some.score[some.candidates.query_ids == g]) for g in range(8)])
    )


def test_rmse_at_k_and_coverage_worked_out_slowly():
    some = observed(targets=5, sources=4)
    forecast = held_out(some)
    found = evaluate(forecast)
    best = sorted(range(len(some)), key=lambda row: -forecast.score[row])[:5]
    assert found.rmse_at[5] == pytest.approx(np.sqrt(np.mean([(forecast.score[r] - some.score[r]) ** 2 for r in best])))
    inside = [lo <= s <= up for lo, s, up in zip(forecast.lower["grouped"], some.score, forecast.upper["grouped"], strict=True)]
    assert found.coverage["grouped"].mean == pytest.approx(np.mean(inside))


def test_one_target_cannot_be_held_out():
    with pytest.raises(InputError, match="has only one target"):
        held_out(observed(targets=1))


def held_out_order(scores, measure, baseline=0.5, hours=(1.0, 1.0, 2.0), forecast=None) -> HeldOut:
    """One target, its sources in the order of `scores`, and forecasts as if a predictor had made them."""
    schema = [column("m0", group="embeddings")]
    candidates = [(f"s{number}", "t", "full") for number in range(len(scores))]
    rows = candidates_of(np.array(measure, dtype=float)[:, None], schema, candidates, {}, "e")
    rows = replace(rows, baseline=np.full(len(scores), baseline))
    some = Transfers(rows, np.array(scores), np.array(hours))
    said = some.score if forecast is None else np.array(forecast)
    bounds = {kind: said for kind in ("grouped", "hierarchical")}
    return HeldOut(some, "target", said, bounds, bounds, np.full(len(scores), np.nan))


def test_a_curve_begins_with_the_target_alone_and_rises_when_each_training_ends():
    found = evaluate(held_out_order([0.4, 0.7, 0.9], [3.0, 2.0, 1.0])).order("m0")
    at = dict(zip(SHARES.round(2).tolist(), found.curve.tolist(), strict=True))
    # s0, s1, s2 end after 1, 2 and 4 of 4 hours, with .4 (below the .5 of the target alone), .7 and .9
    assert [at[share] for share in (0.0, 0.24, 0.25, 0.49, 0.5, 0.99, 1.0)] == [0.5, 0.5, 0.5, 0.5, 0.7, 0.7, 0.9]


def test_the_paper_s_axis_counts_the_first_k_trainings_of_every_target_and_not_the_target_alone():
    found = evaluate(held_out_order([0.4, 0.7, 0.9], [3.0, 2.0, 1.0])).order("m0")
    np.testing.assert_allclose(found.first, [[1 / 4, 2 / 4, 1], [0.4, 0.7, 0.9]])
    two = observed(targets=2, sources=3)
    hours = np.array([1.0, 2.0, 3.0, 10.0, 20.0, 30.0])
    two = Transfers(two.candidates, two.score, hours)
    part = evaluate(held_out(two, None)).order(ORACLE)
    best = [np.argmax(two.score[two.candidates.query_ids == group]) + 3 * group for group in range(2)]
    assert part.first[0, 0] == pytest.approx(hours[best].sum() / 66)
    assert part.first[1, 0] == pytest.approx(two.score[best].mean())


def test_the_brier_score_is_of_the_chance_to_beat_the_target_alone():
    forecast = held_out_order([0.4, 0.7, 0.9], [3.0, 2.0, 1.0], baseline=0.5)
    said = replace(forecast, improvement=np.array([0.2, 0.9, np.nan]))  # s0 does not beat it, s1 does
    assert evaluate(said).brier == pytest.approx((0.2**2 + 0.1**2) / 2)
    assert np.isnan(evaluate(forecast).brier)


def test_a_measure_of_which_lower_is_better_orders_the_lowest_first():
    forecast = held_out_order([0.4, 0.7, 0.9], [3.0, 2.0, 1.0])
    rows = forecast.transfers.candidates
    schema = tuple(one.model_copy(update={"better": "lower"}) if one.name == "m0" else one for one in rows.schema)
    turned = replace(forecast, transfers=replace(forecast.transfers, candidates=replace(rows, schema=schema)))
    assert (forecast.orders()["m0"] == [3, 2, 1]).all()
    assert (turned.orders()["m0"] == [-3, -2, -1]).all()


def test_a_source_for_which_a_measure_is_not_defined_comes_last():
    found = evaluate(held_out_order([0.4, 0.7, 0.9], [np.nan, 2.0, 1.0])).order("m0")
    assert found.first[1].tolist() == [0.7, 0.9, 0.9]
    assert found.regret[1].mean == pytest.approx(100 * 0.2 / 0.9)


def test_a_measure_of_several_columns_is_one_order_by_their_mean_rank():
    schema = [column(f"m{number}").model_copy(update={"measure": "many"}) for number in range(3)]
    values = np.array([[1.0, 1.0, 3.0], [2.0, 3.0, 2.0], [3.0, 2.0, np.nan]])  # mean ranks 5/3, 7/3 and 5/2 of 3
    candidates = [(f"s{number}", "t", "full") for number in range(3)]
    rows = candidates_of(values, schema, candidates, {}, "e")
    some = Transfers(rows, np.array([0.1, 0.2, 0.3]), np.ones(3))
    forecast = HeldOut(some, "target", some.score, {}, {}, np.full(3, np.nan))
    orders = forecast.orders()
    assert "m0" not in orders
    by_rank = orders["many: mean rank of its 3 columns"]
    assert np.argsort(by_rank).tolist() == [0, 1, 2]
    assert set(forecast.columns()) == {"m0", "m1", "m2"}


@pytest.mark.parametrize("same_encoder", [True, False])
def test_the_mean_gain_elsewhere_does_not_see_the_row_s_own_target(same_encoder):
    before = observed(targets=5, sources=4, encoders=("e", "f"))
    by = "target" if same_encoder else "encoder"

    def static(some):
        return HeldOut(some, by, some.score, {}, {}, some.score).orders()[STATIC]

    told, rows = static(before), before.candidates
    gains = before.score / rows.baseline - 1
    for row in range(len(before)):  # a slow transcription
        there = [
            other for other in range(len(before))
            if rows.sources[other] == rows.sources[row] and rows.targets[other] != rows.targets[row]
            and (rows.encoder[other] == rows.encoder[row]) == same_encoder
        ]  # fmt: skip
        assert told[row] == pytest.approx(np.mean(gains[there]))
    own = rows.targets == "t1"
    scrambled = Transfers(rows, np.where(own, before.score[::-1] * 0.3, before.score), before.hours)
    np.testing.assert_allclose(static(scrambled)[own], told[own])
    assert not np.allclose(static(scrambled)[~own], told[~own])


def test_the_mean_gain_elsewhere_of_twenty_thousand_rows_takes_a_second():
    candidates = [(f"s{s}", f"t{t}", "full") for t in range(100) for s in range(200)]
    rows = candidates_of(np.zeros((20_000, 1)), [column("m0")], candidates, {}, "e")
    some = Transfers(rows, np.random.default_rng(0).uniform(size=20_000), np.ones(20_000))
    started = time.process_time()
    HeldOut(some, "target", some.score, {}, {}, some.score).orders()
    assert time.process_time() - started < 2


def test_an_interval_over_targets_is_scipy_s_bca():
    import scipy.stats

    values = np.random.default_rng(3).gamma(1.0, size=14)
    found = _Bootstrap(np.arange(14), 0).interval(values)
    other = scipy.stats.bootstrap((values,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(1))
    assert found.mean == pytest.approx(values.mean())
    width = other.confidence_interval.high - other.confidence_interval.low
    assert found.low == pytest.approx(other.confidence_interval.low, abs=0.07 * width)
    assert found.high == pytest.approx(other.confidence_interval.high, abs=0.07 * width)


def test_an_interval_covers_about_as_often_as_it_says_and_there_is_none_over_few_targets():
    rng = np.random.default_rng(0)
    hits = []
    for _ in range(300):
        found = _Bootstrap(np.arange(15), int(rng.integers(2**32))).interval(rng.beta(8, 2, size=15))
        hits.append(found.low <= 0.8 <= found.high)
    assert 0.88 <= np.mean(hits) <= 0.98
    assert not _Bootstrap(np.arange(FEWEST_FOR_AN_INTERVAL - 1), 0).interval(np.arange(9.0)).is_known
    assert _Bootstrap(np.arange(12), 0).interval(np.full(12, 0.7)).high == pytest.approx(0.7)


def test_no_jobs_are_refused():
    with pytest.raises(InputError, match="jobs is 0"):
        held_out(observed(), jobs=0)
