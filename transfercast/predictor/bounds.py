"""Bounds from residuals of targets that were held out whole.

`grouped` takes the absolute residual of rank ceil(coverage (n + 1)) among all held-out residuals. Rows of one target err
together, so with few targets that covers a little less than it says. `hierarchical` gives each of G targets the weight
1 / (G + 1), shared by its rows, and the last to infinity: safe for a target like those held out, and wider. Where the
residuals are too few for the coverage asked for, the width is infinite, and the metric's whole range is what can
honestly be said.
"""

from __future__ import annotations

import math
from typing import get_args

import numpy as np

from transfercast.core.choices import Bounds
from transfercast.predictor.prior import SPREAD

PRIOR_WEIGHT = 5.0

BOUNDS: tuple[Bounds, ...] = get_args(Bounds)

Residuals = dict[str, np.ndarray]
"""Truth minus forecast, (n,) by held-out target."""


class Calibration:
    """What held-out residuals say of forecasts; sorted once, asked often.

    Args:
        residuals: truth minus forecast, by held-out target.
    """

    def __init__(self, residuals: Residuals) -> None:
        self.residuals = residuals
        pooled = np.concatenate([np.empty(0), *residuals.values()])
        weights = np.concatenate([np.empty(0), *(np.full(len(own), 1 / len(own)) for own in residuals.values())])
        order, by_size = np.argsort(pooled), np.argsort(np.abs(pooled))
        self._sorted, self._sizes = pooled[order], np.abs(pooled)[by_size]
        self._up_to = np.concatenate([[0.0], np.cumsum(weights[order])])  # targets' worth of residuals at or below
        self._reached = np.cumsum(weights[by_size]) / (len(residuals) + 1)
        squares = float((pooled**2).sum()) + PRIOR_WEIGHT * SPREAD**2
        self.spread = math.sqrt(squares / (len(pooled) + PRIOR_WEIGHT))
        """Standard deviation to expect of a forecast's error, shrunk to the prior's where residuals are few."""

    def half_width(self, coverage: float, kind: Bounds = "grouped") -> float:
        """Half the width of the interval with nominal `coverage`; may be infinite.

        >>> two = Calibration({"a": np.array([0.1, -0.3]), "b": np.array([0.2])})
        >>> two.half_width(0.5), two.half_width(0.5, "hierarchical"), two.half_width(0.9)
        (0.2, 0.2, inf)
        """
        if kind == "grouped":
            place = math.ceil(coverage * (len(self._sizes) + 1) - 1e-9) - 1
        else:
            place = int(np.searchsorted(self._reached, coverage - 1e-9))
        return math.inf if place >= len(self._sizes) else float(self._sizes[place])

    def beats(self, margins: np.ndarray) -> np.ndarray:
        """(n,) probability that the score lies above the baseline, for forecasts that lie `margins` (n,) above it.

        The share of held-out residuals above -margin, each target counting the same, smoothed by one target of which
        nothing is known. NaN where the margin is, or nothing was held out.
        """
        if not self.residuals:
            return np.full(len(margins), np.nan)
        above = len(self.residuals) - self._up_to[np.searchsorted(self._sorted, -margins, side="right")]
        return np.where(np.isnan(margins), np.nan, (above + 0.5) / (len(self.residuals) + 1))
