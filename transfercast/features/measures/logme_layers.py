"""LogME of other poolings: the first token, the mean of all layers, and the best single layer.

The same poolings as in transformer-ranker. Garbas, Ploner, Akbik (2024), arXiv:2409.05997.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from transfercast.core.kinds import ALL_KINDS
from transfercast.features.measures.logme import logme
from transfercast.features.registry import measure


@measure(
    kinds=ALL_KINDS,
    better="higher",
    group="embeddings",
    paper="garbas2024transformerranker",
    columns=("logme_cls", "logme_layer_mean", "logme_best_layer"),
)
def logme_layers(source_layers: np.ndarray, source_cls: np.ndarray, target_values: Any) -> np.ndarray:
    """LogME of the last layer's first token, of the mean over layers, and the largest over single layers.

    Args:
        source_layers: (L, n, d) each layer's features of the target's rows (for sequences, of its words).
        source_cls: (n, d) the last layer's first token (for sequences, the last layer's words).
        target_values: (n,) class numbers, or real values.
    """
    best = np.fmax.reduce([logme(layer, target_values) for layer in source_layers])  # NaN only if every layer is NaN
    return np.array([logme(source_cls, target_values), logme(source_layers.mean(0), target_values), best])
