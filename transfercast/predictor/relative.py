"""Relative scores: scores normalised within their query (target x encoder x metric), which is what models learn.

With r the rank of a score within its query (1 is the best; equal scores share the mean of their ranks),

    exponential rank   2^(-(r - 1) / 3): the difference of the first two counts more than the order of the last
    z-score            difference from the query's mean, in standard deviations of the query
    relative score     w z-score of the score + (1 - w) z-score of the exponential rank

All are comparable between metrics. With z-scores of scores alone the best sources are ranked worse, and exponential ranks
alone have little information on the differences of scores. The weight w is 1/2; for a query of n rows, more than MANY_ROWS, it
is 1/2 MANY_ROWS / n: a budget trains only a few of them, however many there are, and the many others decide the z-score.
Outcomes of a query depend on no other query.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

HALVING_RANKS = 3.0
"""Number of ranks over which the exponential rank halves."""

MANY_ROWS = 100

OUTCOMES = ("relative score", "z-score of the exponential rank")
"""What models learn of a score, in this order. The second is called exponential rank elsewhere, too."""


def exponential_rank(scores: np.ndarray) -> np.ndarray:
    """(n,) exponential ranks of the scores of one query, with mean 0.

    >>> exponential_rank(np.array([0.9, 0.1, 0.5])).round(2).tolist()
    [0.19, -0.18, -0.01]
    """
    values = 2.0 ** (-(rankdata(-scores) - 1) / HALVING_RANKS)
    return np.asarray(values - values.mean())


def outcomes(scores: np.ndarray, query_ids: np.ndarray) -> np.ndarray:
    """(n, 2) OUTCOMES, with mean 0 in each query; 0 if all scores of a query are equal."""
    ranks, weight = np.zeros(len(scores)), np.zeros(len(scores))
    for rows in rows_by_query(query_ids):
        ranks[rows] = exponential_rank(scores[rows])
        weight[rows] = 0.5 * min(1.0, MANY_ROWS / max(len(rows), 1))
    z, rank = zscore_within(np.stack([scores, ranks], axis=1), query_ids).T
    return np.stack([weight * z + (1 - weight) * rank, rank], axis=1)


def relative_scores(scores: np.ndarray, query_ids: np.ndarray) -> np.ndarray:
    """(n,) relative scores, the first of OUTCOMES."""
    return np.asarray(outcomes(scores, query_ids)[:, 0])


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
