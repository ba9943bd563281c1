"""What to expect of a pair before anything was observed: the mean rank of the measures.

Within a target, each measure ranks the candidates (a measure of several columns by their mean rank); the mean over
measures, centred, is a standing in [-0.5, 0.5]. RANGE turns it into points: in the pilot on 81 pairs of GoEmotions labels
the best source stood 0.147 F1 above the average source.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from transfercast.predictor.design import Design

RANGE = 0.3
SPREAD = 0.1
"""Standard deviation of the prior's error, in points, until residuals are there to tell."""


def standings(design: Design, groups: Sequence[str]) -> np.ndarray:
    """(n, g) what each group of evidence adds to the centred mean rank of each row among those of its target.

    Args:
        design: n candidates; columns without a known direction do not count.
        groups: names of groups, in the order of the result.

    Returns:
        Rows sum to a standing in [-0.5, 0.5]; 0 where nothing tells the candidates apart.
    """
    told = [number for number, column in enumerate(design.schema) if column.better != "unknown"]
    signs = np.array([1.0 if design.schema[number].better == "higher" else -1.0 for number in told])
    ranks = _centred_ranks(design.values[:, told] * signs, design.groups)
    by_measure: dict[tuple[str, str], list[np.ndarray]] = {}
    for column, rank in zip((design.schema[number] for number in told), ranks.T, strict=True):
        if np.any(rank != 0):
            by_measure.setdefault((column.group, column.measure), []).append(rank)
    result = np.zeros((len(design), len(groups)))
    for (group, _), columns in by_measure.items():
        result[:, list(groups).index(group)] += np.mean(columns, axis=0) / len(by_measure)
    return result


def _centred_ranks(values: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(n, f) ranks within each target, ties shared, moved and scaled into [-0.5, 0.5]; 0 where missing."""
    result = np.zeros(values.shape)
    for target in range(targets.max(initial=-1) + 1):
        rows = np.nonzero(targets == target)[0]
        for number, column in enumerate(values[rows].T):
            known = np.isfinite(column)
            ordered = np.sort(column[known])
            below = np.searchsorted(ordered, column[known], side="left") + np.searchsorted(ordered, column[known], side="right")
            result[rows[known], number] = below / (2 * max(len(ordered), 1)) - 0.5
    return result
