"""Vocabulary: overlap of the word pieces of the source's and the target's texts, and divergences of their frequencies.

Jaccard coefficient of the two sets of word pieces of the base encoder; Kullback-Leibler divergence of the target's unigrams
from the source's (add-one smoothed), and the Jensen-Shannon divergence. Ruder and Plank, "Learning to select data for
transfer learning with Bayesian Optimization" (EMNLP 2017), arXiv:1707.05246.
"""

from __future__ import annotations

import numpy as np

from transfercast.core.kinds import ALL_KINDS
from transfercast.features.registry import measure


@measure(
    kinds=ALL_KINDS,
    better={"vocabulary_overlap": "higher", "unigram_kl": "lower", "unigram_js": "lower"},
    group="data",
    paper="ruder2017learning",
    columns=("vocabulary_overlap", "unigram_kl", "unigram_js"),
)
def vocabulary(source_unigrams: np.ndarray, target_unigrams: np.ndarray) -> np.ndarray:
    """Overlap of word pieces in [0, 1], KL and JS divergence of their frequencies in nats (at least 0, at most ln 2).

    Args:
        source_unigrams, target_unigrams: (V,) counts of each word piece in the source's and the target's rows.
    """
    both = ((source_unigrams > 0) & (target_unigrams > 0)).sum()
    either = ((source_unigrams > 0) | (target_unigrams > 0)).sum()
    p, q = target_unigrams / target_unigrams.sum(), source_unigrams / source_unigrams.sum()
    smooth = (source_unigrams + 1) / (source_unigrams + 1).sum()
    middle = (p + q) / 2
    return np.array([both / either, _divergence(p, smooth), (_divergence(p, middle) + _divergence(q, middle)) / 2])


def _divergence(p: np.ndarray, q: np.ndarray) -> float:
    occurs = p > 0
    return float((p[occurs] * np.log(p[occurs] / q[occurs])).sum())
