"""The predictor: held out by target without leaks, blended with the prior, safe on disk."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from tests.builders import SCHEMA, observed, past, table_of
from tests.core.test_core import column
from transfercast.core.errors import InputError
from transfercast.core.records import Adaptation, Candidate, Pair
from transfercast.core.table import FeatureTable, Provenance
from transfercast.predictor.data import candidates_of
from transfercast.predictor.predictor import Predictor
from transfercast.predictor.prior import centred_ranks
from transfercast.retraining.retrain import train_meta


def test_a_trained_predictor_ranks_better_than_the_prior_and_than_f1_alone(tmp_path):
    report = train_meta(past(targets=12), tmp_path / "meta", minutes=1)
    assert report.challenger.predictor.ndcg.mean > report.champion.predictor.ndcg.mean > 0
    assert report.feature_sets["all"].rmse < report.feature_sets["f1"].rmse
    assert report.promoted


def test_without_history_the_order_is_the_mean_rank_of_the_measures_and_the_output_says_so():
    table = table_of(past(), "t0")
    forecast = Predictor().predict(table)
    frame = table.frame.drop(columns="target_score")  # the same for all candidates of a target
    # rank of each column, averaged: the group single-task scores holds one column, as do the others
    expected = frame.rank().mean(axis=1).to_numpy()
    assert np.argsort(forecast.score).tolist() == np.argsort(expected).tolist()
    assert "Rests on no observed transfers" in forecast.basis
    assert forecast.support.tolist() == [0] * 5
    assert forecast.prior_share.tolist() == [1.0] * 5
    assert (forecast.lower == 0).all()
    assert (forecast.upper == 1).all()


def test_a_measure_of_many_columns_counts_as_one():
    many = [column(f"m{i}").model_copy(update={"measure": "many"}) for i in range(9)]
    values = np.column_stack([np.tile([[1.0], [2.0], [3.0]], (1, 9)), [3.0, 2.0, 1.0]])
    rows = candidates_of(values, [*many, column("one")], [(s, "t", "full") for s in "abc"], {}, "e")
    np.testing.assert_allclose(centred_ranks(rows, ["embeddings"]), 0, atol=1e-12)


def test_forecasts_rest_less_on_the_prior_as_observations_come(tmp_path):
    shares = []
    for targets in (2, 6, 12):
        train_meta(past(targets), tmp_path / str(targets), minutes=0)
        forecast = Predictor.load(tmp_path / str(targets)).predict(table_of(past(), "t0"))
        shares.append(float(forecast.prior_share[0]))
        assert forecast.support[0] == 5 * targets
    assert shares == sorted(shares, reverse=True)


def test_what_was_learned_in_one_metric_orders_the_sources_of_a_target_in_another(tmp_path):
    train_meta(past(12), tmp_path, minutes=0)
    known = table_of(past(), "t0")
    facts = {"new": known.provenance.targets["t0"].model_copy(update={"metric": "span_f1"})}
    frame = known.frame.rename(index={"t0": "new"}, level="target")
    forecasts = [
        Predictor.load(tmp_path).predict(FeatureTable(frame, SCHEMA, Provenance(targets=about, encoder="e")))
        for about in (facts, {"new": known.provenance.targets["t0"]})
    ]
    assert [int(forecast.support[0]) for forecast in forecasts] == [60, 60]
    np.testing.assert_allclose(forecasts[0].score, forecasts[1].score)


def test_reasons_sum_to_the_score_and_are_grouped_by_evidence(tmp_path):
    train_meta(past(), tmp_path, minutes=0)
    forecast = Predictor.load(tmp_path).predict(table_of(past(), "t1"))
    np.testing.assert_allclose(forecast.base + forecast.why.sum(1), forecast.score, atol=1e-6)
    assert {"single-task scores", "attribution", "embeddings"} <= set(forecast.groups)
    why = forecast.why_for(Pair("s0", "t1"))
    assert sum(why.values()) + forecast.base[0] == pytest.approx(forecast.score[0], abs=1e-6)
    with pytest.raises(InputError, match="no forecast for x -> t1"):
        forecast.why_for(Pair("x", "t1"))


def test_bounds_are_wider_for_more_coverage_and_hold_the_score(tmp_path):
    train_meta(past(), tmp_path, minutes=0)
    predictor, table = Predictor.load(tmp_path), table_of(past(), "t1")
    narrow, wide = predictor.predict(table, 0.5), predictor.predict(table, 0.95)
    assert (narrow.lower >= wide.lower).all()
    assert (narrow.upper < wide.upper).all()
    assert ((wide.lower <= wide.score) & (wide.score <= wide.upper)).all()
    with pytest.raises(InputError, match="coverage"):
        predictor.predict(table, 1.5)


def test_hierarchical_bounds_are_wider_and_the_output_says_which(tmp_path):
    train_meta(past(12), tmp_path, minutes=0)
    predictor, table = Predictor.load(tmp_path), table_of(past(), "t1")
    grouped, hierarchical = (predictor.predict(table, bounds=kind) for kind in ("grouped", "hierarchical"))
    assert (hierarchical.upper >= grouped.upper).all()
    assert "hierarchical, from 12 held-out targets" in hierarchical.basis


def test_forecasts_are_the_same_without_reasons(tmp_path):
    train_meta(past(), tmp_path, minutes=0)
    predictor, table = Predictor.load(tmp_path), table_of(past(), "t1")
    plain = predictor.predict(table, explain=False)
    np.testing.assert_allclose(plain.score, predictor.predict(table).score, atol=1e-6)
    assert plain.why.shape == (5, 0)


def test_a_saved_predictor_forecasts_as_before(tmp_path):
    transfers = observed(5, encoders=("e", "f"))
    fitted = Predictor.of(transfers)
    fitted.save(tmp_path / "version", {}, {}, "")
    loaded = Predictor.load(tmp_path / "version")
    for rows in (transfers.candidates, observed(3, seed=7).candidates):
        before, after = fitted.forecast(rows, 0.9), loaded.forecast(rows, 0.9)
        for name in ("score", "lower", "upper", "beats_baseline", "own_spread", "why"):
            np.testing.assert_allclose(getattr(after, name), getattr(before, name), rtol=1e-12)
    assert loaded.fitted.about() == fitted.fitted.about()


def test_a_predictor_is_fitted_on_a_history_or_its_file_without_a_folder(tmp_path):
    history = past(4)
    history.export_file(tmp_path / "history.csv")
    of_history, of_file = Predictor.fit(history), Predictor.fit(tmp_path / "history.csv")
    assert repr(of_history) == "<Predictor fitted: 20 observed transfers>"
    table = table_of(past(), "t0")
    assert np.corrcoef(of_history.predict(table).score, of_file.predict(table).score)[0, 1] > 0.9
    with pytest.raises(InputError, match="nonsense"):
        Predictor.fit(history, features="nonsense")


def test_the_baseline_of_the_table_moves_the_forecast_with_it(tmp_path):
    train_meta(past(12), tmp_path, minutes=0)
    predictor, table = Predictor.load(tmp_path), table_of(past(), "t1")
    low, high = (
        predictor.predict(FeatureTable(table.frame.assign(target_score=score), table.schema, Provenance(encoder="e")))
        for score in (0.3, 0.6)
    )
    assert (high.score > low.score + 0.1).all()


def test_the_probability_to_beat_the_baseline_grows_with_the_forecast(tmp_path):
    train_meta(past(12), tmp_path, minutes=0)
    forecast = Predictor.load(tmp_path).predict(table_of(past(), "t1"))
    order = np.argsort(forecast.score)
    assert (np.diff(forecast.beats_baseline[order]) >= 0).all()
    assert (forecast.beats_baseline > 0).all()
    assert (forecast.beats_baseline < 1).all()


def test_without_history_a_forecast_says_that_it_is_an_order_only(tmp_path):
    table = table_of(past(), "t0")
    assert Predictor().predict(table).is_order_only
    assert repr(Predictor().predict(table)) == "<Forecast of 5 candidates, 1 targets: an order only; predictor prior>"
    train_meta(past(12), tmp_path, minutes=0)
    assert not Predictor.load(tmp_path).predict(table).is_order_only


def test_bounds_are_hierarchical_below_ten_targets_and_pooled_ones_say_that_they_are_too_few(tmp_path):
    train_meta(past(9), tmp_path / "nine", minutes=0)
    train_meta(past(12), tmp_path / "twelve", minutes=0)
    table = table_of(past(), "t1")
    nine, twelve = (Predictor.load(tmp_path / name) for name in ("nine", "twelve"))
    assert "hierarchical, from 9 held-out targets" in nine.predict(table).basis
    assert "pooled over the rows of 9 held-out targets, too few" in nine.predict(table, bounds="grouped").basis
    assert "pooled over the rows of 12 held-out targets." in twelve.predict(table).basis
    np.testing.assert_array_equal(nine.predict(table).lower, nine.predict(table, bounds="hierarchical").lower)


def test_the_error_that_rows_share_and_their_own_are_learned_and_kept(tmp_path):
    train_meta(past(12), tmp_path, minutes=0)
    forecast = Predictor.load(tmp_path).predict(table_of(past(), "t1"))
    assert 0 < forecast.own_spread[0] < forecast.spread[0]
    assert forecast.shared_spread[0] >= 0


def test_recipes_of_every_adaptation_are_told_apart_whatever_their_rates():
    adaptations = get_args(Adaptation)
    candidates = [Candidate("s", "t", adaptation) for adaptation in adaptations]
    found = candidates_of(np.empty((len(candidates), 0)), (), candidates, {}, "e")
    kinds = [number for number, column in enumerate(found.schema) if column.name not in ("recipe_log_lr", "recipe_epochs")]
    assert len(np.unique(found.values[:, kinds], axis=0)) == len(adaptations)
