r"""ANSAT: the average number of terms of a document that are active in both of two models.

.. math:: \mathrm{ANSAT}(M_A, M_B, D, T) = \frac1{|D|} \sum_{d \in D} \sum_{w \in d}
    [\mathrm{act}_{M_A}(d, w) \ge T]\,[\mathrm{act}_{M_B}(d, w) \ge T]

The active terms at each threshold are packed into bits, 64 terms in a machine word, so that one AND and one count of bits
compare two models on 64 terms. Pugantsov and McCreadie, "Identifying Suitable Tasks for Inductive Transfer Through the
Analysis of Feature Attributions" (ECIR 2022).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import NamedTuple

import numpy as np

from transfercast.core.errors import ShapeError

THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 15))
"""0.05, 0.10, ..., 0.70, in units of F."""

WORDS_AT_ONCE = 2**18
"""Machine words compared in one step: 2 MB, which fit into a core's cache."""


def pack(activities: np.ndarray) -> np.ndarray:
    """(..., 14, W) uint64 bits of (..., terms) activities: which terms reach each threshold; W is terms / 64, rounded up."""
    active = activities[..., None, :] >= np.array(THRESHOLDS)[:, None]
    bits = np.packbits(active, axis=-1, bitorder="little")
    room = np.zeros((*active.shape[:-1], -(-active.shape[-1] // 64) * 8), dtype=np.uint8)
    room[..., : bits.shape[-1]] = bits
    return room.view(np.uint64)


def shared_counts(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(m, k, 14) number of terms active in both models of each pair, at each threshold.

    Args:
        first: (m, 14, W) bits, from `pack`.
        second: (k, 14, W) bits of the same terms.

    Raises:
        ShapeError: if they are not of the same terms.
    """
    if first.shape[1:] != second.shape[1:]:
        raise ShapeError(f"bits of shape {first.shape} and {second.shape} are not of the same terms.")
    counts = np.empty((len(first), len(second), len(THRESHOLDS)), dtype=np.int64)
    step = max(1, WORDS_AT_ONCE // max(1, first[0].size if len(first) else 1))

    def compare(start: int) -> None:
        part = second[start : start + step]
        both = np.empty_like(part)
        for row, bits in enumerate(first):
            np.bitwise_and(bits, part, out=both)
            counts[row, start : start + step] = np.bitwise_count(both).sum(-1, dtype=np.uint32)

    starts = range(0, len(second), step)
    if len(starts) == 1:
        compare(0)
    else:
        with ThreadPoolExecutor() as threads:
            list(threads.map(compare, starts))
    return counts


DocumentSet = tuple[str | None, str | None]
"""Sets of documents: (A, None) those positive for task A, (None, B) for task B, (A, B) for both."""

Rows = Mapping[str, Mapping[DocumentSet, np.ndarray]]
"""For each model, the (14, W) bits of the sets that it was attributed on, from `pack`."""


def ansat_of_pairs(
    pairs: Iterable[tuple[str, str]], sizes: Mapping[DocumentSet, int], firsts: Rows, seconds: Rows
) -> dict[tuple[str, str], np.ndarray]:
    """ANSAT of every pair (A, B) on the documents of A, of B, and of both: (3, 14); NaN for a set without documents.

    All models of one set of documents are compared in one step, so the cost is that of comparing the bits.

    Args:
        pairs: pairs of a first and a second model.
        sizes: number of documents of each set that has any.
        firsts, seconds: rows of the first and of the second models.
    """
    pairs = list(pairs)
    values = {pair: np.full((3, len(THRESHOLDS)), np.nan) for pair in pairs}
    readers: defaultdict[DocumentSet, tuple[dict[str, None], dict[str, None]]] = defaultdict(lambda: ({}, {}))
    for first, second in pairs:
        sets: list[DocumentSet] = [(first, None), (None, second), (first, second)]
        for documents in sets:
            readers[documents][0][first] = readers[documents][1][second] = None
    for documents, (firsts_of, seconds_of) in readers.items():
        if documents not in sizes:
            continue
        place = 2 if None not in documents else 1 - documents.index(None)
        of_firsts = np.stack([firsts[name][documents] for name in firsts_of])
        of_seconds = np.stack([seconds[name][documents] for name in seconds_of])
        counts = shared_counts(of_firsts, of_seconds)
        for (row, first), (column, second) in product(enumerate(firsts_of), enumerate(seconds_of)):
            values[first, second][place] = counts[row, column] / sizes[documents]
    return values


class SharedTerm(NamedTuple):
    """A term that drives both models' decisions.

    Attributes:
        term: the result of `transfercast.attribution.words.term_of`.
        weight: sum, over the places where it is active in both, of the smaller activity.
        documents: number of documents that hold it.
    """

    term: str
    weight: float
    documents: int


def shared_terms(
    terms: Sequence[Sequence[str]], first: Sequence[np.ndarray], second: Sequence[np.ndarray], threshold: float
) -> list[SharedTerm]:
    """Terms whose activity reaches the threshold in both models, those of largest weight first.

    Args:
        terms: for each document, one term for each word.
        first, second: for each document the (words,) activities in one model and in the other.
        threshold: activity that both must reach.
    """
    weights: defaultdict[str, float] = defaultdict(float)
    documents: Counter[str] = Counter()
    for document, a, b in zip(terms, first, second, strict=True):
        smaller = np.minimum(a, b)
        active = [(term, float(weight)) for term, weight in zip(document, smaller, strict=True) if weight >= threshold]
        for term, weight in active:
            weights[term] += weight
        documents.update({term for term, _ in active})
    shared = [SharedTerm(term, weight, documents[term]) for term, weight in weights.items()]
    return sorted(shared, key=lambda term: -term.weight)
