r"""LogME: the evidence of the target's labels under Bayesian linear regression from the source's features.

With features :math:`F` (n, d), prior precision :math:`\alpha`, noise precision :math:`\beta` and :math:`t = \alpha/\beta`,
the best :math:`\beta` is :math:`n / Q(t)`, and per sample the log evidence is

.. math:: \tfrac12 \Bigl[\log\frac{n}{2\pi Q(t)} - 1 - \tfrac1n \sum_i \log(1 + s_i^2 / t)\Bigr], \qquad
          Q(t) = \lVert y_\perp \rVert^2 + \sum_i \frac{t\,(u_i^\top y)^2}{t + s_i^2},

with the singular values :math:`s_i` and left vectors :math:`u_i` of F. So it is a smooth function of log t alone, and its
maximum is returned, averaged over one-hot classes. The sum has min(n, d) terms because the other d - n cancel; the
published implementations drop them from one side only, and stop their fixed point early.
You, Liu, Wang, Long (ICML 2021), arXiv:2102.11005.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from transfercast.core.errors import ShapeError
from transfercast.core.kinds import ALL_KINDS
from transfercast.features.registry import measure

GRID = 64
RANGE = 1e10  # log t is searched from the smallest squared singular value over RANGE to the largest times RANGE


@measure(kinds=ALL_KINDS, better="higher", group="embeddings", paper="you2021logme")
def logme(source_embeddings: np.ndarray, target_values: Any) -> float:
    """Largest log evidence per sample, averaged over the classes that occur.

    Args:
        source_embeddings: (n, d) features of the target's rows (for sequences, of its words).
        target_values: (n,) class numbers, or real values.

    Returns:
        A value in units of nats a sample; higher means that a linear map explains the labels better.

    Raises:
        ShapeError: if the lengths differ, or there are fewer than two rows.
    """
    features, values = np.asarray(source_embeddings, dtype=np.float64), np.asarray(target_values)
    n = len(features)
    if n < 2 or len(values) != n:
        raise ShapeError(f"logme needs a label for every row, and two rows: {n} rows, {len(values)} labels.")
    if np.issubdtype(values.dtype, np.integer):
        columns = (values[:, None] == np.unique(values)[None, :]).astype(np.float64)
    else:
        columns = values[:, None].astype(np.float64)
    left, singular, _ = np.linalg.svd(features, full_matrices=False)
    kept = singular > singular.max() * max(features.shape) * np.finfo(np.float64).eps
    squares = singular[kept] ** 2
    inside = (left[:, kept].T @ columns) ** 2  # (r, C)
    outside = np.maximum((columns**2).sum(0) - inside.sum(0), 0.0)  # (C,)
    return float(np.mean([_maximum(squares, inside[:, c], outside[c], n) for c in range(columns.shape[1])]))


def log_evidence(log_t: np.ndarray, squares: np.ndarray, inside: np.ndarray, outside: float, n: int) -> np.ndarray:
    """(k,) log evidence per sample at k values of log t, at the best noise precision.

    Args:
        log_t: (k,) log of prior over noise precision.
        squares: (r,) squared singular values above 0.
        inside: (r,) squared coordinates of the labels in the left singular vectors.
        outside: squared length of the labels outside of their span.
        n: rows.
    """
    t = np.exp(log_t)[:, None]
    q = outside + (inside * (t / (t + squares))).sum(1)
    q = np.maximum(q, np.finfo(np.float64).tiny)
    return np.asarray(0.5 * (np.log(n / (2 * np.pi * q)) - 1 - np.log1p(squares / t).sum(1) / n))


def _maximum(squares: np.ndarray, inside: np.ndarray, outside: float, n: int) -> float:
    lowest, highest = np.log(squares.min() / RANGE), np.log(squares.max() * RANGE)
    grid = np.linspace(lowest, highest, GRID)
    best = int(log_evidence(grid, squares, inside, outside, n).argmax())
    bounds = (grid[max(best - 1, 0)], grid[min(best + 1, GRID - 1)])
    found = minimize_scalar(
        lambda x: -log_evidence(np.array([x]), squares, inside, outside, n)[0],
        bounds=bounds,
        method="bounded",
        options={"xatol": 1e-9},
    )
    return float(-found.fun)
