r"""H-score: the share of the features' variance that lies between the target's classes.

.. math:: H = \operatorname{tr}(\Sigma_f^{-1} \Sigma_{E[f \mid Y]})

The covariance of few rows in many dimensions is singular, so it is shrunk towards a multiple of the identity (Ledoit and
Wolf), and the class means are shrunk by the same factor. Bao and others (ICIP 2019); Ibrahim, Ponomareva, Mazumder (ECML
2022), arXiv:2110.06893.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import solve

from transfercast.core.kinds import LABELLED
from transfercast.features.registry import measure
from transfercast.features.rows import by_label, class_rows, useless


@measure(kinds=LABELLED, better="higher", group="embeddings", paper="bao2019hscore", grows_with_width=True)
def h_score(source_embeddings: np.ndarray, target_values: np.ndarray) -> float:
    """Between-class spread of the features in units of their shrunk covariance; at least 0, NaN where features have no spread.

    Args:
        source_embeddings: (n, d) features of the target's rows (for sequences, of its words).
        target_values: (n,) class numbers, or (n, C) labels 0 and 1, over which the mean is taken.

    Raises:
        ShapeError: if the lengths differ, or there are fewer than two rows.
    """
    from sklearn.covariance import ledoit_wolf

    if np.ndim(target_values) == 2:
        return by_label(lambda column: h_score(source_embeddings, column), np.asarray(target_values))
    features, member = class_rows(source_embeddings, target_values, least=2)
    if useless(features) is not None:
        return float("nan")
    features = features - features.mean(0)
    covariance, shrinkage = ledoit_wolf(features, assume_centered=True)
    sizes = member.sum(0)
    means = (member.T @ features) / sizes[:, None]  # (C, d)
    weighted = means * np.sqrt(sizes / len(features))[:, None]
    return float((1 - shrinkage) * np.trace(weighted @ solve(covariance, weighted.T, assume_a="pos")))
