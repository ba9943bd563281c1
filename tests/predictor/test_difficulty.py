"""The scale of errors is learned from held-out ones."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from transfercast.predictor.difficulty import LEAST_ERROR, RIDGE, Difficulty, fit_difficulty

RNG = np.random.default_rng(0)
FORECASTS = RNG.normal(size=(3000, 2)) + RNG.normal(size=(3000, 1))
DISAGREEMENT = FORECASTS.std(axis=1)


def test_where_models_disagree_and_errors_were_larger_bounds_are_wider():
    errors = RNG.normal(size=3000) * np.exp(DISAGREEMENT)
    found = fit_difficulty(FORECASTS, errors).of(FORECASTS)
    assert np.corrcoef(found, DISAGREEMENT)[0, 1] > 0.8
    normalised = errors / found
    halves = np.median(DISAGREEMENT) < DISAGREEMENT
    before, after = (np.abs(one[halves]).mean() / np.abs(one[~halves]).mean() for one in (errors, normalised))
    assert abs(np.log(after)) < abs(np.log(before)) / 2


def test_errors_of_one_scale_are_equally_difficult():
    found = fit_difficulty(FORECASTS, RNG.normal(size=3000)).of(FORECASTS)
    assert np.abs(np.log(found)).mean() < 0.05
    assert (fit_difficulty(FORECASTS, np.zeros(3000)).of(FORECASTS) == 1).all()


def test_the_unit_of_errors_does_not_matter():
    errors = RNG.normal(size=3000) * np.exp(DISAGREEMENT)
    one, other = (fit_difficulty(FORECASTS, scale * errors).of(FORECASTS) for scale in (1, 100))
    np.testing.assert_allclose(one, other)


def test_the_weights_are_those_of_scikit_learn_s_ridge():
    errors = RNG.normal(size=3000) * np.exp(DISAGREEMENT)
    mean = FORECASTS.mean(axis=1)
    columns = np.stack([np.abs(mean), mean, DISAGREEMENT], axis=1)
    outcome = np.log(np.abs(errors) / np.sqrt((errors**2).mean()) + LEAST_ERROR)
    expected = Ridge(alpha=RIDGE).fit(columns - columns.mean(axis=0), outcome)
    assert fit_difficulty(FORECASTS, errors).weights == pytest.approx(expected.coef_)


def test_no_forecast_is_more_than_e_times_as_difficult_as_the_mean():
    wild = Difficulty(weights=(0.0, -5.0, 0.0)).of(100 * FORECASTS)
    assert wild.min() == pytest.approx(np.exp(-1))
    assert wild.max() == pytest.approx(np.e)
