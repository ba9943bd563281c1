"""ANSAT: terms that drive both models' decisions, on the source's, the target's and their common positive documents.

The formula is in transfercast.attribution.ansat. Pugantsov and McCreadie (ECIR 2022).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from transfercast.attribution.ansat import THRESHOLDS
from transfercast.attribution.ansat import ansat as shared_active_terms
from transfercast.core.kinds import Kind
from transfercast.features.registry import measure

Activities = tuple[Sequence[np.ndarray], Sequence[np.ndarray]]

COLUMNS = tuple(f"ansat_{documents}_{threshold:.2f}" for documents in ("a", "b", "ab") for threshold in THRESHOLDS)


@measure(
    kinds=frozenset({Kind.BINARY, Kind.SEQUENCE}),
    same_kind=True,
    better="higher",
    group="attribution",
    paper="pugantsov2022suitable",
    columns=COLUMNS,
)
def ansat(activities_on_a: Activities, activities_on_b: Activities, activities_on_ab: Activities) -> np.ndarray:
    """Average number of shared active terms a document at 14 thresholds, for three sets of positive documents.

    Args:
        activities_on_a: for each of the source's positive documents, its words' activities in both models.
        activities_on_b: the same on the target's.
        activities_on_ab: the same on documents that are positive for both.

    Returns:
        (42,) values of at least 0; NaN for a set without documents.
    """
    return np.concatenate([shared_active_terms(*pair) for pair in (activities_on_a, activities_on_b, activities_on_ab)])
