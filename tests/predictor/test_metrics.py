"""Figures by which orders are judged, against hand-worked cases and other people's code."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from transfercast.predictor.metrics import mean_regret, ndcg, regret, share_of_time


@settings(max_examples=60)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=9, unique=True), st.integers(0, 2**32 - 1))
def test_ndcg_equals_scikit_learn_s(truth, seed):
    truth = np.array(truth)
    forecast = np.random.default_rng(seed).permutation(len(truth)).astype(float)
    relevance = (-truth).argsort().argsort()
    gains = 2.0 ** (len(truth) - 1 - relevance) - 1
    assert ndcg(forecast, truth) == pytest.approx(ndcg_score([gains], [forecast]))


def test_ndcg_does_not_depend_on_the_row_order_of_equal_truths():
    truth = np.array([0.5, 0.5, 0.9])
    assert ndcg(np.array([3.0, 2.0, 1.0]), truth) == pytest.approx(ndcg(np.array([2.0, 3.0, 1.0]), truth))


def test_regret_worked_by_hand():
    # best is .8; the two best-ranked reached .4 and .6: 100 (.8 - .6) / .8
    assert regret(np.array([3.0, 2.0, 1.0]), np.array([0.4, 0.6, 0.8]), 2) == pytest.approx(25)
    assert regret(np.array([3.0, 2.0, 1.0]), np.array([0.4, 0.6, 0.8]), 3) == 0
    # @1: 50, @3 and @5: 0
    assert mean_regret(np.array([3.0, 2.0, 1.0]), np.array([0.4, 0.6, 0.8])) == pytest.approx(50 / 3)


def test_the_share_of_time_worked_by_hand():
    truth, hours = np.array([0.70, 0.795, 0.80]), np.array([1.0, 2.0, 5.0])
    # .795 is within 1 % of .8: the first two trainings, 3 of 8 hours
    assert share_of_time(np.array([3.0, 2.0, 1.0]), truth, hours) == pytest.approx(3 / 8)
    assert share_of_time(np.array([1.0, 2.0, 3.0]), truth, hours) == pytest.approx(5 / 8)
    assert share_of_time(np.array([1.0, 3.0, 2.0]), truth, np.zeros(3)) == pytest.approx(1 / 3)


def test_ndcg_is_a_number_for_thousands_of_candidates():
    scores = np.random.default_rng(0).permutation(3000) / 3000
    assert ndcg(scores, scores) == pytest.approx(1)
    small, large = (ndcg(np.r_[scores[:n][::-1]], scores[:n]) for n in (1000, 1100))
    assert 0 < small < 1
    assert 0 < large < 1


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 2), min_size=2, max_size=5), st.integers(0, 2**32 - 1))
def test_each_figure_of_equal_forecasts_is_its_mean_over_all_their_orders(held, seed):
    rng = np.random.default_rng(seed)
    forecast, truth, hours = np.array(held, dtype=float), rng.integers(1, 5, len(held)) / 5, rng.uniform(0.1, 2, len(held))
    for figure in (ndcg, mean_regret, lambda f, t: share_of_time(f, t, hours)):
        orders = []
        for order in permutations(range(len(held))):
            broken = forecast - 1e-3 * np.argsort(order)  # as if no two were equal
            orders.append(figure(broken, truth))
        assert figure(forecast, truth) == pytest.approx(np.mean(orders))


def test_a_measure_that_holds_all_equal_is_a_random_order_whatever_the_order_of_rows():
    truth = np.array([0.9, 0.1, 0.5])
    for order in permutations(range(3)):
        rows = list(order)
        assert ndcg(np.zeros(3), truth[rows]) == pytest.approx(ndcg(np.zeros(3), truth))
        assert regret(np.zeros(3), truth[rows], 1) == pytest.approx(100 * (0.9 - 0.5) / 0.9)  # the mean score is .5
