"""Bounds from residuals of targets that were held out whole.

`grouped` takes the absolute residual of rank ceil(coverage (n + 1)) among all held-out residuals. Rows of one target err
together, so with few targets that covers a little less than it says. `hierarchical` gives each of G targets the weight
1 / (G + 1), shared by its rows, and the last to infinity: safe for a target like those held out, and wider. Where the
residuals are too few for the coverage asked for, the width is infinite, and the metric's whole range is what can
honestly be said.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np

from transfercast.predictor.prior import SPREAD

PRIOR_WEIGHT = 5.0

Bounds = Literal["grouped", "hierarchical"]
BOUNDS: tuple[Bounds, ...] = get_args(Bounds)

Residuals = dict[str, np.ndarray]
"""Truth minus forecast, (n,) by held-out target."""


def half_width(residuals: Residuals, coverage: float, kind: Bounds = "grouped") -> float:
    """Half the width of the interval with nominal `coverage`; may be infinite.

    >>> half_width({"a": np.array([0.1, -0.3]), "b": np.array([0.2])}, 0.5), half_width({"a": np.array([0.1])}, 0.9)
    (0.2, inf)
    >>> half_width({"a": np.array([0.1, -0.3]), "b": np.array([0.2])}, 0.5, "hierarchical")
    0.2
    """
    if not residuals:
        return math.inf
    sizes = np.abs(np.concatenate(list(residuals.values())))
    order = np.argsort(sizes)
    if kind == "grouped":
        rank = math.ceil(coverage * (len(sizes) + 1) - 1e-9)
        return math.inf if rank > len(sizes) else float(sizes[order[rank - 1]])
    weights = np.concatenate([np.full(len(own), 1 / len(own)) for own in residuals.values()]) / (len(residuals) + 1)
    reached = np.cumsum(weights[order])
    place = int(np.searchsorted(reached, coverage - 1e-9))
    return math.inf if place == len(sizes) else float(sizes[order[place]])


def beats(margins: np.ndarray, residuals: Residuals) -> np.ndarray:
    """(n,) probability that the score lies above the baseline, for forecasts that lie `margins` (n,) above it.

    The share of held-out residuals above -margin, each target counting the same, smoothed by one target of which
    nothing is known. NaN where the margin is, or nothing was held out.
    """
    if not residuals:
        return np.full(len(margins), np.nan)
    shares = [1 - np.searchsorted(np.sort(own), -margins, side="right") / len(own) for own in residuals.values() if len(own)]
    return np.where(np.isnan(margins), np.nan, (np.sum(shares, axis=0) + 0.5) / (len(shares) + 1))


def spread(residuals: Residuals) -> float:
    """Standard deviation to expect of a forecast's error, shrunk to the prior's where residuals are few."""
    pooled = np.concatenate([np.empty(0), *residuals.values()])
    return math.sqrt((float((pooled**2).sum()) + PRIOR_WEIGHT * SPREAD**2) / (len(pooled) + PRIOR_WEIGHT))
