"""Bounds from residuals of targets that were held out whole.

The bound is the absolute residual of rank ceil(coverage (n + 1)); with too few residuals for the coverage asked for, it is
infinite, and the metric's whole range is what can honestly be said.
"""

from __future__ import annotations

import math

import numpy as np

from transfercast.predictor.prior import SPREAD

PRIOR_WEIGHT = 5.0


def half_width(residuals: np.ndarray, coverage: float) -> float:
    """Half the width of the interval with nominal `coverage`, from (n,) held-out residuals; may be infinite.

    >>> half_width(np.array([0.1, -0.3, 0.2]), 0.5), half_width(np.array([0.1]), 0.9)
    (0.2, inf)
    """
    rank = math.ceil(coverage * (len(residuals) + 1))
    if rank > len(residuals):
        return math.inf
    return float(np.sort(np.abs(residuals))[rank - 1])


def spread(residuals: np.ndarray) -> float:
    """Standard deviation to expect of a forecast's error, shrunk to the prior's where residuals are few."""
    n = len(residuals)
    return math.sqrt((float((residuals**2).sum()) + PRIOR_WEIGHT * SPREAD**2) / (n + PRIOR_WEIGHT))
