"""ANSAT of activities normalised within each document: a term is active if it is important within its document.

The same as `ansat`, but each layer's conductance is first divided by its L2 norm over the document. So a term can be active
in a document that hardly changes the model's output.
"""

from __future__ import annotations

import numpy as np

from transfercast.core.kinds import Kind
from transfercast.features.measures.ansat import COLUMNS
from transfercast.features.registry import measure


@measure(
    kinds=frozenset({Kind.BINARY, Kind.SEQUENCE}),
    same_kind=True,
    better="higher",
    group="attribution",
    paper="pugantsov2022suitable",
    columns=tuple(name.replace("ansat", "ansat_l2") for name in COLUMNS),
)
def ansat_l2(shared_terms_l2: np.ndarray) -> np.ndarray:
    """Average number of shared terms that are active within their document, for three sets of positive documents.

    Args:
        shared_terms_l2: (3, 14) on the source's, the target's, and their common positive documents.

    Returns:
        (42,) values of at least 0; NaN for a set without documents.
    """
    return shared_terms_l2.ravel()
