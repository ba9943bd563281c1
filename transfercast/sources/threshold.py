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


def best_threshold(positive: np.ndarray, labels: np.ndarray) -> float:
    """The threshold of the highest F1; of several, the middle one; one half where no row, or every row, is positive.

    Args:
        positive: (n,) probabilities of the positive class.
        labels: (n,) 0 or 1.

    >>> best_threshold(np.array([0.1, 0.2, 0.3, 0.4]), np.array([0, 0, 1, 1]))
    0.25
    """
    if not 0 < labels.sum() < len(labels):
        return HALF
    order = np.argsort(-positive, kind="stable")
    ranked = positive[order]
    hits = np.cumsum(labels[order])
    f1 = 2 * hits / (np.arange(1, len(ranked) + 1) + labels.sum())
    ends = np.append(ranked[:-1] > ranked[1:], True)  # a threshold cannot part equal probabilities
    f1 = np.where(ends, f1, -1.0)
    best = np.flatnonzero(f1 >= f1.max() - 1e-12)
    last = int(best[len(best) // 2])
    below = ranked[last + 1] if last + 1 < len(ranked) else 0.0
    return float(np.clip((ranked[last] + below) / 2, NEAREST, 1 - NEAREST))


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
