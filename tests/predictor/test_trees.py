"""The ranker and the regressor: relevance, margins and reasons."""

from __future__ import annotations

import numpy as np
import pytest

from transfercast.predictor.trees import MOST_RELEVANCE, contributions, fit_ranker, fit_regressor, margins, relevance

RNG = np.random.default_rng(0)
INPUTS = RNG.normal(size=(200, 3))
QUERIES = np.repeat(np.arange(10), 20)
OUTCOME = INPUTS[:, 1] + 0.1 * RNG.normal(size=200)


@pytest.fixture(scope="module")
def booster():
    return fit_ranker(INPUTS, OUTCOME, QUERIES)


def test_relevance_is_the_rank_from_below_and_of_long_lists_the_top_of_it():
    assert relevance(np.array([0.3, 0.1, 0.3, 5.0]), np.array([0, 0, 0, 1])).tolist() == [1, 0, 1, 0]
    long = relevance(np.arange(100.0), np.zeros(100, dtype=int))
    assert long[-1] == MOST_RELEVANCE
    assert long[:69].tolist() == [0] * 69
    assert long[69] == 1


def test_it_orders_by_the_column_that_matters_and_means_nothing_between_queries(booster):
    said = margins(booster, INPUTS, QUERIES)
    assert np.corrcoef(said, OUTCOME)[0, 1] > 0.8
    assert [said[query == QUERIES].mean() for query in range(10)] == pytest.approx([0.0] * 10, abs=1e-9)


def test_rows_may_come_in_any_order(booster):
    order = np.random.default_rng(1).permutation(200)
    again = fit_ranker(INPUTS[order], OUTCOME[order], QUERIES[order])
    assert np.corrcoef(margins(again, INPUTS, QUERIES), margins(booster, INPUTS, QUERIES))[0, 1] > 0.95


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
