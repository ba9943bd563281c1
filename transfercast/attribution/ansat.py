r"""ANSAT: the average number of terms of a document that are active in both of two models.

.. math:: \mathrm{ANSAT}(M_A, M_B, D, T) = \frac1{|D|} \sum_{d \in D} \sum_{w \in d}
    [\mathrm{act}_{M_A}(d, w) \ge T]\,[\mathrm{act}_{M_B}(d, w) \ge T]

Whether a term is active at each threshold is packed into bits, 64 terms a word, so that one AND and one count of bits
compare two models on 64 terms. Pugantsov and McCreadie, "Identifying Suitable Tasks for Inductive Transfer Through the
Analysis of Feature Attributions" (ECIR 2022).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from transfercast.core.errors import ShapeError

THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 15))
"""0.05, 0.10, ..., 0.70."""

WORDS_AT_ONCE = 2**18
"""Words of bits compared in one step: 2 MB, which stay in a core's cache."""


def ansat(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> np.ndarray:
    """(14,) average number of shared active terms of n documents at each of THRESHOLDS; NaN without documents.

    Args:
        first, second: for each document the (words,) activities of its words in one model and in the other.

    Raises:
        ShapeError: if the documents or their words differ.
    """
    if [a.shape for a in first] != [b.shape for b in second]:
        raise ShapeError("ansat compares the activities of two models on the same words of the same documents.")
    if not first:
        return np.full(len(THRESHOLDS), np.nan)
    both = (pack(np.concatenate(activities))[None] for activities in (first, second))
    return np.asarray(shared_counts(*both)[0, 0] / len(first))


def pack(activities: np.ndarray) -> np.ndarray:
    """(14, W) uint64 bits of (terms,) activities: which terms reach each threshold; W is terms / 64, rounded up."""
    active = activities >= np.array(THRESHOLDS)[:, None]
    bits = np.packbits(active, axis=1, bitorder="little")
    room = np.zeros((len(THRESHOLDS), -(-active.shape[1] // 64) * 8), dtype=np.uint8)
    room[:, : bits.shape[1]] = bits
    return room.view(np.uint64)


def shared_counts(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(m, k, 14) number of terms active in both models of each pair, at each threshold.

    Args:
        first: (m, 14, W) bits, as `pack` makes them.
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

    with ThreadPoolExecutor() as threads:
        list(threads.map(compare, range(0, len(second), step)))
    return counts


@dataclass(frozen=True, slots=True)
class PoolAnsat:
    """ANSAT of all pairs of M models, (M, M, 14) each; entry [i, j] has task i as A and task j as B.

    Attributes:
        on_a: on the documents positive for A.
        on_b: on those positive for B.
        on_ab: on those positive for both.
    """

    on_a: np.ndarray
    on_b: np.ndarray
    on_ab: np.ndarray


def pool_ansat(bits: np.ndarray, positive: np.ndarray, lengths: np.ndarray) -> PoolAnsat:
    """ANSAT of all pairs of a pool whose models all read the same documents; NaN where a set of documents is empty.

    Args:
        bits: (M, 14, W), `pack` of each model's activities, document after document.
        positive: (M, n) whether each of n documents is positive for each model's task.
        lengths: (n,) terms of each document.

    Raises:
        ShapeError: if the three do not fit each other.
    """
    if positive.shape != (len(bits), len(lengths)) or -(-int(lengths.sum()) // 64) != bits.shape[-1]:
        raise ShapeError(f"bits {bits.shape}, positive {positive.shape} and lengths {lengths.shape} do not fit each other.")
    own = np.stack([row & pack(np.repeat(mask, lengths)) for row, mask in zip(bits, positive, strict=True)])
    with np.errstate(invalid="ignore"):
        on_a = shared_counts(own, bits) / positive.sum(1)[:, None, None]
        on_ab = shared_counts(own, own) / (positive.astype(float) @ positive.T)[..., None]
    return PoolAnsat(on_a, on_a.transpose(1, 0, 2), on_ab)


class SharedTerm(NamedTuple):
    """A term that drives both models' decisions.

    Attributes:
        term: as `transfercast.attribution.words.term_of` writes it.
        weight: sum, over the places where it is active in both, of the smaller activity.
        documents: in so many of them it is.
    """

    term: str
    weight: float
    documents: int


def shared_terms(
    terms: Sequence[Sequence[str]], first: Sequence[np.ndarray], second: Sequence[np.ndarray], threshold: float
) -> list[SharedTerm]:
    """Terms whose activity reaches the threshold in both models, the heaviest first.

    Args:
        terms: of each document, one a word.
        first, second: for each document the (words,) activities in one model and in the other.
        threshold: that both must reach.
    """
    weights: defaultdict[str, float] = defaultdict(float)
    documents: Counter[str] = Counter()
    for document, a, b in zip(terms, first, second, strict=True):
        smaller = np.minimum(a, b)
        active = [(term, float(weight)) for term, weight in zip(document, smaller, strict=True) if weight >= threshold]
        for term, weight in active:
            weights[term] += weight
        documents.update({term for term, _ in active})
    found = [SharedTerm(term, weight, documents[term]) for term, weight in weights.items()]
    return sorted(found, key=lambda one: -one.weight)
