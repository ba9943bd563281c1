"""Learners against other people's code, and choices that see nothing of what is held out."""

from __future__ import annotations

import time

import numpy as np
import pytest
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict

from tests.predictor.test_predictor import observed
from transfercast.core.errors import InputError
from transfercast.predictor.design import Observed, columns_of
from transfercast.predictor.evaluate import RANDOM, judged
from transfercast.predictor.folds import folds_by
from transfercast.predictor.holdout import BY, ORACLE, PREDICTOR, fold_names, held_out
from transfercast.predictor.learner import LEARNERS, PARTS, PENALTIES, Settings, fit_model, fit_ridges
from transfercast.predictor.learning import Options, Trials, clearly_best, learn
from transfercast.predictor.regressor import lesson_of
from transfercast.predictor.tune import tuned

QUICK = Settings(rounds=10)


def numbers(n=60, f=4, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, f))
    targets = np.repeat([f"t{t}" for t in range(n // 10)], 10)
    return features, features @ np.arange(1.0, f + 1) + rng.normal(size=n), targets


def test_the_ridge_is_scikit_learn_s_on_standardised_features():
    features, outcomes, _ = numbers()
    scaled = (features - features.mean(0)) / features.std(0)
    expected = SklearnRidge(alpha=30.0).fit(scaled, outcomes).predict(scaled)
    ridge = fit_ridges(features, outcomes, [30.0])[0]
    np.testing.assert_allclose(ridge.predict(features), expected)
    missing = np.full((1, 4), np.nan)
    assert ridge.predict(missing)[0] == pytest.approx(outcomes.mean())


def test_the_penalty_is_that_which_errs_least_on_targets_left_out():
    features, outcomes, targets = numbers()
    errors = {}
    for penalty in PENALTIES:
        said = np.empty(60)
        for train, test in LeaveOneGroupOut().split(features, outcomes, targets):
            mean, scale = features[train].mean(0), features[train].std(0)
            model = SklearnRidge(alpha=penalty).fit((features[train] - mean) / scale, outcomes[train])
            said[test] = model.predict((features[test] - mean) / scale)
        errors[penalty] = ((outcomes - said) ** 2).mean()
    best = min(errors, key=errors.get)
    model = fit_model((), QUICK, features, outcomes, np.zeros(60, dtype=int), targets)
    np.testing.assert_allclose(model.ridge.weights, fit_ridges(features, outcomes, [best])[0].weights)


def test_trees_start_from_ridges_that_had_not_seen_the_row_s_target(monkeypatch):
    import xgboost

    seen = {}
    made = xgboost.DMatrix
    monkeypatch.setattr(xgboost, "DMatrix", lambda *a, **k: seen.update(k) or made(*a, **k))
    features, outcomes, targets = numbers()
    model = fit_model(("trees",), QUICK, features, outcomes, np.zeros(60, dtype=int), targets)
    penalty = next(p for p in PENALTIES if np.allclose(fit_ridges(features, outcomes, [p])[0].weights, model.ridge.weights))
    scale = features.std(0)  # sklearn cannot standardise by fold in one call without a pipeline; scales differ little
    rough = cross_val_predict(SklearnRidge(alpha=penalty), features / scale, outcomes, groups=targets, cv=LeaveOneGroupOut())
    assert np.corrcoef(rough, seen["base_margin"])[0, 1] > 0.999
    assert np.abs(seen["base_margin"] - model.ridge.predict(features)).max() > 1e-3


@pytest.mark.parametrize("learner", LEARNERS)
def test_contributions_sum_to_what_the_learner_says(learner):
    features, outcomes, targets = numbers()
    features[::7, 1] = np.nan
    settings = Settings(rounds=20, weight_leaf=0.1)  # the gradients of rankers are small
    model = fit_model(PARTS[learner], settings, features, outcomes, np.repeat(np.arange(6), 10), targets)
    parts, rest = model.explain(features)
    said = model.predict(features)
    np.testing.assert_allclose(parts.sum(1) + rest, said, atol=1e-5)
    assert np.corrcoef(said, outcomes)[0, 1] > 0.7


def test_another_learner_is_taken_only_where_it_is_clearly_better():
    base = np.array([1.0, 2.0, 3.0, 2.0])
    assert clearly_best({"trees on ridge": base, "ridge": base - [0.3, -0.1, 0.2, -0.09]}) == "trees on ridge"
    assert clearly_best({"trees on ridge": base, "ridge": base - [1.0, 1.1, 0.9, 1.0]}) == "ridge"
    assert clearly_best({"trees on ridge": base, "ridge": base - 1.0, "ranker on ridge": base - 1.5}) == ("ranker on ridge")


def test_trees_and_ranker_together_say_the_mean_of_what_each_says():
    features, outcomes, targets = numbers()
    groups, settings = np.repeat(np.arange(6), 10), Settings(rounds=20, weight_leaf=0.1)
    said = {name: fit_model(PARTS[name], settings, features, outcomes, groups, targets).predict(features) for name in LEARNERS}
    mean = (said["trees on ridge"] + said["ranker on ridge"]) / 2
    np.testing.assert_allclose(said["trees and ranker on ridge"], mean, atol=1e-6)
    assert np.abs(said["trees on ridge"] - said["ranker on ridge"]).max() > 0.01
    held_out = Trials(observed(targets=6, sources=18), Options()).outcomes(LEARNERS, settings)
    for name in ("ridge", "ranker on ridge"):  # as if fitted alone
        alone = Trials(observed(targets=6, sources=18), Options()).outcomes([name], settings)[name]
        np.testing.assert_allclose(held_out[name], alone)


def test_few_observations_are_left_to_a_ridge_unless_another_is_asked_for():
    few = observed(targets=4)
    assert learn(few, Options(settings=QUICK)).fitted.choice.learner == "ridge"
    assert learn(few, Options(learners=("trees on ridge",), settings=QUICK)).fitted.choice.learner == "trees on ridge"
    many = learn(observed(targets=6, sources=20), Options(settings=QUICK))
    assert set(many.regrets) == set(LEARNERS)


def test_folds_keep_names_together():
    names = np.array(list("aabbccddee"))
    folds = folds_by(names, 3)
    assert all(len(set(folds[names == name])) == 1 for name in "abcde")
    assert sorted(np.bincount(folds)) == [2, 4, 4]


def test_each_target_is_held_out_with_one_encoder_at_a_time():
    some = observed(targets=5, encoders=("e", "f"))
    names = fold_names(some, "target and encoder")
    for name in set(names):
        inside = names == name
        pairs = set(zip(some.design.targets[inside], some.design.encoder[inside], strict=True))
        assert len({target for target, _ in pairs}) == len(pairs)


@pytest.mark.parametrize("by", BY)
def test_nothing_about_a_held_out_fold_changes_with_its_own_scores(by):
    """The test that would catch a leak into training, choice, settings, levels, bounds or history features."""
    before = observed(targets=7, sources=10, encoders=("e", "f"))
    options = Options(learners=("trees on ridge", "ridge"), settings=QUICK)
    out = fold_names(before, by) == fold_names(before, by)[0]
    scrambled = Observed(before.design, np.where(out, before.score[::-1] * 0.3, before.score), before.hours, before.noise)
    one, other = held_out(before, options, by), held_out(scrambled, options, by)
    for name in ("score", "beats"):
        np.testing.assert_array_equal(getattr(one, name)[out], getattr(other, name)[out])
    for kind in one.lower:
        np.testing.assert_array_equal(one.lower[kind][out], other.lower[kind][out])
    first = next(iter(one.chosen))
    assert one.chosen[first] == other.chosen[first]
    assert not np.array_equal(one.score[~out], other.score[~out])


def test_bounds_and_choices_rest_on_forecasts_that_have_not_seen_their_fold():
    before = observed(targets=5)
    trials = Trials(before, Options())
    out = trials.folds == 0
    scrambled = Observed(before.design, np.where(out, before.score[::-1] * 0.3, before.score), before.hours, before.noise)
    told, after = (Trials(some, Options()).outcomes(["ridge"], QUICK)["ridge"] for some in (before, scrambled))
    np.testing.assert_array_equal(told[out], after[out])
    assert not np.array_equal(told[~out], after[~out])


def test_every_goal_and_feature_set_is_learned():
    some = observed(targets=4)
    for goal in ("standing", "gain", "score"):
        for features in ("f1", "f1+ansat", "all", "history", "logme, attribution"):
            learned = learn(some, Options(goal, features, settings=QUICK))
            assert np.isfinite(learned.fitted.predict(some.design).score).all()
            assert learned.fitted.choice.goal == goal
            assert len(learned.residuals) == 4
    with pytest.raises(InputError, match="no such set, group, measure or column"):
        columns_of(some.design.schema, "nonsense")


def test_tuning_finds_settings_of_less_cost_and_never_of_more_than_the_defaults():
    assert tuned(lambda settings: abs(settings.depth - 1) + settings.eta, 5.0).depth == 1
    assert tuned(lambda settings: float(settings != Settings()), 5.0) == Settings()


def test_tuning_stays_within_its_time():
    started = time.monotonic()
    learn(observed(targets=6, sources=18), Options(learners=("trees on ridge",), seconds=1.0))
    assert time.monotonic() - started < 30


def test_points_of_a_standing_shrink_with_the_room():
    some = observed(targets=6)
    lesson = lesson_of(some, "standing", "all")
    design = some.design.take(np.array([0, 0]))
    low, high = (type(design)(design.values, design.schema, design.sources, design.targets, design.recipes,
                              np.array([alone] * 2), design.metric, design.encoder) for alone in (0.2, 0.9))  # fmt: skip
    scaling = lesson.scaling()
    spread = [np.ptp(scaling.scores(d, np.array([0.0, 0.5]))) for d in (low, high)]
    assert spread[0] == pytest.approx(8 * spread[1], rel=1e-6)  # rooms of .8 and .1


def test_an_evaluation_orders_the_oracle_first_and_random_last():
    some = observed(targets=8, sources=8)
    found = judged(held_out(some, Options(learners=("trees on ridge",), settings=QUICK)))
    orders = {order.name: order for order in found.orders}
    assert found.orders[0].name == PREDICTOR
    assert orders[ORACLE].ndcg.mean == pytest.approx(1)
    assert orders[ORACLE].regret[1].mean == 0
    assert orders[PREDICTOR].ndcg.mean > orders["logme"].ndcg.mean > orders[RANDOM].ndcg.mean
    assert "target_score" not in orders
    for order in found.orders:
        assert (np.diff(order.curve) >= 0).all()
        assert order.curve[-1] == pytest.approx(orders[ORACLE].curve[-1])
        assert order.ndcg.low <= order.ndcg.mean <= order.ndcg.high
    assert set(found.rmse_at) == {5, 10, 20, 50}
    assert found.rmse_at[5] >= 0
    errors = np.array([o.regret[5].mean for o in found.orders])
    assert (errors <= np.array([o.regret[1].mean for o in found.orders])).all()


def test_rmse_at_k_and_coverage_worked_out_slowly():
    some = observed(targets=5, sources=4)
    forecast = held_out(some, Options(learners=("ridge",)))
    found = judged(forecast)
    best = sorted(range(len(some)), key=lambda row: -forecast.score[row])[:5]
    assert found.rmse_at[5] == pytest.approx(np.sqrt(np.mean([(forecast.score[r] - some.score[r]) ** 2 for r in best])))
    inside = [lo <= s <= up for lo, s, up in zip(forecast.lower["grouped"], some.score, forecast.upper["grouped"], strict=True)]
    assert found.coverage["grouped"].mean == pytest.approx(np.mean(inside))


def test_one_target_cannot_be_held_out():
    with pytest.raises(InputError, match="one target only"):
        held_out(observed(targets=1))
