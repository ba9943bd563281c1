"""Folds that do not split groups of rows, such as all rows of a target or of an encoder."""

from __future__ import annotations

import numpy as np


def folds_by(names: np.ndarray, most: int, seed: int = 0) -> np.ndarray:
    """(n,) fold of each row, from 0; rows of the same name have the same fold, and folds have about equally many names.

    >>> folds_by(np.array(["b", "a", "b"]), 2).tolist() in ([0, 1, 0], [1, 0, 1])
    True
    """
    distinct, number = np.unique(names, return_inverse=True)
    fold_of = np.empty(len(distinct), dtype=np.int64)
    fold_of[np.random.default_rng(seed).permutation(len(distinct))] = np.arange(len(distinct)) % most
    return fold_of[number]
