"""The best score to expect after some trainings, when each score is its forecast plus a normal error."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

POINTS = 801
REACH = 6.0  # standard deviations around the forecasts that are integrated over

WORTH_STOPPING = 0.005
"""Half a point: when less than this is expected to be left, the rest of a plan is hardly worth its hours."""


def expected_best(start: float, scores: np.ndarray, spreads: np.ndarray, ceiling: float) -> np.ndarray:
    """(k,) expected best score in hand after each of k trainings, in this order.

    The expectation of the largest of `start` and independent normals, by integrating over the distribution of the
    running maximum; it never falls.

    Args:
        start: the score in hand; -inf when there is none.
        scores, spreads: (k,) forecasts and standard deviations of their errors.
        ceiling: the highest value of the metric; no score passes it.
    """
    if not len(scores):
        return np.empty(0)
    low = float((scores - REACH * spreads).min())
    high = float((scores + REACH * spreads).max())
    if np.isfinite(start):
        low, high = min(low, start), max(high, start)
    high = min(high, ceiling)
    grid = np.linspace(low, high, POINTS)
    below = np.cumprod(ndtr((grid[None, :] - scores[:, None]) / spreads[:, None]), axis=0)  # (k, points) P(max <= x)
    # E[min(max(start, M), high)] = high - integral from start to high of P(M <= x) dx
    inside = np.where(grid[None, :] >= start, below, 0.0)
    return np.asarray(high - np.trapezoid(inside, grid, axis=1))
