"""Standard errors of scores: against the spread of many validation splits drawn from a known model."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import f1_score, matthews_corrcoef

from transfercast.core.kinds import Kind
from transfercast.execution.standard_error import Units, standard_error, units_of
from transfercast.tasks.task import Examples


@pytest.mark.parametrize(("recall", "rows", "positives"), [(0.8, 100, 30), (0.5, 60, 12), (0.9, 600, 150)])
def test_f1_varies_over_drawn_splits_as_much_as_is_said(recall, rows, positives):
    # a model that finds each positive with probability `recall` and predicts as many positives as there are, on average
    rng = np.random.default_rng(0)
    labels = np.arange(rows) < positives
    false = (1 - recall) * positives / (rows - positives)
    scores = []
    for _ in range(3000):
        predicted = rng.random(rows) < np.where(labels, recall, false)
        scores.append(f1_score(labels, predicted, zero_division=0.0))
    assert standard_error("positive_f1", float(np.mean(scores)), Units(rows, (rows - positives, positives))) == pytest.approx(
        np.std(scores), rel=0.15
    )


def test_accuracy_of_fifteen_rows_is_binomial_with_four_rows_added():
    # 9 of 15 right: (9 + 2) / 19 = 0.578947; sqrt(0.578947 * 0.421053 / 19) = 0.113269
    assert standard_error("accuracy", 0.6, Units(15)) == pytest.approx(0.113269, abs=1e-6)


def test_a_score_of_zero_or_one_is_not_certain():
    # no or all of 16: 2 / 20 = 0.1; accuracy sqrt(0.09 / 20) = 0.067082; F1 of zero sqrt(0.1 * 0.9 * 1.9 / 40) = 0.065383
    assert standard_error("accuracy", 1.0, Units(16)) == pytest.approx(0.067082, abs=1e-6)
    assert standard_error("positive_f1", 0.0, Units(100, (84, 16))) == pytest.approx(0.065383, abs=1e-6)


def test_a_correlation_varies_over_drawn_splits_as_much_as_is_said():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2000, 80))
    y = 0.6 * x + 0.8 * rng.normal(size=x.shape)
    scores = [(np.corrcoef(a, b)[0, 1] + spearmanr(a, b).statistic) / 2 for a, b in zip(x, y, strict=True)]
    assert standard_error("pearson_spearman", float(np.mean(scores)), Units(80)) == pytest.approx(np.std(scores), rel=0.15)


@pytest.mark.parametrize(
    ("metric", "score", "sizes"),
    [
        ("macro_f1", lambda y, p: f1_score(y, p, average="macro"), (100, 100)),
        ("macro_f1", lambda y, p: f1_score(y, p, average="macro"), (100, 60, 40)),
        ("micro_f1", lambda y, p: f1_score(y, p, average="micro"), (100, 60, 40)),
        ("mcc", matthews_corrcoef, (100, 100)),
        ("mcc", matthews_corrcoef, (240, 60)),
        ("mcc", matthews_corrcoef, (80, 80, 80)),
    ],
)
def test_macro_f1_and_matthews_vary_over_drawn_splits_as_much_as_is_said(metric, score, sizes):
    # a model that is right with probability 0.7, and else says a class as often as the class occurs
    rng = np.random.default_rng(2)
    classes, n = np.arange(len(sizes)), sum(sizes)
    scores = []
    for _ in range(1500):
        labels = rng.choice(classes, n, p=np.array(sizes) / n)
        predicted = np.where(rng.random(n) < 0.7, labels, rng.permutation(labels))
        scores.append(score(labels, predicted))
    assert standard_error(metric, float(np.mean(scores)), Units(n, sizes)) == pytest.approx(np.std(scores), rel=0.2)


def test_rows_classes_and_spans_are_counted():
    assert units_of(Kind.BINARY, Examples(("a", "b", "c"), np.array([0, 1, 0]), ("1", "2", "3"))) == Units(3, (2, 1))
    assert units_of(Kind.REGRESSION, Examples(("a",), np.array([0.5]), ("1",))) == Units(1)
    tags = (("B-X", "I-X", "B-X"), ("O",))
    assert units_of(Kind.SEQUENCE, Examples((("a", "b", "c"), ("d",)), tags, ("1", "2"))) == Units(2, (2,))


@pytest.mark.parametrize(
    ("metric", "units"),
    [("rouge", Units(10, (5, 5))), ("accuracy", Units(0)), ("positive_f1", Units(10, (10, 0))), ("mcc", Units(10, (10, 0)))],
)
def test_where_nothing_can_be_said_it_is_missing(metric, units):
    assert math.isnan(standard_error(metric, 0.5, units))
