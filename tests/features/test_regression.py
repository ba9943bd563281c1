"""The evidence at its best prior: several maxima, a direction kept apart, float32, and what float32 cannot tell."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from transfercast.features.measures.logme import logme
from transfercast.features.regression import PrecisionError, Problem, _peaks, columns_of, largest_evidence


def evidence_at(features, y, log_t):
    """Log evidence per sample at log t with the best noise, from the n-dimensional normal density."""
    n = len(y)
    t = np.exp(log_t)
    kernel = np.eye(n) + features @ features.T / t
    noise = y @ np.linalg.solve(kernel, y) / n  # the best 1 / beta
    return 0.5 * (-np.log(2 * np.pi * noise) - 1 - np.linalg.slogdet(kernel)[1] / n)


def two_scales(seed):
    """A strong feature that explains a part, and many weak ones that explain the rest: two good priors."""
    rng = np.random.default_rng(seed)
    n = 120
    strong, weak = rng.normal(size=(n, 1)), rng.normal(size=(n, 60))
    y = strong[:, 0] + weak @ rng.normal(size=60) * rng.uniform(0.05, 0.2) + rng.normal(size=n) * rng.uniform(0.1, 1)
    return np.hstack([strong * 1e3, weak]), y


def test_of_several_maxima_the_largest_is_found():
    grid = np.linspace(-12, 22, 1200)
    seen = 0
    for seed in range(12):
        features, y = two_scales(seed)
        curve = np.array([evidence_at(features, y, at) for at in grid])
        inner = curve[1:-1]
        seen += ((inner > curve[:-2]) & (inner > curve[2:])).sum() > 1
        assert logme(features, y) == pytest.approx(curve.max(), abs=1e-4)
        assert logme(features, y) >= curve.max() - 1e-9
    assert seen >= 3  # the case is one of several maxima, or this test would say nothing


def test_a_curve_that_is_flat_to_rounding_has_its_largest_sample_as_top():
    step = np.spacing(1.0)  # 1 - step / 2 is the number before 1: twice the middle is rounded to the sum of its neighbours
    curves = np.array([[1.0 - step / 2, 1.0, 1.0], [1.0, 1.0, 1.0 - step / 2], [1.0, 1.0, 1.0], [1 - step, 1.0, 1 - step / 2]])
    assert _peaks(curves) == pytest.approx(np.ones(4), abs=1e-15)
    tops = -((np.linspace(-1, 1, 5)[None] - np.array([[0.1], [-0.2]])) ** 2)
    assert _peaks(tops) == pytest.approx(np.zeros(2), abs=1e-15)  # of a parabola, exactly


def test_labels_that_nothing_explains_have_the_evidence_of_no_features():
    rng = np.random.default_rng(0)
    features, y = rng.normal(size=(400, 3)), rng.normal(size=400)
    y -= features @ np.linalg.lstsq(features, y)[0]
    n = len(y)
    assert logme(features, y) == pytest.approx(0.5 * (np.log(n / (2 * np.pi * (y @ y))) - 1), abs=1e-8)


def apart(features, columns, dtype):
    """The same regression, with the constant direction kept apart."""
    mean, centred = features.mean(0), features - features.mean(0)
    rest = columns - columns.mean(0)
    root = np.sqrt(len(features))
    gram = np.asfortranarray(centred.T @ centred, dtype=dtype)
    constant = (root * mean, root * columns.mean(0))
    return Problem(gram, centred.T @ rest, (rest**2).sum(0), len(features), constant=constant)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(12, 60), st.integers(1, 10), st.floats(0, 30))
@example(437, 12, 9, 7.0)  # two maxima only three apart in log t
def test_keeping_the_mean_apart_changes_nothing(seed, n, d, offset):
    rng = np.random.default_rng(seed)
    features, labels = rng.normal(size=(n, d)) + offset * rng.normal(size=d), rng.integers(0, 3, n)
    found = largest_evidence(apart(features, columns_of(labels), np.float64)).mean()
    assert found == pytest.approx(logme(features, labels), abs=1e-7)


def test_float32_moves_the_evidence_by_little_though_the_mean_is_large():
    rng = np.random.default_rng(3)
    features = rng.normal(size=(300, 40)) * np.arange(1, 41) ** -1.0 + 50
    labels = (features[:, 0] + features[:, 5] + 0.1 * rng.normal(size=300) > 100).astype(int)
    found = largest_evidence(apart(features, columns_of(labels), np.float32)).mean()
    assert found == pytest.approx(logme(features, labels), abs=1e-5)


def test_float32_says_so_where_it_cannot_tell():
    rng = np.random.default_rng(4)
    features = rng.normal(size=(50, 5))
    with pytest.raises(PrecisionError):  # without noise the best prior is ever wider
        largest_evidence(apart(features, features[:, :1], np.float32))
