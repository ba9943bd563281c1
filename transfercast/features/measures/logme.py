r"""LogME: the evidence of the target's labels under Bayesian linear regression from the source's features.

With features :math:`F` (n, d), prior precision :math:`\alpha`, noise precision :math:`\beta` and :math:`t = \alpha/\beta`,
the best :math:`\beta` is :math:`n / Q(t)`, and per sample the log evidence is

.. math:: \tfrac12 \Bigl[\log\frac{n}{2\pi Q(t)} - 1 - \tfrac1n \sum_i \log(1 + \lambda_i / t)\Bigr], \qquad
          Q(t) = y^\top y - y^\top F (F^\top F + t)^{-1} F^\top y = t\, y^\top (F F^\top + t)^{-1} y,

with the eigenvalues :math:`\lambda_i` of the smaller Gram matrix. So it is a smooth function of log t alone, and its maximum
is returned, averaged over one-hot classes. The sum has min(n, d) terms because the other d - n cancel; the published
implementations drop them from one side only, and stop their fixed point early.

The Gram matrix is brought to tridiagonal form once; its eigenvectors are never needed. Then :math:`Q` and its derivatives cost
O(min(n, d)) a class and value of t. You, Liu, Wang, Long (ICML 2021), arXiv:2102.11005.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import lapack

from transfercast.core.errors import ShapeError
from transfercast.core.kinds import ALL_KINDS
from transfercast.features.registry import measure
from transfercast.features.rows import one_hot

LOWEST, HIGHEST = 1e-11, 1e8
"""t is searched between these multiples of the largest eigenvalue."""

GRID = 48
STEPS = 12


@measure(kinds=ALL_KINDS, better="higher", group="embeddings", paper="you2021logme", version=2)
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
    n, d = features.shape
    if n < 2 or len(values) != n:
        raise ShapeError(f"logme needs a label for every row, and two rows: {n} rows, {len(values)} labels.")
    columns = one_hot(values) if np.issubdtype(values.dtype, np.integer) else values[:, None].astype(np.float64)
    wide = d > n
    gram, sides = (features @ features.T, columns) if wide else (features.T @ features, features.T @ columns)
    spectrum = _tridiagonal(gram, sides, (columns**2).sum(0), n, wide)
    return float(spectrum.largest().mean())


def _tridiagonal(gram: np.ndarray, sides: np.ndarray, lengths: np.ndarray, n: int, wide: bool) -> _Spectrum:
    """An orthogonal change of basis that makes the Gram matrix tridiagonal, applied to the right-hand sides as well."""
    if len(gram) == 1:
        diagonal, off, rotated = gram[0], np.empty(0), sides
    else:
        work = int(lapack.dsytrd_lwork(len(gram), lower=1)[0])
        reflectors, diagonal, off, scales, _ = lapack.dsytrd(gram, lower=1, lwork=work)
        rotated = sides.copy()
        turned, _, _ = lapack.dormqr("L", "T", reflectors[1:, :-1], scales, sides[1:], 64 * sides.shape[1])
        rotated[1:] = turned
    eigenvalues = np.maximum(lapack.dsterf(diagonal, off)[0], 0.0) if len(off) else np.maximum(diagonal, 0.0)
    return _Spectrum(diagonal, off, rotated, eigenvalues, lengths, n, wide)


@dataclass(frozen=True, slots=True)
class _Spectrum:
    """A regression problem in tridiagonal form.

    Attributes:
        diagonal, off: (m,) and (m - 1,) of the Gram matrix.
        sides: (m, C) F'y, or y itself where the features are wider than their rows.
        eigenvalues: (m,).
        lengths: (C,) y'y.
        rows: n.
        wide: whether d > n.
    """

    diagonal: np.ndarray
    off: np.ndarray
    sides: np.ndarray
    eigenvalues: np.ndarray
    lengths: np.ndarray
    rows: int
    wide: bool

    def largest(self) -> np.ndarray:
        """(C,) of the log evidence of each class: the best of a grid, then Newton's steps between its neighbours."""
        top = max(self.eigenvalues.max(), np.finfo(np.float64).tiny)
        grid = np.linspace(np.log(top * LOWEST), np.log(top * HIGHEST), GRID)
        values = np.array([self.values(at) for at in grid])  # (GRID, C)
        return np.array([self._climb(c, grid, int(best), values[best, c]) for c, best in enumerate(values.argmax(0))])

    def _climb(self, c: int, grid: np.ndarray, best: int, found: float) -> float:
        low, high, at = grid[max(best - 1, 0)], grid[min(best + 1, GRID - 1)], grid[best]
        for _ in range(STEPS):
            value, slope, bend = self.evidence(c, at)
            found = max(found, value)
            low, high = (at, high) if slope > 0 else (low, at)
            newton = at - slope / bend if bend < 0 else low
            step = newton if low < newton < high else (low + high) / 2
            if abs(step - at) < 1e-7:  # the evidence is then within 1e-14 of its maximum
                break
            at = step
        return found

    def values(self, log_t: float) -> np.ndarray:
        """(C,) log evidence per sample at log t."""
        t = np.exp(log_t)
        diagonal, off, _ = lapack.dpttrf(self.diagonal + t, self.off)
        inside = (self.sides * lapack.dpttrs(diagonal, off, self.sides)[0]).sum(0)
        q = np.maximum(t * inside if self.wide else self.lengths - inside, np.finfo(np.float64).tiny)
        return np.asarray(0.5 * (np.log(self.rows / (2 * np.pi * q)) - 1 - np.log1p(self.eigenvalues / t).sum() / self.rows))

    def evidence(self, c: int, log_t: float) -> tuple[float, float, float]:
        """Log evidence per sample at log t, and its first and second derivative by it."""
        t = np.exp(log_t)
        diagonal, off, _ = lapack.dpttrf(self.diagonal + t, self.off)
        once, _ = lapack.dpttrs(diagonal, off, self.sides[:, c])
        twice, _ = lapack.dpttrs(diagonal, off, once)
        flat, bent = once @ once, once @ twice
        if self.wide:
            q, q1, q2 = t * (self.sides[:, c] @ once), self.sides[:, c] @ once - t * flat, 2 * (t * bent - flat)
        else:
            q, q1, q2 = self.lengths[c] - self.sides[:, c] @ once, flat, -2 * bent
        q = max(q, np.finfo(np.float64).tiny)
        shares = self.eigenvalues / (self.eigenvalues + t)
        value = 0.5 * (np.log(self.rows / (2 * np.pi * q)) - 1 - np.log1p(self.eigenvalues / t).sum() / self.rows)
        slope = 0.5 * (-t * q1 / q + shares.sum() / self.rows)
        bend = 0.5 * (-t * q1 / q - t**2 * q2 / q + (t * q1 / q) ** 2 - (shares * (1 - shares)).sum() / self.rows)
        return float(value), float(slope), float(bend)
