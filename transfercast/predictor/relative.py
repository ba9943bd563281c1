"""Relative scores: scores normalised within their query (target x encoder x metric), which is what models learn.

With r the rank of a score within its query (1 is the best; equal scores share the mean of their ranks),

    exponential rank   2^(-(r - 1) / 3) minus its mean: the difference of the first two counts more than the order of the last
    z-score            difference from the query's mean, in standard deviations of the query

Both are comparable between metrics. Models learn the mean of the z-score and the exponential rank, which is also divided by its
standard deviation within the query. With the z-score alone the best sources are ranked worse, and the exponential rank alone
has little information on the differences of scores. Relative scores of a query depend on no other query.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

HALVING_RANKS = 3.0
"""Number of ranks over which the exponential rank halves."""


def exponential_rank(scores: np.ndarray) -> np.ndarray:
    """(n,) exponential ranks of the scores of one query, with mean 0.

    >>> exponential_rank(np.array([0.9, 0.1, 0.5])).round(2).tolist()
    [0.19, -0.18, -0.01]
    """
    values = 2.0 ** (-(rankdata(-scores) - 1) / HALVING_RANKS)
    return np.asarray(values - values.mean())


def relative_scores(scores: np.ndarray, query_ids: np.ndarray) -> np.ndarray:
    """(n,) relative scores, with mean 0 in each query; 0 if all scores of a query are equal."""
    ranks = np.zeros(len(scores))
    for rows in rows_by_query(query_ids):
        ranks[rows] = exponential_rank(scores[rows])
    parts = zscore_within(np.stack([scores, ranks], axis=1), query_ids)
    return np.asarray(parts.mean(axis=1))


def rows_by_query(query_ids: np.ndarray) -> list[np.ndarray]:
    """Row numbers of each query; `query_ids` are (n,) numbers from 0."""
    order = np.argsort(query_ids, kind="stable")
    return np.split(order, np.cumsum(np.bincount(query_ids))[:-1]) if len(query_ids) else []


def zscore_within(values: np.ndarray, query_ids: np.ndarray) -> np.ndarray:
    """(n, f) columns as z-scores within each query; NaN stays NaN, and values that are all equal become 0.

    Args:
        values: (n, f) values.
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
