"""Prediction intervals from residuals of targets that were held out whole (normalised split conformal prediction).

Residuals are in shares of the headroom and divided by the pair's difficulty, as are the widths: a target at 0.93 errs less than
one at 0.5. `grouped` intervals pool all held-out rows and take the absolute residual of rank ceil(coverage (n + 1)). Rows of
one target err together, so with few targets that covers less than it says. `hierarchical` ones give each of G targets the
weight 1 / (G + 1), shared by its rows, and the last to infinity: valid for a new target like those held out, and wider (close
to Dunn, Wasserman and Ramdas 2022). Where that leaves no end, errors are taken as normal with one mean square m a target, and

    half the width = t((1 + coverage) / 2; G - 1) sqrt((1 + 1 / G) m)

which is infinite below two targets: the metric's whole range is what can be said. Below FEWEST_TO_POOL targets, intervals are
hierarchical unless pooled ones are asked for.
"""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
from scipy.stats import t as student

from transfercast.core.choices import Bounds
from transfercast.predictor.prior import SPREAD

PRIOR_RESIDUALS = 5.0
"""Residuals of deviation SPREAD that are added to those observed."""

FEWEST_TO_POOL = 10
"""Held-out targets. With 2 to 5 whose errors are shared, pooled 90 % intervals covered 81 to 88 %."""

BOUNDS: tuple[Bounds, ...] = get_args(Bounds)

Residuals = dict[str, np.ndarray]
"""Truth minus forecast as a share of the headroom, over the difficulty; (n,) by held-out target."""


def shared_and_own(errors: np.ndarray, query_ids: np.ndarray) -> tuple[float, float]:
    """Standard deviations of what the rows of a query err together, and of the rest.

    The rest is that of the query in the middle (median), for a few targets err far more than the others, and what they would
    promise is not kept in any other. The shared part is what the mean square of all errors has beyond the mean variance within
    queries.

    Args:
        errors: (n,) of held-out rows.
        query_ids: (n,) numbers from 0.

    Returns:
        (shared, own); SPREAD for the rest where no query has two rows.

    >>> shared, own = shared_and_own(np.array([0.1, 0.3, -0.1, -0.3]), np.array([0, 0, 1, 1]))
    >>> round(shared, 3), round(own, 3)  # mean square .05, variance within .02
    (0.173, 0.141)
    """
    within = [float(errors[query_ids == q].var(ddof=1)) for q in np.unique(query_ids) if (query_ids == q).sum() > 1]
    if not within:
        return 0.0, SPREAD
    return math.sqrt(max(float((errors**2).mean()) - float(np.mean(within)), 0.0)), math.sqrt(float(np.median(within)))


class Intervals:
    """What held-out residuals say of forecasts; sorted once, asked often. All in the unit of the residuals.

    Args:
        residuals: by held-out target.
    """

    def __init__(self, residuals: Residuals) -> None:
        self.residuals = residuals
        pooled = np.concatenate([np.empty(0), *residuals.values()])
        weights = np.concatenate([np.empty(0), *(np.full(len(own), 1 / len(own)) for own in residuals.values())])
        order, by_size = np.argsort(pooled), np.argsort(np.abs(pooled))
        self._sorted, self._sizes = pooled[order], np.abs(pooled)[by_size]
        self._up_to = np.concatenate([[0.0], np.cumsum(weights[order])])  # targets' worth of residuals at or below
        self._reached = np.cumsum(weights[by_size]) / (len(residuals) + 1)
        squares = float((pooled**2).sum()) + PRIOR_RESIDUALS * SPREAD**2
        self.spread = math.sqrt(squares / (len(pooled) + PRIOR_RESIDUALS))
        """Standard deviation to expect of a forecast's error, shrunk to the prior's where residuals are few."""

    def kind(self, asked: Bounds | None) -> Bounds:
        """The kind of interval that is asked for, or else that which these residuals are enough for."""
        return asked or ("grouped" if len(self.residuals) >= FEWEST_TO_POOL else "hierarchical")

    def half_width(self, coverage: float, kind: Bounds = "grouped") -> float:
        """Half the width of the interval with nominal `coverage`; may be infinite.

        >>> two = Intervals({"a": np.array([0.1, -0.3]), "b": np.array([0.2])})
        >>> two.half_width(0.5), two.half_width(0.5, "hierarchical"), two.half_width(0.9)
        (0.2, 0.2, inf)
        """
        if kind == "grouped":
            place = math.ceil(coverage * (len(self._sizes) + 1) - 1e-9) - 1
        else:
            place = int(np.searchsorted(self._reached, coverage - 1e-9))
        if place < len(self._sizes):
            return float(self._sizes[place])
        targets = len(self.residuals)
        if kind == "grouped" or targets < 2:
            return math.inf
        return float(student.ppf((1 + coverage) / 2, targets - 1) * self.spread * math.sqrt(1 + 1 / targets))

    def improvement(self, margins: np.ndarray) -> np.ndarray:
        """(n,) probability that the score lies above the baseline, for forecasts that lie `margins` (n,) above it.

        The share of held-out residuals above -margin, each target counting the same, smoothed by one target of which
        nothing is known. NaN where the margin is, or nothing was held out.
        """
        if not self.residuals:
            return np.full(len(margins), np.nan)
        above = len(self.residuals) - self._up_to[np.searchsorted(self._sorted, -margins, side="right")]
        return np.where(np.isnan(margins), np.nan, (above + 0.5) / (len(self.residuals) + 1))
