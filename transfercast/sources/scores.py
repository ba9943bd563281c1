"""The one score by which a kind of task is judged, from predictions and labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score

from transfercast.core.kinds import Kind
from transfercast.sources.spans import dice, spans_of


def score_of(kind: Kind, predicted: Any, labels: Any) -> float:
    """Positive-class F1, accuracy, mean of Pearson and Spearman, or typed span F1.

    Args:
        kind: of the task.
        predicted: (n,) classes or values, or n tuples of tags.
        labels: the same for the gold labels.

    Returns:
        A value in the metric's range; a constant prediction has correlation 0.
    """
    if kind is Kind.BINARY:
        return float(f1_score(labels, predicted, pos_label=1, zero_division=0.0))
    if kind is Kind.MULTICLASS:
        return float(accuracy_score(labels, predicted))
    if kind is Kind.SEQUENCE:
        return dice([spans_of(tags) for tags in labels], [spans_of(tags) for tags in predicted])
    if np.ptp(predicted) == 0 or np.ptp(labels) == 0:
        return 0.0
    return float((pearsonr(predicted, labels).statistic + spearmanr(predicted, labels).statistic) / 2)
