"""Expected size of a forecast's error compared with those of others: the scale of its interval.

With f the forecast relative score, and d the standard deviation of the base models' forecasts of it,

    difficulty = exp(w . (x - mean of x)),    x = (|f|, f, d),    within [1/e, e]

w comes from a ridge regression of the logarithm of held-out errors on x, so intervals are wide where errors were large:
normalised conformal prediction (Papadopoulos, Gammerman and Vovk 2008; Lei et al. 2018, 5.2). Without a learned w all
difficulties are 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RIDGE = 100.0
"""Number of rows at which half of a regression coefficient is kept, if its column of x has a standard deviation of 1."""

LEAST_ERROR = 0.1
"""Share of the root mean square error that is added to each error, because the logarithm of an error near 0 is meaningless."""


@dataclass(frozen=True)
class Difficulty:
    """The scale of errors.

    Attributes:
        mean, weights: means and weights of the three columns of x.
    """

    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    weights: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def of(self, forecasts: np.ndarray) -> np.ndarray:
        """(n,) difficulties of rows from the (n, m) relative scores that the base models forecast, in standard deviations.

        >>> Difficulty(weights=(0.0, 0.5, 0.0)).of(np.array([[0.0, 0.0], [3.0, 1.0], [9.0, 9.0]])).round(3).tolist()
        [1.0, 2.718, 2.718]
        """
        return np.exp(np.clip((_columns(forecasts) - self.mean) @ self.weights, -1.0, 1.0))


EQUAL = Difficulty()
"""All forecasts are equally difficult."""


def fit_difficulty(forecasts: np.ndarray, errors: np.ndarray) -> Difficulty:
    """Learn the difficulty from held-out rows.

    Args:
        forecasts: (n, m) relative scores that the base models forecast, in standard deviations.
        errors: (n,) errors in any unit.
    """
    columns, size = _columns(forecasts), np.abs(errors)
    mean, typical = columns.mean(axis=0), float(np.sqrt((errors**2).mean()))
    if typical <= 1e-12:
        return EQUAL
    moved, outcome = columns - mean, np.log(size / typical + LEAST_ERROR)
    gram = moved.T @ moved + RIDGE * np.eye(columns.shape[1])
    weights = np.linalg.solve(gram, moved.T @ outcome)
    return Difficulty(tuple(mean.tolist()), tuple(weights.tolist()))


def _columns(forecasts: np.ndarray) -> np.ndarray:
    """(n, 3) the columns of x."""
    mean = forecasts.mean(axis=1)
    return np.stack([np.abs(mean), mean, forecasts.std(axis=1)], axis=1)
