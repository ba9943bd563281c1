"""ANSAT: terms that drive both models' decisions, on the source's, the target's and their common positive documents.

The formula is in transfercast.attribution.ansat, and how the pairs of a pool are compared in
transfercast.features.active_terms. Pugantsov and McCreadie (ECIR 2022).
"""

from __future__ import annotations

import numpy as np

from transfercast.attribution.ansat import THRESHOLDS
from transfercast.core.kinds import Kind
from transfercast.features.registry import measure

COLUMNS = tuple(f"ansat_{documents}_{threshold:.2f}" for documents in ("a", "b", "ab") for threshold in THRESHOLDS)


@measure(
    kinds=frozenset({Kind.BINARY, Kind.SEQUENCE}),
    same_kind=True,
    better="higher",
    group="attribution",
    paper="pugantsov2022suitable",
    version=2,
    columns=COLUMNS,
)
def ansat(shared_terms: np.ndarray) -> np.ndarray:
    """Average number of shared active terms a document at 14 thresholds, for three sets of positive documents.

    A term's activity is its conductance in units of F, the mean over layers; the thresholds are in these units.

    Args:
        shared_terms: (3, 14) on the source's, the target's, and their common positive documents.

    Returns:
        (42,) values of at least 0; NaN for a set without documents.
    """
    return shared_terms.ravel()
