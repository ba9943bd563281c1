"""Folds that keep together what must not be split: all rows of a target, or of an encoder."""

from __future__ import annotations

import numpy as np

MOST_FOLDS = 5


def folds_by(names: np.ndarray, most: int = MOST_FOLDS, seed: int = 0) -> np.ndarray:
    """(n,) fold of each row, from 0; rows of the same name share one, and folds hold about as many names each.

    >>> folds_by(np.array(["b", "a", "b"]), 2).tolist() in ([0, 1, 0], [1, 0, 1])
    True
    """
    distinct = np.unique(names)
    order = np.random.default_rng(seed).permutation(len(distinct))
    fold_of = dict(zip(distinct[order].tolist(), (np.arange(len(distinct)) % most).tolist(), strict=True))
    return np.array([fold_of[name] for name in names.tolist()], dtype=np.int64)
