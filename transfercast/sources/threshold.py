"""The probability from which a document of a binary task is positive, or has one of several labels.

With a rare label, a model that ranks well may give no probability above one half; its F1 of 0 then says nothing about the
model. The threshold that is best on validation is moved into the bias of the head, so that the model decides at one half
wherever it is used.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import nn

HALF = 0.5
NEAREST = 1e-4
"""Smallest distance of thresholds from 0 and 1."""


def best_threshold(metric: str, positive: np.ndarray, labels: np.ndarray) -> float:
    """The threshold with the highest score; the middle one of several; one half if no row, or every row, is positive.

    Args:
        metric: a key of METRICS for binary tasks.
        positive: (n,) probabilities of the positive class.
        labels: (n,) 0 or 1.

    >>> best_threshold("positive_f1", np.array([0.1, 0.2, 0.3, 0.4]), np.array([0, 0, 1, 1]))
    0.25
    """
    if not 0 < labels.sum() < len(labels):
        return HALF
    ranked = np.concatenate([[1.0], np.sort(positive)[::-1], [0.0]])  # from no row to every row
    right = np.concatenate([[0], np.cumsum(labels[np.argsort(-positive, kind="stable")])])
    counts = np.arange(len(labels) + 1)
    scores = _of_counts(metric, right, counts - right, int(labels.sum()), len(labels))
    scores[ranked[:-1] == ranked[1:]] = -np.inf  # a threshold cannot separate equal probabilities
    best = np.flatnonzero(scores >= scores.max() - 1e-12)
    last = best[len(best) // 2]
    return float(np.clip((ranked[last] + ranked[last + 1]) / 2, NEAREST, 1 - NEAREST))


def _of_counts(metric: str, tp: np.ndarray, fp: np.ndarray, positives: int, rows: int) -> np.ndarray:
    """(n,) the metric, from numbers of true and false positives among the predictions, and of positive rows."""
    fn, tn = positives - tp, rows - positives - fp
    match metric:
        case "positive_f1":
            scores = 2 * tp / (2 * tp + fp + fn)
        case "macro_f1":
            scores = tp / (2 * tp + fp + fn) + tn / (2 * tn + fp + fn)
        case "mcc":
            norm = np.sqrt((tp + fp).astype(float) * positives * (tn + fp) * (tn + fn))
            scores = (tp * tn - fp * fn) / np.where(norm == 0, 1.0, norm)
        case _:  # accuracy and micro F1 are equal
            scores = (tp + tn) / rows
    return np.asarray(scores, dtype=np.float64)


def best_thresholds(metric: str, labelled: np.ndarray, labels: np.ndarray) -> tuple[float, ...]:
    """A threshold for each of C labels: for macro F1 each label's best, for micro F1 the same for all.

    Args:
        metric: a key of METRICS for multi-label tasks.
        labelled: (n, C) probabilities of the labels.
        labels: (n, C) 0 or 1.
    """
    if metric == "macro_f1":
        return tuple(best_threshold("positive_f1", *columns) for columns in zip(labelled.T, labels.T, strict=True))
    shared = best_threshold("positive_f1", labelled.ravel(), labels.ravel())
    return tuple(shared for _ in labels.T)


def head_bias(model: Any) -> nn.Parameter | None:
    """The bias (C,) of the head of a model of C classes; None if its head has no bias, like those of decoders."""
    inside = {id(module) for module in model.base_model.modules()}
    classes = model.config.num_labels
    heads = [m for m in model.modules() if id(m) not in inside and isinstance(m, nn.Linear) and m.out_features == classes]
    return heads[-1].bias if heads else None


def move_threshold(model: Any, threshold: float | tuple[float, ...]) -> None:
    """Change the bias of a model's head so that a probability of `threshold` becomes one half.

    Args:
        model: model of a binary task or of several labels; with a threshold of one half, any model, which is not changed.
        threshold: one for a binary task, or one for each of several labels.
    """
    if threshold == HALF:
        return
    bias = head_bias(model)
    if bias is None:
        raise ValueError("the model has no bias to move its threshold by")
    with torch.no_grad():
        if isinstance(threshold, float):
            bias[1] -= _log_odds(threshold)
        else:
            bias.sub_(torch.tensor([_log_odds(one) for one in threshold], dtype=bias.dtype, device=bias.device))


def _log_odds(probability: float) -> float:
    return math.log(probability / (1 - probability))
