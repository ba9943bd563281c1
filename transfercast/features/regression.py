r"""Bayesian linear regression at its best prior and noise: the core of LogME (see measures/logme.py for the formulas).

The log evidence is a function of log t only, with t = alpha / beta. An orthogonal change of basis makes the Gram matrix
tridiagonal, once for all classes; no eigenvectors are needed. Each value of t then costs O(min(n, d)) a class. The
evidence is analytic in log t wherever its imaginary part is below pi, so between neighbours of the best point of a grid a
polynomial through few Chebyshev nodes gives it to 1e-9.

If the features are centred, the constant direction is kept separate: with :math:`x_0 = \sqrt n\, \bar f`,
:math:`y_0 = \sqrt n\, \bar y`, centred labels of length :math:`\ell` and sides :math:`s`, and :math:`A = G + t`,

.. math:: Q(t) = \ell - s^\top A^{-1} s + \frac{(y_0 - x_0^\top A^{-1} s)^2}{1 + x_0^\top A^{-1} x_0}, \qquad
          \det(1 + F^\top F / t) = \det(A / t)\, (1 + x_0^\top A^{-1} x_0).

So no digits cancel against the mean, which is large in embeddings of encoders.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.polynomial import chebyshev
from scipy.interpolate import CubicSpline
from scipy.linalg import lapack

from transfercast.features.rows import one_hot

LOWEST = {"d": 1e-11, "f": 3e-6}
HIGHEST = 1e4
"""t is searched between these multiples of the largest eigenvalue's bound (the lowest by the Gram matrix's precision, which
leaves smaller eigenvalues unknown), and at infinity."""

SPACING, BETWEEN = 1.0, 16
NODES = np.cos(np.pi * (np.arange(10) + 0.5) / 10)
FINE = np.linspace(-1, 1, 601)
TINY = np.finfo(np.float64).tiny
ROUNDING = 1e-13
"""A residual below this part of the labels' length is rounding: nothing is taken to be explained better."""

BLOCK = 64


def columns_of(values: np.ndarray) -> np.ndarray:
    """What is regressed, (n, C) float64: one-hot columns of whole numbers, values as one column, or those given that vary."""
    if values.ndim == 2:
        return values[:, values.min(axis=0) < values.max(axis=0)].astype(np.float64)
    return one_hot(values) if np.issubdtype(values.dtype, np.integer) else values[:, None].astype(np.float64)


@dataclass(frozen=True, slots=True)
class Problem:
    """A regression of columns on features, in terms of the features' Gram matrix.

    Attributes:
        gram: (m, m) F'F, or FF' if `wide`, float64 or float32; its lower half is read, and may be overwritten.
        sides: (m, C) F'y, or y.
        lengths: (C,) y'y.
        rows: n.
        wide: whether there are more dimensions than rows.
        constant: if features and columns are centred, sqrt(n) times their means, (m,) and (C,).
    """

    gram: np.ndarray
    sides: np.ndarray
    lengths: np.ndarray
    rows: int
    wide: bool = False
    constant: tuple[np.ndarray, np.ndarray] | None = None


def largest_evidence(problem: Problem) -> np.ndarray:
    """(C,) log evidence per sample of each column at its best prior and noise.

    Raises:
        PrecisionError: if the best t is below the precision of a float32 Gram matrix.
    """
    return _tridiagonal(problem).largest()


class PrecisionError(ArithmeticError):
    """The best t is below the precision of the Gram matrix."""


def _tridiagonal(problem: Problem) -> _Tridiagonal:
    gram, sides = problem.gram, problem.sides
    if problem.constant is not None:
        sides = np.column_stack([sides, problem.constant[0]])
    rotated = np.array(sides, dtype=np.float64, order="F")
    if len(gram) == 1:
        return _Tridiagonal(gram[0].astype(np.float64), np.zeros(1), rotated, problem)
    reduce = lapack.ssytrd if gram.dtype == np.float32 else lapack.dsytrd
    found = reduce(gram, lower=1, lwork=BLOCK * len(gram), overwrite_a=1)
    reflectors, diagonal, off, scales = (part.astype(np.float64, copy=False) for part in found[:4])
    work = BLOCK * (rotated.shape[1] + BLOCK + 1)
    rotated[1:] = lapack.dormqr("L", "T", reflectors[1:, :-1], scales, rotated[1:], work)[0]
    return _Tridiagonal(diagonal, off, rotated, problem)


