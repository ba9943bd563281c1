r"""Adaptive quadrature along the path from baseline to document: its intervals, and which to halve next. No torch.

In an interval from node a to node b the conductance of a word is taken as

.. math:: \tfrac12 (\nabla z_a + \nabla z_b) \cdot (h_b - h_a) \; \frac{F_b - F_a}{z_b - z_a},

with z the log-odds of F. The last factor is the exact mean slope of the sigmoid over the interval, so the steep step of the
sigmoid need not be sampled. The rule is symmetric, and its error is even in the width: if an interval and both its halves
are known, Richardson's extrapolation of the two removes the leading term.

Completeness holds for each interval and layer: the conductance must equal the change of F. So the error of every part of
the path is known, and the worst parts are halved. If F moves away and back between two nodes, its change is 0 and
completeness does not show the movement: it is estimated separately (`hidden_movement`), and counts as error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

FIRST_NODES = tuple(number / 8 for number in range(9))

NARROWEST = 2.0**-16
"""Smallest width of an interval: in narrower ones float32 states do not differ enough."""

KEPT = 0.25
"""Share of a part's error that is expected to remain after halving (on smooth parts it is far less)."""

FLOOR = 0.025
"""Errors are relative to the change of F, or to this if F changes by less: a tolerance of 2 % is then 0.0005 of F."""

_INSIDE = np.linspace(0, 1, 9)[:, None]


@dataclass(slots=True, eq=False)
class Interval:
    """An interval of the path.

    Attributes:
        start, end: nodes.
        value: (L, T) conductance by the rule above.
        change: change of F.
        hidden: estimated movement of F inside the interval beyond its change.
        halves: the intervals from start to middle and from middle to end, after halving.
    """

    start: float
    end: float
    value: np.ndarray
    change: float
    hidden: float = 0.0
    halves: tuple[Interval, Interval] | None = None

    @property
    def middle(self) -> float:
        """The node at which it is halved."""
        return (self.start + self.end) / 2

    @property
    def missing(self) -> np.ndarray:
        """(L,) conductance minus the change of F."""
        return np.asarray(self.value.sum(1) - self.change)


@dataclass(frozen=True, slots=True)
class Panel:
    """A part of the path that is summed as one: a leaf alone, or two leaves extrapolated from their parent.

    Attributes:
        leaves: one or two intervals.
        value: (L, T) conductance.
        missing: (L,) conductance minus the change of F.
    """

    leaves: tuple[Interval, ...]
    value: np.ndarray
    missing: np.ndarray

    @property
    def error(self) -> np.ndarray:
        """(L,) in units of F: the missing part, errors of the leaves that cancel in it, and hidden movements of F."""
        of_leaves = [leaf.missing for leaf in self.leaves]
        cancelled = np.abs(of_leaves).sum(0) - np.abs(np.sum(of_leaves, axis=0))
        return np.asarray(np.abs(self.missing) + cancelled + sum(leaf.hidden for leaf in self.leaves))

    def worst_leaves(self) -> list[Interval]:
        """The leaf with the larger error, or both if the other's error is more than half of it."""
        errors = [np.abs(leaf.missing).max() + leaf.hidden for leaf in self.leaves]
        return [leaf for leaf, error in zip(self.leaves, errors, strict=True) if error >= max(errors) / 2]


def panels(intervals: Sequence[Interval]) -> list[Panel]:
    """The panels of the intervals, in order."""
    parts: list[Panel] = []
    for whole in intervals:
        if whole.halves is None:
            parts.append(Panel((whole,), whole.value, whole.missing))
        elif any(half.halves for half in whole.halves):
            parts += panels(whole.halves)
        else:
            first, second = whole.halves
            value = (4 * (first.value + second.value) - whole.value) / 3
            parts.append(Panel((first, second), value, np.asarray(value.sum(1) - whole.change)))
    return parts


def hidden_movement(start: float, end: float, ahead: np.ndarray, behind: np.ndarray) -> float:
    """Movement of F between two nodes beyond its change, if its log-odds are cubic between them.

    Args:
        start, end: log-odds at both nodes.
        ahead, behind: (L,) change of the log-odds that the gradient at the first and at the second node predicts, by layer;
            the layer that predicts the most movement counts.
    """
    t, change = _INSIDE, end - start
    cubic = start + change * t**2 * (3 - 2 * t) + ahead * t * (1 - t) ** 2 - behind * t**2 * (1 - t)  # (9, L)
    movement = np.abs(np.diff(expit(cubic), axis=0)).sum(0).max()
    return max(0.0, float(movement - abs(expit(end) - expit(start))))


def path_error(parts: Sequence[Panel]) -> np.ndarray:
    """(L,) sum over the path of the parts' errors, in units of F: at least the missing part of the whole path."""
    return np.asarray(sum(part.error for part in parts))


def completeness_error(parts: Sequence[Panel], change: float) -> np.ndarray:
    """(L,) absolute difference of the conductance over the whole path and the change of F, relative to that change."""
    return np.asarray(np.abs(sum(part.missing for part in parts)) / max(abs(change), FLOOR))


def allowed_error(change: float, tolerance: float) -> float:
    """The largest allowed path error of a document, in units of F.

    >>> allowed_error(0.5, 0.02), allowed_error(0.001, 0.02)
    (0.01, 0.0005)
    """
    return tolerance * max(abs(change), FLOOR)


def to_halve(parts: Sequence[Panel], allowed: float, most: int) -> list[Interval]:
    """The leaves to halve next; empty if the path error of every layer is within the allowed one.

    The parts with the largest errors are halved, as many as are expected to suffice; smaller ones wait for a later round.

    Args:
        parts: all parts of the path.
        allowed: allowed path error, in units of F.
        most: largest number of leaves.
    """
    errors = np.array([part.error for part in parts])
    expected, worst = errors.sum(0), errors.max(1)
    leaves: list[Interval] = []
    for number in np.argsort(-worst, kind="stable"):
        if expected.max() <= allowed or worst[number] < KEPT * worst.max():
            break
        leaves += parts[number].worst_leaves()
        expected -= (1 - KEPT) * errors[number]
    return [leaf for leaf in leaves if leaf.end - leaf.start > NARROWEST][:most]
