"""TextEmb: the cosine of the mean text embeddings of source and target in the base encoder.

Vu and others, "Exploring and Predicting Transferability across NLP Tasks" (EMNLP 2020), arXiv:2005.00770.
"""

from __future__ import annotations

import numpy as np

from transfercast.core.kinds import ALL_KINDS
from transfercast.features.registry import measure
from transfercast.features.rows import cosine


@measure(kinds=ALL_KINDS, better="higher", group="data", paper="vu2020exploring")
def text_emb(source_base_embeddings: np.ndarray, target_base_embeddings: np.ndarray) -> float:
    """Cosine of the two mean text embeddings, in [-1, 1].

    Args:
        source_base_embeddings: (n, d) the source's texts in the base encoder.
        target_base_embeddings: (m, d) the target's.
    """
    return cosine(source_base_embeddings.mean(0), target_base_embeddings.mean(0))
