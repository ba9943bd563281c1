r"""Context representations: do the source's and the target's own model see the target's rows alike, and both data sets?

`context_cosine` is the mean over the target's rows of the cosine of the source's and the target's own model's embeddings
(equation 4 of the weighted-span-similarity paper). `context_kl` compares how the source model sees its own rows and the
target's: the mean embeddings, made distributions by a softmax, :math:`D_{KL}(P_{source} \| Q_{target})` (equation 5). Both were
compared with by that paper, which decodes the target's test rows; here it is its training and validation rows.
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
    """How far the target's rows lie from the source's own rows in the source, in nats; at least 0.

    Args:
        source_own_embeddings: (m, d) the source's own rows in the source.
        source_embeddings: (n, d) the target's rows in the source.
    """
    p, q = (log_softmax(rows.mean(0).astype(np.float64)) for rows in (source_own_embeddings, source_embeddings))
    return float((np.exp(p) * (p - q)).sum())
