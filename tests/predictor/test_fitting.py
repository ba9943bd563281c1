"""Fitting: levels and slopes worked by hand, residuals that have not seen their fold, few targets left to the prior."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.builders import observed
from tests.core.test_core import column
from tests.predictor.cells import grid, transfers_from
from transfercast.core.errors import InputError
from transfercast.core.records import Candidate
from transfercast.predictor.calibration import (
    ASSUMED,
    Calibration,
    calibration_of_prior,
    levels_of,
    prior_scale_of,
    slope_of,
)  # fmt: skip
from transfercast.predictor.data import Transfers, candidates_of
from transfercast.predictor.feature_sets import columns_of
from transfercast.predictor.fitting import FittedModel, fit, fit_prior, held_out_forecasts, shares_of
from transfercast.predictor.folds import folds_by
from transfercast.predictor.masking import COLD, REGIMES
from transfercast.predictor.predictor import Predictor
from transfercast.predictor.prior import RANGE, prior_points


def scores(fitted: FittedModel, rows) -> np.ndarray:
    return fitted.calibration.scores(rows, *fitted.relative(rows)[:2])


def cold(rows) -> np.ndarray:
    return np.full(len(rows), COLD, dtype=object)


@pytest.mark.parametrize(("pairs", "regressor"), [(0, 0.0), (400, 0.4), (1600, 1.0), (14400, 1.8)])
def test_the_regressor_weighs_more_the_more_pairs_were_observed(pairs, regressor):
    process, trees = shares_of(pairs)
    assert trees / process == pytest.approx(regressor)
    assert process + trees == pytest.approx(1)


def test_recipes_and_encoders_of_a_pair_count_once():
    both = grid([f"t{n}" for n in range(4)], [f"s{n}" for n in range(6)], ("e", "f"))
    np.testing.assert_allclose(fit(both, regimes=(COLD,)).shares, shares_of(24))


def test_folds_keep_names_together():
    names = np.array(list("aabbccddee"))
    folds = folds_by(names, 3)
    assert all(len(set(folds[names == name])) == 1 for name in "abcde")
    assert sorted(np.bincount(folds)) == [2, 4, 4]


def test_the_score_is_the_formula_that_docs_state():
    some = observed(targets=6)
    rows = some.candidates
    relative = np.linspace(-1, 1, len(some))
    calibration = Calibration(levels_of(some), {COLD: 0.2}, {"logme@1": 0.3}, prior_scale=0.1)
    b, r = rows.baseline, 1 - rows.baseline
    g, p = calibration.levels.gain_with["e"], 20 / (20 + len(some))
    q = prior_points(rows, rows.evidence_groups, r, {"logme@1": 0.3}).sum(axis=1)
    expected = b + g * r + (1 - p) * 0.2 * r * relative + p * 0.1 * q
    np.testing.assert_allclose(calibration.scores(rows, relative, cold(rows)), np.clip(expected, 0, 1))
    silent = replace(calibration, slopes={COLD: 0.0})
    np.testing.assert_allclose(silent.scores(rows, relative, cold(rows)), np.clip(b + g * r + 0.1 * q, 0, 1))


def test_a_regime_without_examples_takes_the_slope_of_target_cold_start():
    calibration = Calibration(levels_of(observed(targets=3)), {COLD: 0.2, "warm target": 0.3})
    assert [calibration.slope(regime) for regime in REGIMES] == [0.2, 0.3, 0.2, 0.2]


def test_levels_are_shrunk_by_targets_worked_by_hand():
    one = observed(targets=1, sources=5)
    headroom = 1 - one.candidates.baseline
    levels = levels_of(one)
    # the least-squares share of the headroom, a quarter of it kept with one target: 1 / (1 + 3)
    gain = 0.25 * ((one.score - one.candidates.baseline) * headroom).sum() / (headroom**2).sum()
    assert levels.gain == pytest.approx(gain)
    assert levels.score["positive_f1"] == pytest.approx(0.25 * one.score.mean() + 0.75 * ASSUMED)


def test_an_encoder_s_mean_gain_is_shrunk_to_that_of_all_worked_by_hand():
    rows = [(f"s{number}", f"t{number}", 0.6 if number < 10 else 0.5, "e" if number < 10 else "f") for number in range(20)]
    levels = levels_of(transfers_from(rows, baselines={f"t{number}": 0.5 for number in range(20)}))
    # e gained .2 of the headroom, f nothing: .1 on average, of which 20 targets keep 20 / 23; ten rows weigh against thirty
    assert levels.gain == pytest.approx(0.1 * 20 / 23)
    assert levels.gain_with["f"] == pytest.approx(0.75 * levels.gain)
    assert levels.gain_with["e"] == pytest.approx(0.25 * 0.2 + 0.75 * levels.gain)


def test_the_slope_is_the_least_squares_one_within_queries_in_shares_of_the_headroom():
    rows = [("a", "t", 0.6), ("b", "t", 0.4), ("a", "u", 0.9), ("b", "u", 0.9)]
    some = transfers_from(rows, baselines={"t": 0.5, "u": 0.8})
    relative = np.array([2.0, 0.0, 1.0, -1.0])
    # t: relative +-1, headroom .5, moved +-.1; u: +-1, .2, 0: (2 * .5 * .1) / (2 * .25 + 2 * .04)
    assert slope_of(some, relative, levels_of(some)) == pytest.approx(0.1 / 0.58)
    assert slope_of(some, -relative, levels_of(some)) == 0


def test_the_prior_s_scale_is_learned_by_targets_worked_by_hand():
    candidates = [(source, target, "full") for target in "tu" for source in "ab"]
    rows = candidates_of(np.array([[1.0], [2.0], [5.0], [3.0]]), [column("m0")], candidates, {}, "e")
    some = Transfers(rows, np.array([0.4, 0.6, 0.7, 0.5]), np.zeros(4))
    # centred ranks of two are -.25 and .25, scores move by -.1 and .1: slope .4, of which two targets keep 2 / 5
    # of an equal vote, whose slope is RANGE
    assert prior_scale_of(some, levels_of(some), {}) == pytest.approx(0.4 * 0.4 / RANGE + 0.6)
    # what stands in for baselines is .4 * .55 + .6 * .5, so the headroom is .48, and a weight of .1 says .048 a rank
    assert prior_scale_of(some, levels_of(some), {"m0@1": 0.1}) == pytest.approx(0.4 * 0.4 / 0.048 + 0.6)


def test_held_out_forecasts_do_not_rest_on_the_fold_s_scores():
    before = observed(targets=5)
    folds = folds_by(before.candidates.targets, 5)
    after = replace(before, score=np.where(folds == 0, before.score[::-1] * 0.3, before.score))
    told = [held_out_forecasts(some, some.candidates.schema, True, folds) for some in (before, after)]
    np.testing.assert_array_equal(told[0][folds == 0], told[1][folds == 0])
    assert not np.array_equal(told[0][folds != 0], told[1][folds != 0])


def test_every_feature_set_is_learned_and_without_history_nothing_comes_of_it():
    some = observed(targets=4)
    for features in ("f1", "f1+ansat", "all", "history", "logme, attribution"):
        fitted = fit(some, features)
        assert np.isfinite(scores(fitted, some.candidates)).all()
        assert len(fitted.residuals) == 4
        assert fitted.models.process.history == (features in ("all", "history"))
    with pytest.raises(InputError, match="no such set, group, measure or column"):
        columns_of(some.candidates.schema, "nonsense")


def test_a_measure_of_absurd_size_is_learned_from_and_forecast():
    pairs = [Candidate(f"s{source}", f"t{target}", "full") for target in range(5) for source in range(6)]
    values = np.random.default_rng(0).normal(size=(30, 2))
    values[3, 0], values[8, 1] = 1.9e273, -1e300  # their squares are no numbers, and trees hold 32 bits
    rows = candidates_of(values, [column("m0"), column("m1")], pairs, {}, "e")
    some = Transfers(replace(rows, baseline=np.full(30, 0.5)), np.random.default_rng(1).uniform(0.4, 0.9, 30), np.ones(30))
    found = Predictor("wild", fit(some, regimes=(COLD,))).forecast(some.candidates, 0.9)
    assert np.isfinite(found.score).all()


def test_the_slope_is_bounded_however_small_the_forecasts_are(monkeypatch):
    from transfercast.predictor import fitting

    some = observed(targets=4)
    outcome = fitting.relative_scores(some.score, some.candidates.query_ids)
    halves = np.full(2, 0.5)
    deviations, calibration = fitting._calibrated(some, np.stack([outcome, outcome], axis=1), halves, {})
    honest = slope_of(some, outcome / outcome.std(), levels_of(some))
    assert calibration.slopes[COLD] == pytest.approx(honest)
    np.testing.assert_allclose(deviations, outcome.std())
    wrong = fitting._calibrated(some, np.stack([-outcome, -outcome], axis=1), halves, {})[1]
    assert wrong.slopes[COLD] == 0  # forecasts that are wrong are worth nothing


def test_each_regime_with_examples_is_calibrated():
    both = fit(grid([f"t{n}" for n in range(4)], [f"s{n}" for n in range(6)], ("e", "f")))
    assert set(both.calibration.slopes) == set(REGIMES)
    one = fit(grid([f"t{n}" for n in range(4)], [f"s{n}" for n in range(6)]))
    assert set(one.calibration.slopes) == {COLD, "source cold start"}


@pytest.mark.parametrize("targets", [1, 2])
def test_below_three_targets_the_prior_orders_and_levels_are_those_observed(targets):
    some = observed(targets=targets, sources=8)
    new = observed(targets=4, sources=8, seed=5).candidates
    fitted = fit(some, weights={})
    ours, theirs = scores(fitted, new), prior_points(new, new.evidence_groups, np.ones(len(new)), {}).sum(axis=1)
    for query in range(4):
        rows = new.query_ids == query
        assert np.corrcoef(ours[rows], theirs[rows])[0, 1] == pytest.approx(1)
    forecast = Predictor("few", fitted).forecast(new, 0.9, explain=False)
    assert (forecast.prior_share == 1).all()
    assert (forecast.support == len(some)).all()
    assert fitted.about()["models"] == []
    assert set(fitted.residuals) == (set() if targets == 1 else {"t0", "t1"})


def test_two_observed_targets_make_no_forecast_far_from_the_prior():
    """These histories gave scores of 0.000 and 1.000 with bounds that excluded the truth."""
    errors = []
    for seed in range(10):
        whole = observed(targets=8, sources=6, seed=seed)
        out = ~np.isin(whole.candidates.targets, ["t0", "t1"])
        rest = whole.take(out)
        forecasts = scores(fit(whole.take(~out), weights={}), rest.candidates), Predictor().forecast(rest.candidates, 0.9).score
        errors.append([np.sqrt(((forecast - rest.score) ** 2).mean()) for forecast in forecasts])
    ours, theirs = np.mean(errors, axis=0)
    assert ours <= 1.05 * theirs  # of a prior that is right here: scores of `observed` do rise with ranks


def test_the_errors_of_the_prior_are_those_by_the_levels_of_the_other_targets():
    some = observed(targets=2, sources=4)
    first = some.candidates.targets == "t0"
    rows = some.candidates.take(first)
    others = calibration_of_prior(some.take(~first), {})
    expected = (some.score[first] - others.scores(rows, np.zeros(4), cold(rows))) / others.levels.headroom(rows)
    np.testing.assert_allclose(fit_prior(some, weights={}).residuals["t0"], expected)
