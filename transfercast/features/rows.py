"""Checks and transformations of feature and label rows, shared by several measures."""

from __future__ import annotations

from collections.abc import Callable

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


def by_label(score: Callable[[np.ndarray], float], labels: np.ndarray) -> float:
    """Mean over labels of a score of class numbers, for rows with several labels; each label gives class numbers 0 and 1.

    Args:
        score: a function of (n,) class numbers.
        labels: (n, C); a label that all rows have, or none, is left out. The result is NaN if no label remains.
    """
    vary = [column for column in labels.T if column.min() < column.max()]
    return float(np.mean([score(column) for column in vary])) if vary else float("nan")


def useless(features: np.ndarray) -> str | None:
    """The reason why (n, d) features cannot be measured; None if they can."""
    if not np.isfinite(features).all():
        return "its embeddings are NaN or infinite: the model's weights are damaged, or its training diverged"
    if len(features) > 1 and (features[0] == features[1]).all() and (features == features[0]).all():
        return "it gives every row the same embedding"
    return None


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Cosine of two vectors; 0 if one of them is 0."""
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / norms if norms else 0.0
