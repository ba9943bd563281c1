"""Where a score stands among those of its target: what can be compared between targets, metrics and encoders.

Three kinds. `top` halves with every third rank, so that telling the best from the second counts more than the order of
the last; `even` is the distance from the target's mean in its standard deviations; `gain` is relative to the target's own
score, so that targets on which sources matter more weigh more.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

HALVED_AT = 3.0
"""Ranks after which a `top` standing has halved."""

LEAST_START = 0.05
"""Scores nearer to 0 than this are taken as this, where gains are relative to them."""

KINDS = ("top", "even", "gain")


def top(scores: np.ndarray) -> np.ndarray:
    """(n,) 2^(-(rank - 1) / HALVED_AT), less its mean; equal scores share the mean of their ranks.

    >>> top(np.array([0.9, 0.1, 0.5])).round(2).tolist()
    [0.19, -0.18, -0.01]
    """
    values = 2.0 ** (-(rankdata(-scores) - 1) / HALVED_AT)
    return np.asarray(values - values.mean())


def even(scores: np.ndarray) -> np.ndarray:
    """(n,) distance from the mean in standard deviations; 0 where all are equal.

    >>> even(np.array([1.0, 3.0])).tolist(), even(np.array([2.0, 2.0])).tolist()
    ([-1.0, 1.0], [0.0, 0.0])
    """
    spread = scores.std()
    return np.asarray((scores - scores.mean()) / spread if spread > 1e-9 else np.zeros(len(scores)))


def gain(scores: np.ndarray, alone: float) -> np.ndarray:
    """(n,) gains relative to the target's own score; relative to the scores' mean where that is not known.

    >>> gain(np.array([0.6, 0.4]), 0.5).round(2).tolist()
    [0.2, -0.2]
    """
    start = alone if np.isfinite(alone) else float(scores.mean())
    return np.asarray((scores - start) / max(abs(start), LEAST_START))


def within(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """(n, f) columns as `even` standings among the rows of the same group; NaN stays NaN.

    Args:
        values: (n, f).
        groups: (n,) numbers from 0.
    """
    member = (groups[:, None] == np.arange(groups.max(initial=-1) + 1)).astype(np.float64)  # (n, g)
    known = np.isfinite(values)
    filled = np.where(known, values, 0.0)
    counts = np.maximum(member.T @ known, 1.0)
    centred = np.where(known, filled - (member.T @ filled / counts)[groups], 0.0)
    spread = np.sqrt(member.T @ centred**2 / counts)[groups]
    scale = np.where(known, np.abs(filled), 0.0).max(axis=0, initial=0.0)
    small = spread <= 1e-9 * np.maximum(scale, 1e-9)
    return np.where(known, np.where(small, 0.0, centred / np.where(small, 1.0, spread)), np.nan)
