r"""Quadrature along the path from baseline to document: a tree of halved intervals, and where to halve next. No torch.

In an interval from node a to node b the conductance of a word is taken as

.. math:: \tfrac12 (\nabla z_a + \nabla z_b) \cdot (h_b - h_a) \; \frac{F_b - F_a}{z_b - z_a},

z being the log-odds of F. The last factor is the exact mean slope of the sigmoid over the interval, so its step, where
most of the difficulty lies, is not sampled at all. The rule is symmetric, its error even in the width: where an interval
and both its halves are known, Richardson's extrapolation of the two takes the leading term away.

Completeness holds interval by interval and layer by layer: the conductance gathered must equal the change of F. So the
error of every part of the path is known, and the worst parts are halved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FIRST_NODES = (0.0, 0.25, 0.5, 0.75, 1.0)

NARROWEST = 2.0**-16
"""Intervals are not halved below this: float32 states do not differ enough."""

KEPT = 0.25
"""Share of its error that a part is expected to keep when it is halved (on smooth parts it is far less)."""

FLOOR = 0.001
"""Errors are relative to the change of F, or to this where a document changes F by less than a tenth of a point."""


@dataclass(slots=True, eq=False)
class Interval:
    """A stretch of the path.

    Attributes:
        start, end: nodes.
        value: (L, T) conductance by the rule above.
        change: of F.
        halves: the same between start, middle, and end, once it was halved.
    """

    start: float
    end: float
    value: np.ndarray
    change: float
    halves: tuple[Interval, Interval] | None = None

    @property
    def middle(self) -> float:
        """Where it is halved."""
        return (self.start + self.end) / 2

    @property
    def error(self) -> np.ndarray:
        """(L,) conductance gathered minus the change of F."""
        return np.asarray(self.value.sum(1) - self.change)


@dataclass(frozen=True, slots=True)
class Panel:
    """A part of the path that is summed as one: a leaf alone, or two leaves extrapolated from their parent.

    Attributes:
        leaves: one or two intervals.
        value: (L, T) conductance.
        error: (L,) conductance gathered minus the change of F.
    """

    leaves: tuple[Interval, ...]
    value: np.ndarray
    error: np.ndarray

    def worst_leaves(self) -> list[Interval]:
        """The leaf with the larger error, or both where the other's is over half of it."""
        errors = [np.abs(leaf.error).max() for leaf in self.leaves]
        return [leaf for leaf, error in zip(self.leaves, errors, strict=True) if error >= max(errors) / 2]


def panels(interval: Interval) -> list[Panel]:
    """The parts that an interval is summed from, in order."""
    if interval.halves is None:
        return [Panel((interval,), interval.value, interval.error)]
    first, second = interval.halves
    if first.halves is None and second.halves is None:
        value = (4 * (first.value + second.value) - interval.value) / 3
        return [Panel((first, second), value, np.asarray(value.sum(1) - interval.change))]
    return [*panels(first), *panels(second)]


def path_error(parts: Sequence[Panel], change: float) -> np.ndarray:
    """(L,) sum over the path of the parts' absolute errors, relative to the change of F: at least the completeness error."""
    return np.asarray(sum(np.abs(part.error) for part in parts) / max(abs(change), FLOOR))


def completeness_error(parts: Sequence[Panel], change: float) -> np.ndarray:
    """(L,) absolute difference of what was gathered over the whole path and the change of F, relative to that change."""
    return np.asarray(np.abs(sum(part.error for part in parts)) / max(abs(change), FLOOR))


def to_halve(parts: Sequence[Panel], change: float, tolerance: float, most: int) -> list[Interval]:
    """The leaves to halve next; none when the path error of every layer is within `tolerance`.

    The worst parts are halved, as many as are expected to suffice; parts that would not be the worst even after that wait.

    Args:
        parts: of the whole path.
        change: of F over it.
        tolerance: relative to the change.
        most: at most so many leaves.
    """
    allowed = tolerance * max(abs(change), FLOOR)
    errors = np.abs([part.error for part in parts])
    expected, worst = errors.sum(0), errors.max(1)
    leaves: list[Interval] = []
    for number in np.argsort(-worst, kind="stable"):
        if expected.max() <= allowed or worst[number] < KEPT * worst.max():
            break
        leaves += parts[number].worst_leaves()
        expected -= (1 - KEPT) * errors[number]
    return [leaf for leaf in leaves if leaf.end - leaf.start > NARROWEST][:most]
