"""Make embeddings of encoders of several widths comparable.

With many dimensions few rows can be separated by chance, so a measure may grow with the width of uninformative embeddings.
The H-score does, in spite of its shrinkage: for noise on 120 rows it is 0.002 in 8 dimensions, 0.05 in 384 and 0.18 in 1,500.
LogME (-1.07), nearest neighbours (0.50) and frozen transfer, which are penalised or cross-validated, do not change with the
width, so they use whole embeddings. For the others, if encoders differ in width, the embeddings of each are reduced to as many
of their own principal components as the narrowest has dimensions. The components are fitted on the rows that are read, without
labels, so the labels cannot leak into them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def common_width(widths: Sequence[int], rows: int) -> int | None:
    """Number of components that embeddings of these widths are reduced to; None if all widths are equal.

    >>> common_width([768, 384, 1024], 200), common_width([768, 768], 200), common_width([768, 384], 100)
    (199, None, 99)
    """
    return min(*widths, max(rows - 1, 1)) if len(set(widths)) > 1 else None


def principal_components(embeddings: np.ndarray, count: int) -> np.ndarray:
    """(n, count) coordinates of (n, d) embeddings on their first principal components.

    Args:
        embeddings: finite; centred here.
        count: at most min(n - 1, d); further components would be zero.
    """
    centred = np.asarray(embeddings, dtype=np.float64)
    centred = centred - centred.mean(0)
    if len(centred) < centred.shape[1]:
        values, vectors = np.linalg.eigh(centred @ centred.T)
        return np.asarray(vectors[:, ::-1][:, :count] * np.sqrt(np.maximum(values[::-1][:count], 0.0)))
    _, vectors = np.linalg.eigh(centred.T @ centred)
    return np.asarray(centred @ vectors[:, ::-1][:, :count])
