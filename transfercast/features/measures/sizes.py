"""Sizes: rows, classes, class balance and text length of source and target. "Largest source first" is a usual baseline.

Balance is the entropy of the labels divided by its largest possible value (1: all classes equally often; NaN for values).
"""

from __future__ import annotations

import numpy as np

from transfercast.core.kinds import ALL_KINDS
from transfercast.features.registry import measure

WHAT = ("rows", "classes", "balance", "length")


@measure(
    kinds=ALL_KINDS,
    better={"source_rows": "higher"},
    group="data",
    paper="pugantsov2022suitable",
    columns=tuple(f"{side}_{what}" for side in ("source", "target") for what in WHAT),
)
def sizes(source_sizes: np.ndarray, target_sizes: np.ndarray) -> np.ndarray:
    """Training rows, classes, class balance in [0, 1] and mean word pieces a text, of source and target.

    Args:
        source_sizes, target_sizes: (4,) of each, see `features.evidence`.
    """
    return np.concatenate([source_sizes, target_sizes])
