"""Quadrature along the path from baseline to document: where to put nodes, and how large the error is. No torch.

Completeness holds interval by interval and layer by layer: the conductance gathered between two nodes must equal the
change of F between them. So the error of each interval is known, and the intervals with the largest are halved.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

FIRST_NODES = (0.0, 0.25, 0.5, 0.75, 1.0)

FLOOR = 0.01
"""Completeness error is relative to the change of F, or to this where a document changes F by less than a point."""


def completeness_error(errors: np.ndarray, change: float) -> np.ndarray:
    """(L,) completeness error of each layer relative to the change of F.

    Args:
        errors: (intervals, L) signed: conductance gathered in the interval minus the change of F over it.
        change: F(document) - F(baseline).
    """
    return np.asarray(np.abs(errors.sum(0)) / max(abs(change), FLOOR))


def to_halve(errors: np.ndarray, change: float, tolerance: float, most: int) -> list[int]:
    """Numbers of the intervals to halve next; none when every layer's completeness error is within `tolerance`.

    Args:
        errors: (intervals, L), as above.
        change: of F over the whole path.
        tolerance: relative to the change.
        most: at most so many intervals.
    """
    if completeness_error(errors, change).max() <= tolerance:
        return []
    worst = np.abs(errors).max(1)
    order = np.argsort(-worst, kind="stable")
    return [int(i) for i in order[:most] if worst[i] >= worst[order[0]] / 2]


def midpoints(nodes: Sequence[float], intervals: Sequence[int]) -> list[float]:
    """The middle of each of the named intervals between sorted nodes."""
    return [(nodes[i] + nodes[i + 1]) / 2 for i in intervals]
