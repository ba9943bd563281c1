"""Learners against other people's code, and choices that see nothing of what is held out."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict

from tests.core.test_core import column
from tests.predictor.test_predictor import observed
from transfercast.core.errors import InputError
from transfercast.predictor.design import Observed, columns_of, design_of
from transfercast.predictor.evaluate import FEWEST_FOR_AN_INTERVAL, RANDOM, SHARES, _Bootstrap, judged
from transfercast.predictor.folds import folds_by
from transfercast.predictor.holdout import BY, ORACLE, PREDICTOR, STATIC, HeldOut, fold_names, held_out
from transfercast.predictor.learner import LEARNERS, PARTS, PENALTIES, Settings, fit_model, fit_ridges
from transfercast.predictor.learning import Options, Trials, clearly_best, learn
from transfercast.predictor.prior import standings
from transfercast.predictor.ranking import ndcg
from transfercast.predictor.regressor import lesson_of
from transfercast.predictor.scaling import ASSUMED, RANGE, scaling_of_prior
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
        assert not order.ndcg.is_known  # over eight targets there is no interval
    assert set(found.rmse_at) == {5, 10, 20, 50}
    assert orders[RANDOM].ndcg.mean == pytest.approx(
        np.mean([ndcg(np.zeros(8), some.score[some.design.groups == g]) for g in range(8)])
    )


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


def judged_order(scores, measure, baseline=0.5, hours=(1.0, 1.0, 2.0), forecast=None) -> HeldOut:
    """One target, its sources in the order of `scores`, and forecasts as if a predictor had made them."""
    schema = [column("m0", group="embeddings")]
    candidates = [(f"s{number}", "t", "full") for number in range(len(scores))]
    design = design_of(np.array(measure, dtype=float)[:, None], schema, candidates, {}, "e")
    design = replace(design, baseline=np.full(len(scores), baseline))
    some = Observed(design, np.array(scores), np.array(hours), np.full(len(scores), np.nan))
    said = some.score if forecast is None else np.array(forecast)
    bounds = {kind: said for kind in ("grouped", "hierarchical")}
    return HeldOut(some, "target", said, bounds, bounds, np.full(len(scores), np.nan), {"t": {"learner": "ridge"}})


def test_a_curve_begins_with_the_target_alone_and_rises_when_each_training_ends():
    found = judged(judged_order([0.4, 0.7, 0.9], [3.0, 2.0, 1.0])).order("m0")
    at = dict(zip(SHARES.round(2).tolist(), found.curve.tolist(), strict=True))
    # s0, s1, s2 end after 1, 2 and 4 of 4 hours, with .4 (below the .5 of the target alone), .7 and .9
    assert [at[share] for share in (0.0, 0.24, 0.25, 0.49, 0.5, 0.99, 1.0)] == [0.5, 0.5, 0.5, 0.5, 0.7, 0.7, 0.9]


def test_the_paper_s_axis_counts_the_first_k_trainings_of_every_target_and_not_the_target_alone():
    found = judged(judged_order([0.4, 0.7, 0.9], [3.0, 2.0, 1.0])).order("m0")
    np.testing.assert_allclose(found.first, [[1 / 4, 2 / 4, 1], [0.4, 0.7, 0.9]])
    two = observed(targets=2, sources=3)
    hours = np.array([1.0, 2.0, 3.0, 10.0, 20.0, 30.0])
    two = Observed(two.design, two.score, hours, two.noise)
    part = judged(held_out(two, Options(learners=()))).order(ORACLE)
    best = [np.argmax(two.score[two.design.groups == group]) + 3 * group for group in range(2)]
    assert part.first[0, 0] == pytest.approx(hours[best].sum() / 66)
    assert part.first[1, 0] == pytest.approx(two.score[best].mean())


def test_a_source_for_which_a_measure_is_not_defined_comes_last():
    found = judged(judged_order([0.4, 0.7, 0.9], [np.nan, 2.0, 1.0])).order("m0")
    assert found.first[1].tolist() == [0.7, 0.9, 0.9]
    assert found.regret[1].mean == pytest.approx(100 * 0.2 / 0.9)


def test_a_measure_of_several_columns_is_one_order_by_their_mean_rank():
    schema = [column(f"m{number}").model_copy(update={"measure": "many"}) for number in range(3)]
    values = np.array([[1.0, 1.0, 3.0], [2.0, 3.0, 2.0], [3.0, 2.0, np.nan]])  # mean ranks 5/3, 7/3 and 5/2 of 3
    candidates = [(f"s{number}", "t", "full") for number in range(3)]
    design = design_of(values, schema, candidates, {}, "e")
    some = Observed(design, np.array([0.1, 0.2, 0.3]), np.ones(3), np.ones(3))
    forecast = HeldOut(some, "target", some.score, {}, {}, np.full(3, np.nan), {})
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
        return HeldOut(some, by, some.score, {}, {}, some.score, {}).orders()[STATIC]

    told, design = static(before), before.design
    gains = before.score / design.baseline - 1
    for row in range(len(before)):  # a slow transcription
        there = [
            other for other in range(len(before))
            if design.sources[other] == design.sources[row] and design.targets[other] != design.targets[row]
            and (design.encoder[other] == design.encoder[row]) == same_encoder
        ]  # fmt: skip
        assert told[row] == pytest.approx(np.mean(gains[there]))
    own = design.targets == "t1"
    scrambled = Observed(design, np.where(own, before.score[::-1] * 0.3, before.score), before.hours, before.noise)
    np.testing.assert_allclose(static(scrambled)[own], told[own])
    assert not np.allclose(static(scrambled)[~own], told[~own])


def test_the_mean_gain_elsewhere_of_twenty_thousand_rows_takes_a_second():
    candidates = [(f"s{s}", f"t{t}", "full") for t in range(100) for s in range(200)]
    design = design_of(np.zeros((20_000, 1)), [column("m0")], candidates, {}, "e")
    some = Observed(design, np.random.default_rng(0).uniform(size=20_000), np.ones(20_000), np.ones(20_000))
    started = time.process_time()
    HeldOut(some, "target", some.score, {}, {}, some.score, {}).orders()
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


@pytest.mark.parametrize("targets", [1, 2])
def test_below_three_targets_the_prior_orders_and_levels_are_those_observed(targets):
    some = observed(targets=targets, sources=8)
    new = observed(targets=4, sources=8, seed=5).design
    learned = learn(some, Options(learners=("trees and ranker on ridge",)))
    prior = learn(some, Options(learners=())).fitted
    ours, theirs = learned.fitted.predict(new), prior.predict(new)
    for group in range(4):
        rows = new.groups == group
        assert np.corrcoef(ours.score[rows], theirs.score[rows])[0, 1] == pytest.approx(1)
    assert (ours.prior_share == 1).all()
    assert (ours.support == len(some)).all()
    assert learned.about()["learner"] == "the prior"
    assert set(learned.residuals) == (set() if targets == 1 else {"t0", "t1"})


def test_two_observed_targets_make_no_forecast_far_from_the_prior():
    """These histories gave scores of 0.000 and 1.000 with bounds that excluded the truth."""
    errors = []
    for seed in range(10):
        whole = observed(targets=8, sources=6, seed=seed)
        out = ~np.isin(whole.design.targets, ["t0", "t1"])
        rest = whole.take(out)
        forecast = learn(whole.take(~out)).fitted.predict(rest.design).score
        prior = learn(rest, Options(learners=())).fitted.predict(rest.design).score
        errors.append([np.sqrt(((scores - rest.score) ** 2).mean()) for scores in (forecast, prior)])
    ours, theirs = np.mean(errors, axis=0)
    assert ours <= 1.05 * theirs  # of a prior that is right here: scores of `observed` do rise with ranks


def test_levels_are_pulled_by_targets_and_the_formula_is_the_one_that_docs_state():
    one = observed(targets=1, sources=5)
    room = 1 - one.design.baseline
    scaling = scaling_of_prior(one)
    # the least-squares share of the room, a quarter of it kept with one target: 1 / (1 + 3)
    gain = 0.25 * ((one.score - one.design.baseline) * room).sum() / (room**2).sum()
    assert scaling.levels.gain == pytest.approx(gain)
    assert scaling.levels.score["positive_f1"] == pytest.approx(0.25 * one.score.mean() + 0.75 * ASSUMED)

    some = observed(targets=6)
    lesson = lesson_of(some, "standing", "all")
    scaling = replace(lesson.scaling(0.2), prior_points=0.1)
    outcomes = np.linspace(-1, 1, len(some))
    b, r = some.design.baseline, 1 - some.design.baseline
    g, p = scaling.levels.gains(some.design), 20 / (20 + len(some))
    q = standings(some.design, tuple({c.group for c in some.design.schema})).sum(1)
    expected = b + g * r + (1 - p) * 0.2 * r * outcomes + p * 0.1 * q
    np.testing.assert_allclose(scaling.scores(some.design, outcomes), np.clip(expected, 0, 1))
    silent = replace(scaling, points=0.0)
    np.testing.assert_allclose(silent.scores(some.design, outcomes), np.clip(b + g * r + 0.1 * q, 0, 1))
    for goal in ("gain", "score"):
        other = replace(scaling, goal=goal, offset=0.05)
        p_ = 20 / (20 + other.levels.support(some.design, goal))
        learned = 0.05 + 0.2 * outcomes
        expected = (p_ * b if goal == "score" else b) + (1 - p_) * learned + p_ * 0.1 * q
        np.testing.assert_allclose(other.scores(some.design, outcomes), np.clip(expected, 0, 1))


def test_the_prior_s_range_is_learned_by_targets_worked_by_hand():
    candidates = [(source, target, "full") for target in "tu" for source in "ab"]
    design = design_of(np.array([[1.0], [2.0], [5.0], [3.0]]), [column("m0")], candidates, {}, "e")
    some = Observed(design, np.array([0.4, 0.6, 0.7, 0.5]), np.zeros(4), np.zeros(4))
    # centred ranks of two are -.25 and .25, scores move by -.1 and .1: slope .4, of which two targets keep 2 / 5
    assert scaling_of_prior(some).prior_points == pytest.approx(0.4 * 0.4 + 0.6 * RANGE)


def test_what_a_standing_is_worth_in_the_residuals_of_a_fold_does_not_rest_on_the_fold_s_outcomes():
    some = observed(targets=6)
    trials = Trials(some, Options())
    outcomes = trials.outcomes(["ridge"], QUICK)["ridge"]
    out = trials.folds == 0
    scrambled = Trials(Observed(some.design, np.where(out, some.score[::-1], some.score), some.hours, some.noise), Options())
    told, after = (forecasts.observed.score[out] - forecasts.errors(outcomes)[out] for forecasts in (trials, scrambled))
    np.testing.assert_allclose(told, after)
    # what the observed standings themselves would be worth promises too much: forecasts that are wrong are worth nothing
    wrong = -lesson_of(some, "standing", "all").outcomes
    np.testing.assert_allclose(trials.errors(wrong), trials.errors(np.zeros(len(some))))


def test_an_encoder_s_mean_gain_is_pulled_to_that_of_all_worked_by_hand():
    candidates = [(f"s{number}", f"t{number}", "full") for number in range(20)]
    design = design_of(np.zeros((20, 1)), [column("m0")], candidates, {}, "e")
    encoders = np.repeat(["e", "f"], 10).astype(object)
    design = replace(design, baseline=np.full(20, 0.5), encoder=encoders)
    some = Observed(design, np.repeat([0.6, 0.5], 10), np.zeros(20), np.zeros(20))
    levels = scaling_of_prior(some).levels
    # e gained .2 of the room, f nothing: .1 on average, of which 20 targets keep 20 / 23; ten rows weigh against thirty
    assert levels.gain == pytest.approx(0.1 * 20 / 23)
    assert levels.gain_with["f"] == pytest.approx(0.75 * levels.gain)
    assert levels.gain_with["e"] == pytest.approx(0.25 * 0.2 + 0.75 * levels.gain)


def test_the_worth_of_a_standing_is_bounded_however_small_the_forecasts_are():
    some = observed(targets=4)
    trials = Trials(some, Options())
    whole = lesson_of(some, "standing", "all")
    assert trials.scale(whole.outcomes * 1e-4) == pytest.approx(2 * whole.points)


def test_no_jobs_are_refused():
    with pytest.raises(InputError, match="jobs is 0"):
        held_out(observed(), jobs=0)
