"""The regressor: margins and reasons."""

from __future__ import annotations

import json

import numpy as np
import pytest

from transfercast.predictor.trees import contributions, fit_regressor, margins

RNG = np.random.default_rng(0)
INPUTS = RNG.normal(size=(200, 3))
QUERIES = np.repeat(np.arange(10), 20)
OUTCOME = INPUTS[:, 1] + 0.1 * RNG.normal(size=200)


@pytest.fixture(scope="module")
def booster():
    return fit_regressor(INPUTS, OUTCOME)


def test_it_orders_by_the_column_that_matters_and_means_nothing_between_queries(booster):
    said = margins(booster, INPUTS, QUERIES)
    assert np.corrcoef(said, OUTCOME)[0, 1] > 0.8
    assert [said[query == QUERIES].mean() for query in range(10)] == pytest.approx([0.0] * 10, abs=1e-9)


def test_reasons_differ_within_a_query_as_margins_do(booster):
    shares, said = contributions(booster, INPUTS), margins(booster, INPUTS, QUERIES)
    for query in range(10):
        rows = query == QUERIES
        total = shares[rows].sum(axis=1)
        np.testing.assert_allclose(total - total.mean(), said[rows], atol=1e-5)
    assert contributions(booster, np.empty((0, 3))).shape == (0, 3)
    assert margins(booster, np.empty((0, 3)), np.empty(0, dtype=int)).shape == (0,)


def test_the_regressor_says_how_much_and_not_only_which():
    said = fit_regressor(INPUTS, 2 * OUTCOME).inplace_predict(INPUTS)
    assert np.polyfit(said, 2 * OUTCOME, 1)[0] == pytest.approx(1.0, abs=0.2)
    assert np.corrcoef(said, OUTCOME)[0, 1] > 0.9


def test_no_leaf_is_smaller_than_half_a_percent_of_many_rows():
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(4000, 2))
    trees = json.loads(fit_regressor(inputs, inputs[:, 0] + rng.normal(size=4000)).save_raw("json"))
    grown = trees["learner"]["gradient_booster"]["model"]["trees"]
    leaves = [
        size for tree in grown for size, left in zip(tree["sum_hessian"], tree["left_children"], strict=True) if left == -1
    ]
    assert 20 <= min(leaves) < 60
