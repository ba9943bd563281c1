r"""ANSAT: the average number of terms of a document that are active in both of two models.

.. math:: \mathrm{ANSAT}(M_A, M_B, D, T) = \frac1{|D|} \sum_{d \in D} \sum_{w \in d}
    [\mathrm{act}_{M_A}(d, w) \ge T]\,[\mathrm{act}_{M_B}(d, w) \ge T]

A term is active in both where the smaller of its two activities reaches the threshold, so one sorted array gives all
thresholds. Pugantsov and McCreadie, "Identifying Suitable Tasks for Inductive Transfer Through the Analysis of Feature
Attributions" (ECIR 2022).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from transfercast.core.errors import ShapeError

THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 15))
"""0.05, 0.10, ..., 0.70."""


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
    smaller = np.sort(np.minimum(np.concatenate(first), np.concatenate(second)))
    return (len(smaller) - np.searchsorted(smaller, THRESHOLDS, side="left")) / len(first)


def shared_terms(
    words: Sequence[Sequence[str]], first: Sequence[np.ndarray], second: Sequence[np.ndarray], threshold: float = 0.2
) -> dict[str, float]:
    """Terms active in both models, with the sum over documents of the smaller activity; the heaviest first."""
    weights: dict[str, float] = {}
    for document, a, b in zip(words, first, second, strict=True):
        for word, weight in zip(document, np.minimum(a, b), strict=True):
            if weight >= threshold:
                weights[word] = weights.get(word, 0.0) + float(weight)
    return dict(sorted(weights.items(), key=lambda item: -item[1]))
