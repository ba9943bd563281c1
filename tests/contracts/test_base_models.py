"""What every base model must do, whichever is added to `base_models.MODELS`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.predictor.cells import grid, transfers_from
from transfercast.predictor import base_models
from transfercast.predictor.base_models import MODELS, fit_base_models
from transfercast.predictor.masking import COLD
from transfercast.predictor.relative import outcomes

SEEN = grid([f"t{n}" for n in range(12)], [f"s{n}" for n in range(20)])
NEW = grid(["new", "other"], [f"s{n}" for n in range(8)], seed=1).candidates


def fitted(transfers):
    return fit_base_models(transfers, transfers.candidates.schema, history=True)


@pytest.fixture(scope="module")
def models():
    return fitted(SEEN)


@pytest.fixture(params=range(len(MODELS)), ids=MODELS)
def column(request):
    return request.param


def test_it_forecasts_a_finite_number_for_every_row(models, column):
    said = models.forecasts(NEW)
    assert said.shape == (len(NEW), len(MODELS))
    assert np.isfinite(said[:, column]).all()


def test_it_learns_the_evidence_that_scores_follow(models, column):
    said, first = models.forecasts(NEW)[:, column], NEW.matrix(["m0"])[:, 0]
    rows = np.arange(8)
    assert np.corrcoef(said[rows], first[rows])[0, 1] > 0.3


def test_it_forecasts_strangers(models, column):
    strangers = transfers_from([("x", "y", 0.0, "z"), ("s0", "y", 0.0, "z")], [[1.0, np.nan], [np.nan, 0.0]]).candidates
    assert np.isfinite(models.forecasts(strangers)[:, column]).all()


def test_the_order_of_rows_does_not_matter(models, column):
    order = np.random.default_rng(0).permutation(len(NEW))
    np.testing.assert_allclose(models.forecasts(NEW.take(order))[:, column], models.forecasts(NEW)[order, column], atol=1e-6)


def test_a_query_is_forecast_by_itself(models, column):
    alone = NEW.take(NEW.targets == "new")
    both = models.forecasts(NEW)[NEW.targets == "new", column]
    np.testing.assert_allclose(models.forecasts(alone)[:, column], both, atol=1e-6)


def test_scores_count_within_their_query_only(models, column):
    of_t0 = SEEN.candidates.targets == "t0"
    moved = replace(SEEN, score=np.where(of_t0, 0.1 + SEEN.score / 2, SEEN.score))
    np.testing.assert_allclose(fitted(moved).forecasts(NEW)[:, column], models.forecasts(NEW)[:, column], atol=1e-5)


def test_reasons_say_of_a_query_s_rows_what_the_forecast_says(models, column):
    rows = np.nonzero(NEW.targets == "new")[0]
    said, why = models.forecasts(NEW)[rows, column], models.contributions(NEW, rows)[column].sum(axis=1)
    np.testing.assert_allclose(why - why.mean(), said - said.mean(), atol=1e-5)


def test_the_trees_start_from_the_process_s_forecast_of_exponential_ranks_without_the_target(models):
    inputs = models.examples(SEEN)
    own, process = next(models.masked(SEEN, COLD))
    rows = process.matrix.rows_of(SEEN.candidates.take(own))
    np.testing.assert_array_equal(inputs[own, 0], process.forecasts(rows)[1].total)


def test_the_regressor_learns_only_what_the_process_leaves(monkeypatch):
    learned = []
    monkeypatch.setattr(base_models, "fit_regressor", lambda inputs, residual: learned.append((inputs, residual)))
    fitted(SEEN)
    (inputs, residual), top = learned[0], outcomes(SEEN.score, SEEN.candidates.query_ids)[:, 1]
    np.testing.assert_allclose(residual + inputs[:, 0], top)


def test_the_trees_learn_from_no_row_whose_source_only_its_own_target_shows(monkeypatch):
    learned = []
    monkeypatch.setattr(base_models, "fit_regressor", lambda inputs, residual: learned.append(inputs))
    lonely = transfers_from([("only here", "t0", 0.9), ("both", "t0", 0.1), ("both", "t1", 0.3), ("third", "t1", 0.2)])
    fitted(lonely)
    assert len(learned[0]) == 2  # those of "both"


def test_transfers_without_a_source_in_common_are_learned_and_forecast():
    apart = transfers_from([(f"s{n}", f"t{n // 2}", n / 10) for n in range(6)])
    assert np.isfinite(fitted(apart).forecasts(apart.candidates)).all()


def test_the_trees_see_z_scores_of_the_whole_query_as_when_they_forecast(models):
    some = SEEN.take(~((SEEN.candidates.sources == "s0") & (SEEN.candidates.targets != "t0")))  # s0 is left on t0 only
    sparse = fitted(some)
    inputs, whole = sparse.examples(some), sparse.matrix.rows_of(some.candidates).evidence
    known = np.isfinite(inputs[:, 0])
    first = len(base_models.OWN_INPUTS)
    assert not known.all()
    np.testing.assert_allclose(inputs[known, first : first + whole.shape[1]], whole[known])
