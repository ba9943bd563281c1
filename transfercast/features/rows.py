"""Labels as one-hot rows, checked against what they go with; shared by several measures."""

from __future__ import annotations

import numpy as np

from transfercast.core.errors import ShapeError


def one_hot(labels: np.ndarray) -> np.ndarray:
    """(n, C) float64 membership in the C classes that occur."""
    return np.asarray(labels[:, None] == np.unique(labels)[None, :], dtype=np.float64)


def class_rows(values: np.ndarray, labels: np.ndarray, least: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """`values` as float64 (n, d), and the labels as one-hot rows (n, C).

    Raises:
        ShapeError: if the lengths differ, or there are fewer than `least` rows.
    """
    values, labels = np.asarray(values, dtype=np.float64), np.asarray(labels)
    if len(values) != len(labels) or len(labels) < least:
        raise ShapeError(f"a label for every row, and at least {least}: {len(values)} rows, {len(labels)} labels.")
    return values, one_hot(labels)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Cosine of two vectors; 0 where one of them is 0."""
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / norms if norms else 0.0
