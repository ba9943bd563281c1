"""Figures by which orders are judged, against hand-worked cases and other people's code."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from transfercast.predictor.ranking import mean_regret, ndcg, regret, share_of_time


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
