"""ANSAT against the formula's own loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfercast.attribution.ansat import THRESHOLDS, ansat, shared_terms
from transfercast.core.errors import ShapeError


def loops(first, second):
    """The definition, word by word."""
    return [
        sum(int(a >= t) * int(b >= t) for x, y in zip(first, second, strict=True) for a, b in zip(x, y, strict=True))
        / len(first)
        for t in THRESHOLDS
    ]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_it_equals_plain_loops(seed, documents):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 9, documents)
    first, second = ([rng.choice([-0.3, 0.05, 0.1, 0.35, 0.7, 1.0], n) for n in sizes] for _ in range(2))
    np.testing.assert_allclose(ansat(first, second), loops(first, second), atol=1e-12)


def test_two_documents_worked_by_hand():
    # document 1: min = (.6, .1); document 2: min = (.2,).  At .05: 3 terms / 2; at .15: 2 / 2; at .25 to .60: 1 / 2; above: 0
    found = ansat([np.array([0.9, 0.1]), np.array([0.2])], [np.array([0.6, 0.8]), np.array([0.7])])
    assert found[0] == 1.5
    assert found[2] == 1.0
    assert found[4:12].tolist() == [0.5] * 8
    assert found[12:].tolist() == [0.0, 0.0]


def test_without_documents_it_is_missing_not_zero():
    assert np.isnan(ansat([], [])).all()


def test_different_documents_are_refused():
    with pytest.raises(ShapeError):
        ansat([np.zeros(2)], [np.zeros(3)])


def test_there_are_fourteen_thresholds():
    assert len(THRESHOLDS) == 14
    assert (THRESHOLDS[0], THRESHOLDS[-1]) == (0.05, 0.7)


def test_shared_terms_are_weighted_by_the_smaller_activity():
    words = [["water", "now"], ["water"]]
    found = shared_terms(words, [np.array([0.9, 0.1]), np.array([0.5])], [np.array([0.4, 0.9]), np.array([0.3])])
    assert found == pytest.approx({"water": 0.7})
