"""ANSAT against the formula's own loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfercast.attribution.ansat import THRESHOLDS, ansat_of_pairs, pack, shared_counts, shared_terms
from transfercast.core.errors import ShapeError


def loops(first, second):
    """The definition, word by word."""
    if not first:
        return [np.nan] * len(THRESHOLDS)
    return [
        sum(int(a >= t) * int(b >= t) for x, y in zip(first, second, strict=True) for a, b in zip(x, y, strict=True))
        / len(first)
        for t in THRESHOLDS
    ]


def on_one_set(first, second):
    """ANSAT of one pair on documents positive for both."""
    rows = [{name: {("A", "B"): pack(np.concatenate(values))}} for name, values in (("A", first), ("B", second))]
    return ansat_of_pairs([("A", "B")], {("A", "B"): len(first)}, *rows)["A", "B"][2]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_it_equals_plain_loops(seed, documents):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 9, documents)
    first, second = ([rng.choice([-0.3, 0.05, 0.1, 0.35, 0.7, 1.0], n) for n in sizes] for _ in range(2))
    np.testing.assert_allclose(on_one_set(first, second), loops(first, second), atol=1e-12)


def test_two_documents_worked_by_hand():
    # document 1: min = (.6, .1); document 2: min = (.2,).  At .05: 3 terms / 2; at .15: 2 / 2; at .25 to .60: 1 / 2; above: 0
    found = on_one_set([np.array([0.9, 0.1]), np.array([0.2])], [np.array([0.6, 0.8]), np.array([0.7])])
    assert found[0] == 1.5
    assert found[2] == 1.0
    assert found[4:12].tolist() == [0.5] * 8
    assert found[12:].tolist() == [0.0, 0.0]


def test_without_documents_it_is_missing_not_zero():
    assert np.isnan(ansat_of_pairs([("A", "B")], {}, {}, {})["A", "B"]).all()


def test_there_are_fourteen_thresholds():
    assert len(THRESHOLDS) == 14
    assert (THRESHOLDS[0], THRESHOLDS[-1]) == (0.05, 0.7)


def test_shared_terms_are_weighted_by_the_smaller_activity():
    terms = [["water", "now", "water"], ["water"], ["road"]]
    first = [np.array([0.9, 0.1, 0.3]), np.array([0.5]), np.array([0.25])]
    second = [np.array([0.4, 0.9, 0.8]), np.array([0.3]), np.array([0.6])]
    found = shared_terms(terms, first, second, threshold=0.2)
    assert [(one.term, one.documents) for one in found] == [("water", 2), ("road", 1)]
    assert [one.weight for one in found] == pytest.approx([0.4 + 0.3 + 0.3, 0.25])


def test_bits_are_padded_with_inactive_terms():
    assert pack(np.ones(65)).shape == (14, 2)
    assert np.bitwise_count(pack(np.ones(65))).sum(1).tolist() == [65] * 14
    assert pack(np.array([0.05, 0.049999, 0.7]))[:, 0].tolist() == [5] + [4] * 13


def test_all_pairs_are_compared_on_all_three_sets_of_documents(monkeypatch):
    monkeypatch.setattr("transfercast.attribution.ansat.WORDS_AT_ONCE", 30)  # several steps, as in a large pool
    rng = np.random.default_rng(0)
    sources, targets = ["s0", "s1", "s2"], ["t0", "t1"]
    pairs = [(s, t) for s in sources for t in targets if (s, t) != ("s1", "t0")]
    sets = {(s, None): 3 for s in sources} | {(None, t): 40 for t in targets} | {("s0", "t1"): 2, ("s1", "t1"): 1}
    lengths = {key: rng.integers(1, 9, number) for key, number in sets.items()}
    models = {
        name: {key: [rng.choice([-0.3, 0.05, 0.12, 0.35, 0.7], n) for n in lengths[key]] for key in sets}
        for name in sources + targets
    }
    rows = {name: {key: pack(np.concatenate(of_set)) for key, of_set in sets_.items()} for name, sets_ in models.items()}
    found = ansat_of_pairs(pairs, sets, rows, rows)
    assert list(found) == pairs
    for source, target in pairs:
        for values, key in zip(found[source, target], [(source, None), (None, target), (source, target)], strict=True):
            expected = loops(models[source].get(key, []), models[target].get(key, []))
            np.testing.assert_allclose(values, expected, atol=1e-12)


def test_bits_of_different_terms_are_refused():
    with pytest.raises(ShapeError, match="not of the same terms"):
        shared_counts(np.zeros((2, 14, 1), dtype=np.uint64), np.zeros((2, 14, 2), dtype=np.uint64))


def test_several_rows_are_packed_at_once():
    rows = np.random.default_rng(0).random((2, 70))
    np.testing.assert_array_equal(pack(rows), np.stack([pack(row) for row in rows]))
