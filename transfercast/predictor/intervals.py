"""Prediction intervals from residuals of held-out targets (normalised split conformal prediction).

Residuals and widths are shares of the headroom divided by the pair's difficulty, because errors at a baseline of 0.93 are
smaller than at 0.5. `grouped` (pooled) intervals use the absolute residual of rank ceil(coverage (n + 1)) of all held-out rows.
Errors of one target's rows are correlated, so with few targets these cover less than their nominal coverage. `hierarchical`
intervals give each of G targets the weight 1 / (G + 1), shared by its rows, and the remaining 1 / (G + 1) to an infinite
residual: they are valid for a new target that is exchangeable with the held-out ones, and wider (close to Dunn, Wasserman and
Ramdas 2022). If their width is infinite, errors are taken as normal with one mean square m for each target, and

    half the width = t((1 + coverage) / 2; G - 1) sqrt((1 + 1 / G) m)

which is infinite below two targets: the interval is then the metric's whole range. Below FEWEST_TO_POOL targets, intervals are
hierarchical unless pooled ones are requested.
"""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
from scipy.stats import t as student

from transfercast.core.choices import Bounds
from transfercast.predictor.prior import SPREAD

PRIOR_RESIDUALS = 5.0
"""Number of residuals with standard deviation SPREAD that are added to the observed ones."""

FEWEST_TO_POOL = 10
"""Smallest number of held-out targets for pooled intervals. With 2 to 5 targets of correlated errors, pooled 90 % intervals
covered 81 to 88 %."""

BOUNDS: tuple[Bounds, ...] = get_args(Bounds)

Residuals = dict[str, np.ndarray]
"""True score minus forecast as a share of the headroom, divided by the difficulty; (n,) by held-out target."""


def shared_and_own(errors: np.ndarray, query_ids: np.ndarray) -> tuple[float, float]:
    """Standard deviations of the error that all rows of a query share, and of a row's own error.

    The variance of the own error is the median of the variances within queries, because a few targets have far larger errors
    than the others, which would make expected gains on other targets too large. The variance of the shared error is the mean
    square of all errors minus the mean variance within queries, at least 0.

    Args:
        errors: (n,) errors of held-out rows.
        query_ids: (n,) numbers from 0.

    Returns:
        (shared, own); (0, SPREAD) if no query has two rows.

    >>> shared, own = shared_and_own(np.array([0.1, 0.3, -0.1, -0.3]), np.array([0, 0, 1, 1]))
    >>> round(shared, 3), round(own, 3)  # mean square .05, variance within .02
    (0.173, 0.141)
    """
    within = [float(errors[query_ids == q].var(ddof=1)) for q in np.unique(query_ids) if (query_ids == q).sum() > 1]
    if not within:
        return 0.0, SPREAD
    return math.sqrt(max(float((errors**2).mean()) - float(np.mean(within)), 0.0)), math.sqrt(float(np.median(within)))


class Intervals:
    """Widths of intervals and probabilities of improvement from held-out residuals, in the unit of the residuals.

    Args:
        residuals: residuals by held-out target; they are sorted once.
    """

    def __init__(self, residuals: Residuals) -> None:
        self.residuals = residuals
        pooled = np.concatenate([np.empty(0), *residuals.values()])
        weights = np.concatenate([np.empty(0), *(np.full(len(own), 1 / len(own)) for own in residuals.values())])
        order, by_size = np.argsort(pooled), np.argsort(np.abs(pooled))
        self._sorted, self._sizes = pooled[order], np.abs(pooled)[by_size]
        self._up_to = np.concatenate(
            [[0.0], np.cumsum(weights[order])]
        )  # number of targets, in weights of their residuals, up to each residual
        self._reached = np.cumsum(weights[by_size]) / (len(residuals) + 1)
        squares = float((pooled**2).sum()) + PRIOR_RESIDUALS * SPREAD**2
        self.spread = math.sqrt(squares / (len(pooled) + PRIOR_RESIDUALS))
        """Expected standard deviation of a forecast's error, shrunk toward the prior's if there are few residuals."""

    def kind(self, asked: Bounds | None) -> Bounds:
        """The requested kind of interval, or by default that for this number of held-out targets."""
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
        """(n,) probability that the score is above the baseline, for forecasts that are `margins` (n,) above it.

        It is the share of held-out residuals above -margin, with equal weights of targets, smoothed as if one more target had
        half of its residuals above. NaN where the margin is NaN, and everywhere if no target was held out.
        """
        if not self.residuals:
            return np.full(len(margins), np.nan)
        above = len(self.residuals) - self._up_to[np.searchsorted(self._sorted, -margins, side="right")]
        return np.where(np.isnan(margins), np.nan, (above + 0.5) / (len(self.residuals) + 1))
