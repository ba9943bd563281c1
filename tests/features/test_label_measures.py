"""LEEP, NCE, H-score and neighbours: slow transcriptions of the formulas, cases worked by hand, and laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group

from transfercast.core.errors import ShapeError
from transfercast.features.measures.frozen_transfer import frozen_transfer
from transfercast.features.measures.h_score import h_score
from transfercast.features.measures.leep import leep
from transfercast.features.measures.logme import logme
from transfercast.features.measures.logme_layers import logme_layers
from transfercast.features.measures.nce import nce
from transfercast.features.measures.nearest_neighbours import K, nearest_neighbours


@st.composite
def guesses_and_labels(draw):
    n, z = draw(st.integers(1, 9)), draw(st.integers(2, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return rng.dirichlet(np.ones(z), n), rng.integers(0, 3, n)


def slow_leep(theta, labels):
    n, total = len(labels), 0.0
    for i in range(n):
        inner = 0.0
        for z in range(theta.shape[1]):
            joint = sum(theta[j, z] for j in range(n) if labels[j] == labels[i]) / n
            marginal = sum(theta[j, z] for j in range(n)) / n
            inner += joint / marginal * theta[i, z]
        total += math.log(inner)
    return total / n


def slow_nce(theta, labels):
    guesses, n = theta.argmax(1), len(labels)
    total = 0.0
    for y in set(labels.tolist()):
        for z in set(guesses.tolist()):
            joint = sum((labels == y) & (guesses == z)) / n
            if joint:
                total += joint * math.log(joint / (sum(guesses == z) / n))
    return total


@settings(max_examples=60, deadline=None)
@given(guesses_and_labels())
def test_leep_and_nce_equal_their_formulas(case):
    assert leep(*case) == pytest.approx(slow_leep(*case), abs=1e-12)
    assert nce(*case) == pytest.approx(slow_nce(*case), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(guesses_and_labels())
def test_leep_and_nce_lie_between_guessing_at_random_and_knowing(case):
    lowest = -math.log(len(set(case[1].tolist()))) - 1e-9
    assert lowest <= nce(*case) <= 1e-12
    assert lowest <= leep(*case) <= 1e-9


def test_a_source_that_knows_the_labels_leaves_nothing_open():
    labels = np.array([0, 1, 1, 2])
    assert leep(np.eye(3)[labels], labels) == pytest.approx(0)
    assert nce(np.eye(3)[labels], labels) == pytest.approx(0)
    # a source that always says the same leaves the entropy of the labels: 1/4, 1/2, 1/4
    assert nce(np.tile([0.9, 0.1], (4, 1)), labels) == pytest.approx(-1.5 * math.log(2))
    assert leep(np.tile([0.9, 0.1], (4, 1)), labels) == pytest.approx(-1.5 * math.log(2))


def test_leep_falls_as_the_source_becomes_unsure():
    labels = np.array([0, 1] * 10)
    sure = np.eye(2)[labels]
    values = [leep((1 - doubt) * sure + doubt / 2, labels) for doubt in (0.0, 0.2, 0.5, 0.9)]
    assert values == sorted(values, reverse=True)


def slow_h_score(features, labels):
    """The formula with Ledoit and Wolf's shrinkage written out."""
    n, d = features.shape
    x = features - features.mean(0)
    sample = sum(np.outer(row, row) for row in x) / n
    mu = np.trace(sample) / d
    distance = np.sum((sample - mu * np.eye(d)) ** 2) / d
    noise = sum(np.sum((np.outer(row, row) - sample) ** 2) for row in x) / n**2 / d
    shrinkage = min(noise, distance) / distance
    covariance = (1 - shrinkage) * sample + shrinkage * mu * np.eye(d)
    between = sum((labels == c).mean() * np.outer(m := x[labels == c].mean(0), m) for c in set(labels.tolist()))
    return np.trace(np.linalg.inv(covariance) @ ((1 - shrinkage) * between))


@pytest.mark.parametrize(("n", "d"), [(30, 4), (9, 14)])
def test_h_score_equals_its_formula_also_with_fewer_rows_than_features(n, d):
    rng = np.random.default_rng(n)
    labels = np.arange(n) % 3
    features = rng.normal(size=(n, d)) + labels[:, None]
    assert h_score(features, labels) == pytest.approx(slow_h_score(features, labels), rel=1e-9)


