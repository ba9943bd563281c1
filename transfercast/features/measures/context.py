r"""Context representations: similarity of two models' embeddings of the target's rows, and of both data sets in the source.

`context_cosine` is the mean over the target's rows of the cosine of the source's and the target's own model's embeddings
(equation 4 of the weighted-span-similarity paper). `context_kl` compares the source model's mean embeddings of its own rows and
of the target's, turned into distributions by a softmax: :math:`D_{KL}(P_{source} \| Q_{target})` (equation 5). Both are
baselines of that paper, which decodes the target's test rows; here it is the training and validation rows.
"""

from __future__ import annotations

import numpy as np
from scipy.special import log_softmax

from transfercast.core.kinds import ALL_KINDS
from transfercast.features.registry import measure
from transfercast.features.rows import cosine


@measure(kinds=ALL_KINDS, better="higher", group="embeddings", paper="weighted-span-similarity")
def context_cosine(source_embeddings: np.ndarray, target_embeddings: np.ndarray) -> float:
    """Mean cosine of two models' embeddings of the same rows, in [-1, 1]; NaN if their widths differ.

    Args:
        source_embeddings: (n, d) the target's rows in the source.
        target_embeddings: (n, d) the same in the target trained alone.
    """
    if source_embeddings.shape != target_embeddings.shape:
        return float("nan")
    return float(np.mean([cosine(a, b) for a, b in zip(source_embeddings, target_embeddings, strict=True)]))


@measure(kinds=ALL_KINDS, better="lower", group="data", paper="weighted-span-similarity")
def context_kl(source_own_embeddings: np.ndarray, source_embeddings: np.ndarray) -> float:
    """Divergence of the target's rows from the source's own rows, both embedded by the source, in nats; at least 0.

    Args:
        source_own_embeddings: (m, d) the source's own rows in the source.
        source_embeddings: (n, d) the target's rows in the source.
    """
    p, q = (log_softmax(rows.mean(0).astype(np.float64)) for rows in (source_own_embeddings, source_embeddings))
    return float((np.exp(p) * (p - q)).sum())
