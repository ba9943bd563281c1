"""Relative scores: scores normalised within their query (target x encoder x metric), which is what models learn.

With r the rank of a score within its query (1 is the best; equal scores share the mean of their ranks),

    exponential rank   2^(-(r - 1) / 3), less its mean: telling the best from the second counts more than the order of the last
    z-score            distance from the query's mean in its standard deviations

Both mean the same in every metric. Models learn the mean of the two, the ranks divided by their deviation within the query,
too: the z-score alone ranks the best sources worse, and the exponential rank alone says little of how far apart scores are.
Relative scores of a query rest on no other query.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

HALVING_RANKS = 3.0
"""Ranks after which an exponential rank has halved."""


def exponential_rank(scores: np.ndarray) -> np.ndarray:
    """(n,) exponential ranks of the scores of one query, with mean 0.

    >>> exponential_rank(np.array([0.9, 0.1, 0.5])).round(2).tolist()
    [0.19, -0.18, -0.01]
    """
    values = 2.0 ** (-(rankdata(-scores) - 1) / HALVING_RANKS)
    return np.asarray(values - values.mean())


def relative_scores(scores: np.ndarray, query_ids: np.ndarray) -> np.ndarray:
    """(n,) relative scores, with mean 0 in each query; 0 where a query's scores are equal."""
    ranks = np.zeros(len(scores))
    for rows in rows_by_query(query_ids):
        ranks[rows] = exponential_rank(scores[rows])
    parts = zscore_within(np.stack([scores, ranks], axis=1), query_ids)
    return np.asarray(parts.mean(axis=1))


def rows_by_query(query_ids: np.ndarray) -> list[np.ndarray]:
    """Row numbers of each query, from (n,) numbers from 0."""
    order = np.argsort(query_ids, kind="stable")
    return np.split(order, np.cumsum(np.bincount(query_ids))[:-1]) if len(query_ids) else []


def zscore_within(values: np.ndarray, query_ids: np.ndarray) -> np.ndarray:
    """(n, f) columns as z-scores within each query; NaN stays NaN, and 0 stands where all are equal.

    Args:
        values: (n, f).
        query_ids: (n,) numbers from 0.
    """
    known = np.isfinite(values)
    filled = np.where(known, values, 0.0)
    counts = np.maximum(_sums(known.astype(np.float64), query_ids), 1.0)
    centred = np.where(known, filled - (_sums(filled, query_ids) / counts)[query_ids], 0.0)
    spread = np.sqrt(_sums(centred**2, query_ids) / counts)[query_ids]
    scale = np.abs(filled).max(axis=0, initial=0.0)
    is_equal = spread <= 1e-9 * np.maximum(scale, 1e-9)
    return np.where(known, np.where(is_equal, 0.0, centred / np.where(is_equal, 1.0, spread)), np.nan)


def _sums(values: np.ndarray, query_ids: np.ndarray) -> np.ndarray:
    """(q, f) sums of the rows of each query."""
    result = np.zeros((int(query_ids.max(initial=-1)) + 1, values.shape[1]))
    np.add.at(result, query_ids, values)
    return result