def by_hand(features, labels):
    """Votes of the K nearest others; of classes with as many votes, that of the nearest row."""
    right = 0
    for i in range(len(labels)):
        distances = [(np.sum((features[i] - features[j]) ** 2), j) for j in range(len(labels)) if j != i]
        votes = [labels[j] for _, j in sorted(distances)[:K]]
        most = max(votes.count(one) for one in votes)
        right += next(one for one in votes if votes.count(one) == most) == labels[i]
    return right / len(labels)


def test_neighbours_equal_a_search_by_hand():
    for seed in range(5):
        rng = np.random.default_rng(seed)
        features, labels = rng.normal(size=(30, 3)), rng.integers(0, 3, 30)
        assert nearest_neighbours(features, labels) == pytest.approx(by_hand(features, labels))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.permutations([0, 1, 2]), st.sampled_from([leep, nce, logme, h_score, nearest_neighbours]))
def test_the_names_of_classes_do_not_matter(seed, names, function):
    rng = np.random.default_rng(seed)
    rows, labels = rng.dirichlet(np.ones(4), 30), rng.integers(0, 3, 30)
    assert function(rows, np.array(names)[labels]) == pytest.approx(function(rows, labels), abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([logme, h_score, nearest_neighbours]))
def test_turning_the_space_of_features_does_not_matter(seed, function):
    rng = np.random.default_rng(seed)
    rows, labels = rng.normal(size=(30, 4)), rng.integers(0, 3, 30)
    turned = rows @ ortho_group.rvs(4, random_state=seed)
    assert function(turned, labels) == pytest.approx(function(rows, labels), abs=1e-7)


@pytest.mark.parametrize("function", [h_score, nearest_neighbours])
def test_noise_in_the_features_lowers_the_score(function):
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 40)
    signal, noise = np.eye(6)[labels], rng.normal(size=(120, 6))
    values = [function(signal + scale * noise, labels) for scale in (0.1, 0.5, 1.0, 3.0)]
    assert values == sorted(values, reverse=True)
    assert values[0] > values[-1]


def test_neighbours_of_values_are_judged_by_correlation():
    line = np.linspace(0, 1, 40)
    assert nearest_neighbours(line[:, None], line) > 0.95
    assert nearest_neighbours(line[:, None], np.ones(40)) == 0.0


def test_neighbours_may_be_the_same_point_twice_but_never_the_row_itself():
    assert nearest_neighbours(np.array([[0.0], [0.0], [9.0]]), np.array([0, 1, 2])) == 0.0


def frozen(features, labels):
    return frozen_transfer(features, labels, "positive_f1")


LABELS = np.arange(12) % 2


@pytest.mark.parametrize("function", [logme, h_score, nearest_neighbours, frozen])
@pytest.mark.parametrize("shape", [(12, 4), (12, 20)])
@pytest.mark.parametrize("value", [0.0, 0.7, -3e4])
def test_features_that_are_the_same_for_every_row_say_nothing(function, shape, value):
    assert math.isnan(function(np.full(shape, value), LABELS))


@pytest.mark.parametrize("function", [logme, h_score, nearest_neighbours, frozen, leep, nce])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_features_that_are_no_numbers_say_nothing(function, value):
    features = np.random.default_rng(0).dirichlet(np.ones(4), 12)
    features[7, 2] = value
    if function in (leep, nce) and value == math.inf:
        pytest.skip("no probability is infinite")
    assert math.isnan(function(features, LABELS))


def test_features_that_differ_in_one_row_still_say_something():
    features = np.zeros((12, 4))
    features[3] = 1
    assert all(math.isfinite(function(features, LABELS)) for function in (logme, h_score, nearest_neighbours, frozen))


def test_the_best_layer_is_the_best_of_those_that_say_something():
    rng = np.random.default_rng(0)
    layers = np.stack([np.zeros((12, 4)), rng.normal(size=(12, 4))])
    assert logme_layers(layers, layers[1], LABELS)[2] == pytest.approx(logme(layers[1], LABELS))


@pytest.mark.parametrize("function", [leep, nce, h_score, nearest_neighbours])
def test_rows_without_labels_are_refused(function):
    with pytest.raises(ShapeError):
        function(np.ones((3, 2)), np.array([0, 1]))
