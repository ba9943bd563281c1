"""Single-task scores: the score of the source on its own task, and of the target, each trained alone.

Both on validation rows. The base feature set of Pugantsov and McCreadie (ECIR 2022).
"""

from __future__ import annotations

import numpy as np

from transfercast.core.kinds import ALL_KINDS
from transfercast.features.registry import measure


@measure(
    kinds=ALL_KINDS,
    better="higher",
    group="single-task scores",
    paper="pugantsov2022suitable",
    columns=("source_score", "target_score"),
)
def single_task(source_score: float, target_score: float) -> np.ndarray:
    """The source's and the target's score when each is trained alone, in the units of their metrics."""
    return np.array([source_score, target_score])
