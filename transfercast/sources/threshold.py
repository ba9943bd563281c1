"""The probability from which a binary task's document counts as positive.

On a rare label a model that ranks well may find nothing above one half, and an F1 of 0 then says nothing of the model. The
threshold that is best on validation is moved into the bias of the head, so that the model decides at one half wherever it
is used.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import nn

HALF = 0.5
NEAREST = 1e-4
"""Thresholds lie this far from 0 and 1, at least."""


def best_threshold(metric: str, positive: np.ndarray, labels: np.ndarray) -> float:
    """The threshold of the highest metric; of several, the middle one; one half where no row, or every row, is positive.

    Args:
        metric: a key of METRICS that judges binary tasks.
        positive: (n,) probabilities of the positive class.
        labels: (n,) 0 or 1.

    >>> best_threshold("positive_f1", np.array([0.1, 0.2, 0.3, 0.4]), np.array([0, 0, 1, 1]))
    0.25
    """
    if not 0 < labels.sum() < len(labels):
        return HALF
    ranked = np.concatenate([[1.0], np.sort(positive)[::-1], [0.0]])  # the first and the last part none and all
    right = np.concatenate([[0], np.cumsum(labels[np.argsort(-positive, kind="stable")])])
    counts = np.arange(len(labels) + 1)
    scores = _of_counts(metric, right, counts - right, int(labels.sum()), len(labels))
    scores[ranked[:-1] == ranked[1:]] = -np.inf  # a threshold cannot part equal probabilities
    best = np.flatnonzero(scores >= scores.max() - 1e-12)
    last = best[len(best) // 2]
    return float(np.clip((ranked[last] + ranked[last + 1]) / 2, NEAREST, 1 - NEAREST))


def _of_counts(metric: str, tp: np.ndarray, fp: np.ndarray, positives: int, rows: int) -> np.ndarray:
    """(n,) the metric where so many predicted positives are right and wrong, of so many positive rows."""
    fn, tn = positives - tp, rows - positives - fp
    match metric:
        case "positive_f1":
            scores = 2 * tp / (2 * tp + fp + fn)
        case "macro_f1":
            scores = tp / (2 * tp + fp + fn) + tn / (2 * tn + fp + fn)
        case "mcc":
            norm = np.sqrt((tp + fp).astype(float) * positives * (tn + fp) * (tn + fn))
            scores = (tp * tn - fp * fn) / np.where(norm == 0, 1.0, norm)
        case _:  # accuracy, and micro F1, which is the same
            scores = (tp + tn) / rows
    return np.asarray(scores, dtype=np.float64)


def binary_bias(model: Any) -> nn.Parameter | None:
    """The bias (2,) of the head of a model of two classes; None where its head has no bias, as those of decoders."""
    inside = {id(module) for module in model.base_model.modules()}
    heads = [m for m in model.modules() if id(m) not in inside and isinstance(m, nn.Linear) and m.out_features == 2]
    return heads[-1].bias if heads else None


def move_threshold(model: Any, threshold: float) -> None:
    """Change the bias of a binary model's head so that what was at `threshold` is at one half, which leaves other models."""
    if threshold == HALF:
        return
    bias = binary_bias(model)
    if bias is None:
        raise ValueError("the model has no bias to move its threshold by")
    with torch.no_grad():
        bias[1] -= math.log(threshold / (1 - threshold))
