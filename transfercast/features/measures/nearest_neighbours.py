"""k nearest neighbours: how well a row's label is predicted by its neighbours in the source's embedding space.

Each row is left out in turn and predicted by the K others that are nearest in Euclidean distance: accuracy of the majority
for classes, correlation (Pearson) with the mean for values. A score of frozen features without any training; Garbas,
Ploner, Akbik, "TransformerRanker" (2024), arXiv:2409.05997.
"""

from __future__ import annotations

import numpy as np

from transfercast.core.errors import ShapeError
from transfercast.core.kinds import ALL_KINDS
from transfercast.features.registry import measure
from transfercast.features.rows import by_label, useless

K = 5


@measure(kinds=ALL_KINDS, better="higher", group="embeddings", paper="garbas2024transformerranker")
def nearest_neighbours(source_embeddings: np.ndarray, target_values: np.ndarray) -> float:
    """Accuracy (classes) or Pearson correlation (values) of each row's K nearest others.

    Args:
        source_embeddings: (n, d) features of the target's rows (for sequences, of its words).
        target_values: (n,) class numbers, or real values, or (n, C) labels 0 and 1, over which the mean is taken.

    Returns:
        At most 1; NaN if features are not finite, or the same for every row.

    Raises:
        ShapeError: if the lengths differ, or there are fewer than two rows.
    """
    from sklearn.neighbors import NearestNeighbors

    features, values = np.asarray(source_embeddings), np.asarray(target_values)
    if len(features) != len(values) or len(values) < 2:
        raise ShapeError(f"a label for every row, and at least 2: {len(features)} rows, {len(values)} labels.")
    if useless(features) is not None:
        return float("nan")
    k = min(K, len(values) - 1)
    others = NearestNeighbors(n_neighbors=k).fit(features).kneighbors(return_distance=False)  # never a row itself
    if values.ndim == 2:
        return by_label(lambda column: _accuracy(column, others), values)
    if not np.issubdtype(values.dtype, np.integer):
        means = values[others].mean(1)
        return float(np.corrcoef(means, values)[0, 1]) if means.std() > 0 and values.std() > 0 else 0.0
    return _accuracy(values, others)


def _accuracy(values: np.ndarray, others: np.ndarray) -> float:
    """Share of rows whose class is that of most of their neighbours, (n, k), the nearest first."""
    classes, k = np.unique(values), others.shape[1]
    nearer = 1 + 2.0 ** -np.arange(1, k + 1) / k  # among classes with equal votes, that of the nearest row wins
    votes = ((values[others][..., None] == classes) * nearer[:, None]).sum(1)  # (n, C)
    return float((classes[votes.argmax(1)] == values).mean())