@dataclass(frozen=True, slots=True)
class _Tridiagonal:
    """A problem in a basis in which its Gram matrix is tridiagonal.

    Attributes:
        diagonal, off: (m,) and (m - 1,) of the Gram matrix (LAPACK needs one element also if m is 1).
        sides: (m, C) right-hand sides in this basis; a constant direction, if any, is the last.
        problem: the original problem.
    """

    diagonal: np.ndarray
    off: np.ndarray
    sides: np.ndarray
    problem: Problem

    def largest(self) -> np.ndarray:
        """(C,) log evidence per sample of each column at its best t."""
        off = np.abs(self.off[: len(self.diagonal) - 1])
        reach = np.abs(self.diagonal) + np.append(off, 0) + np.insert(off, 0, 0)
        lowest = LOWEST[self.problem.gram.dtype.char]
        top = max(float(reach.max()), TINY / lowest)
        common = 0.0 if self.problem.constant is None else float(self.problem.constant[0] @ self.problem.constant[0])
        grid, found = self._scan(np.log(top * lowest), np.log((top + common) * HIGHEST))
        ended = grid[-1] <= np.log(top * lowest) or found.argmax(0).max() >= len(grid) - 2
        if self.problem.gram.dtype == np.float32 and ended:
            raise PrecisionError
        largest = np.maximum(found.max(0), self._without_features())
        tops = _tops(found)
        for at in np.flatnonzero(tops.any(1)):
            columns = np.flatnonzero(tops[at])
            nodes = self.evidence(grid[at] + SPACING * NODES, columns)
            coefficients = chebyshev.chebfit(NODES, nodes, len(NODES) - 1)
            largest[columns] = np.maximum(largest[columns], _peaks(chebyshev.chebval(FINE, coefficients)))
        return np.asarray(largest)

    def _scan(self, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
        """(T,) log t from high to low, and (T, C) evidence there; the scan ends where the evidence can only fall further down.

        As functions of log t, log det(1 + G / t) falls at a decreasing rate, and log Q rises at a rate of at most
        1 - Q(low) / Q(t). So if the first rate over n exceeds the second at some t, it does so at all smaller t.
        """
        every, rows = np.arange(len(self.problem.lengths)), self.problem.rows
        least, _ = self._parts(low, every, self.sides)
        grid = np.arange(high, low - SPACING, -SPACING)
        found = np.empty((len(grid), len(every)))
        before = np.inf
        for number, at in enumerate(grid):
            q, log_det = self._parts(at, every, self.sides)
            found[number] = self._evidence(q, log_det)
            if np.all((log_det - before) / SPACING / rows > 1 - least / q):
                return grid[: number + 1], found[: number + 1]
            before = log_det
        return grid, found

    def evidence(self, log_t: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """(T, c) log evidence per sample of some columns at each of T values of log t."""
        taken = columns if self.problem.constant is None else [*columns, -1]
        sides = self.sides.T[taken].T  # still column by column in memory
        return np.array([self._evidence(*self._parts(at, columns, sides)) for at in log_t])

    def _evidence(self, q: np.ndarray, log_det: float) -> np.ndarray:
        rows = self.problem.rows
        return np.asarray(0.5 * (np.log(rows / (2 * np.pi)) - np.log(q) - 1 - log_det / rows))

    def _parts(self, log_t: float, columns: np.ndarray, sides: np.ndarray) -> tuple[np.ndarray, float]:
        """(c,) Q of some columns, and log det(1 + G / t).

        Args:
            log_t: log t.
            columns: numbers of the columns.
            sides: their right-hand sides, and the constant direction if there is one.
        """
        constant, t = self.problem.constant, np.exp(log_t)
        diagonal, off, _ = lapack.dpttrf(self.diagonal + t, self.off)
        solved = lapack.dpttrs(diagonal, off, sides)[0]
        inside = np.einsum("ij,ij->j", sides, solved)
        log_det = np.log(np.maximum(diagonal, t)).sum() - len(diagonal) * log_t
        lengths = self.problem.lengths[columns]
        if constant is None:
            q = t * inside if self.problem.wide else lengths - inside
        else:
            own, shared = 1 + inside[-1], sides[:, -1] @ solved[:, :-1]
            q = lengths - inside[:-1] + (constant[1][columns] - shared) ** 2 / own
            log_det += np.log(own)
        return np.maximum(q, np.maximum(ROUNDING * self._total[columns], TINY)), float(log_det)

    def _without_features(self) -> np.ndarray:
        """(C,) the evidence in the limit of large t."""
        lengths = np.maximum(self._total, TINY)
        return np.asarray(0.5 * (np.log(self.problem.rows / (2 * np.pi)) - np.log(lengths) - 1))

    @property
    def _total(self) -> np.ndarray:
        """(C,) y'y of the columns before centring."""
        constant = self.problem.constant
        return self.problem.lengths if constant is None else self.problem.lengths + constant[1] ** 2


def _tops(found: np.ndarray) -> np.ndarray:
    """(T, C) which samples are next to a local maximum of the spline through them; there may be several in a column."""
    places = np.linspace(0, len(found) - 1, BETWEEN * (len(found) - 1) + 1)
    curves = CubicSpline(np.arange(len(found)), found)(places) if len(found) > 1 else found
    beside = np.pad(curves, ((1, 1), (0, 0)), constant_values=-np.inf)
    tops = np.zeros(found.shape, dtype=bool)
    at, column = np.nonzero((curves >= beside[:-2]) & (curves > beside[2:]))
    tops[np.rint(places[at]).astype(int), column] = True
    return tops


def _peaks(curves: np.ndarray) -> np.ndarray:
    """(C,) tops of (C, T) sampled curves: of the parabola through the largest sample and its neighbours."""
    rows = np.arange(len(curves))
    middle = np.clip(curves.argmax(1), 1, curves.shape[1] - 2)
    before, at, after = (curves[rows, middle + step] for step in (-1, 0, 1))
    bend = (before - at) + (after - at)
    inside = (before <= at) & (after <= at) & (bend < 0)
    return np.asarray(np.where(inside, at - (after - before) ** 2 / (8 * np.where(inside, bend, -1.0)), curves.max(1)))
