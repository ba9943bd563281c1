r"""LogME: the evidence of the target's labels under Bayesian linear regression from the source's features.

With features :math:`F` (n, d), prior precision :math:`\alpha`, noise precision :math:`\beta` and :math:`t = \alpha/\beta`,
the best :math:`\beta` is :math:`n / Q(t)`, and per sample the log evidence is

.. math:: \tfrac12 \Bigl[\log\frac{n}{2\pi Q(t)} - 1 - \tfrac1n \log\det(1 + G / t)\Bigr], \qquad
          Q(t) = y^\top y - y^\top F (F^\top F + t)^{-1} F^\top y = t\, y^\top (F F^\top + t)^{-1} y,

with the smaller Gram matrix :math:`G`, min(n, d) wide. So it is a function of log t alone, and its maximum is returned,
averaged over one-hot classes. The published implementations leave out (d - n) log alpha if there are more dimensions than
rows, and stop their fixed-point iteration early.
The search for the best t is in transfercast.features.regression.
You, Liu, Wang, Long (ICML 2021), arXiv:2102.11005.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import blas

from transfercast.core.errors import ShapeError
from transfercast.core.kinds import ALL_KINDS
from transfercast.features.registry import measure
from transfercast.features.regression import Problem, columns_of, largest_evidence
from transfercast.features.rows import useless


@measure(kinds=ALL_KINDS, better="higher", group="embeddings", paper="you2021logme", version=2)
def logme(source_embeddings: np.ndarray, target_values: Any) -> float:
    """Largest log evidence per sample, averaged over the classes that occur.

    Args:
        source_embeddings: (n, d) features of the target's rows (for sequences, of its words).
        target_values: (n,) class numbers, or real values; or (n, C) labels of a multi-label task, or several values;
            constant columns are left out.

    Returns:
        A value in nats a sample; higher means that a linear map explains the labels better. NaN if features are not
        finite, or the same for every row.

    Raises:
        ShapeError: if the lengths differ, or there are fewer than two rows.
    """
    features, values = np.ascontiguousarray(source_embeddings, dtype=np.float64), np.asarray(target_values)
    if len(values) != len(features) or len(values) < 2:
        raise ShapeError(f"logme needs a label for every row, and two rows: {len(features)} rows, {len(values)} labels.")
    if useless(features) is not None:
        return float("nan")
    columns = columns_of(values)
    if not columns.size:
        return float("nan")
    n, d = features.shape
    wide = d > n
    # Products by scipy's BLAS only: numpy's has its own threads, and the two thread pools would wait for each other.
    gram = blas.dsyrk(1.0, features.T, trans=int(wide), lower=1)
    sides = columns if wide else blas.dgemm(1.0, features.T, np.asfortranarray(columns))
    return float(largest_evidence(Problem(gram, sides, (columns**2).sum(0), n, wide)).mean())
