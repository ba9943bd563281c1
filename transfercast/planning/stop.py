"""The expected best score after some trainings, if each score is its forecast plus a normal error.

Errors of a target's rows are correlated: an error has a part that all rows share, and a part of its own. With the shared part
z, forecasts s_i, own standard deviations w_i and the best score so far h,

    P(best <= x) = [x >= h] * integral of phi(z) * product over i of Phi((x - s_i - shared z) / w_i) dz

and the expectation is the upper end minus the integral of P over x. A shared error moves all candidates equally, so it has no
effect on which of them is best; if it counted as errors of their own, the expected gain would be about twice as large.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.special import ndtr

POINTS = 401
NODES = 15
REACH = 6.0  # standard deviations around the forecasts that are integrated over

WORTH_STOPPING = 0.005
"""Score units: a plan may stop when the rest of it is expected to add less than this to the best score."""


class BestInHand:
    """The expected best score of one target, as candidates are trained one after another.

    Args:
        start: best score so far; -inf if there is none.
        scores, own: (k,) forecasts of all candidates that may be trained, and standard deviations of their own errors.
        shared: standard deviation of the error that they share.
        ceiling: highest value of the metric, which bounds all scores.
    """

    def __init__(self, start: float, scores: np.ndarray, own: np.ndarray, shared: float, ceiling: float) -> None:
        reach = REACH * np.hypot(own, shared)
        low = start if np.isfinite(start) else float((scores - reach).min())
        high = max(min(float((scores + reach).max(initial=low)), ceiling), low)
        nodes, self._weights = _of_the_normal(NODES if shared > 0 else 1)
        self._grid = np.linspace(low, high, POINTS)
        self._moved = self._grid - shared * nodes[:, None]  # x - shared z, by node and point
        self._own_grid = np.linspace(self._moved.min(), self._moved.max(), 2 * POINTS)
        self._below = np.ones(2 * POINTS)
        self.expected = self._expectation(self._below)
        """Expected best score; the lowest possible score while there is none."""

    def gain(self, score: float, own: float) -> float:
        """Increase of the expected best by training one more candidate."""
        return self._expectation(self._with(score, own)) - self.expected

    def take(self, score: float, own: float) -> None:
        """Count one more candidate as trained."""
        self._below = self._with(score, own)
        self.expected = self._expectation(self._below)

    def take_all(self, scores: np.ndarray, own: np.ndarray) -> None:
        """Count (k,) more candidates as trained."""
        for score, spread in zip(scores, own, strict=True):
            self._below *= ndtr((self._own_grid - score) / spread)
        self.expected = self._expectation(self._below)

    def _with(self, score: float, own: float) -> np.ndarray:
        """(2 POINTS,) probability that own errors keep all scores at or below the point, with one more candidate."""
        return np.asarray(self._below * ndtr((self._own_grid - score) / own))

    def _expectation(self, below: np.ndarray) -> float:
        at_most = self._weights @ np.interp(self._moved, self._own_grid, below)
        return float(self._grid[-1] - np.trapezoid(at_most, self._grid))


@cache
def _of_the_normal(count: int) -> tuple[np.ndarray, np.ndarray]:
    """(count,) nodes and weights of the Gauss-Hermite quadrature of the standard normal."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(count)
    return nodes, weights / weights.sum()


def expected_best(start: float, scores: np.ndarray, own: np.ndarray, ceiling: float, shared: float = 0.0) -> np.ndarray:
    """(k,) expected best score after each of k trainings, in this order; it never falls.

    Args:
        start, scores, own, ceiling, shared: see `BestInHand`.
    """
    if not len(scores):
        return np.empty(0)
    best, result = BestInHand(start, scores, own, shared, ceiling), np.empty(len(scores))
    for number, (score, spread) in enumerate(zip(scores, own, strict=True)):
        best.take(float(score), float(spread))
        result[number] = best.expected
    return result
