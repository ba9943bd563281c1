"""ESM-LogME: LogME of the base encoder's embeddings, mapped into the source's space (see transfercast.sources.esm).

No forward pass of the source is needed. Schulte, Hamborg, Akbik (EMNLP 2024), arXiv:2410.15148.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from transfercast.core.kinds import ALL_KINDS
from transfercast.features.measures.logme import logme
from transfercast.features.registry import measure


@measure(kinds=ALL_KINDS, better="higher", group="embeddings", paper="schulte2024less")
def esm_logme(mapped_embeddings: np.ndarray, target_values: Any) -> float:
    """Largest log evidence per sample of the labels, given mapped base embeddings.

    Args:
        mapped_embeddings: (n, d) the target's rows (for sequences, words) in the base encoder, mapped.
        target_values: (n,) class numbers, or real values.
    """
    return logme(mapped_embeddings, target_values)
