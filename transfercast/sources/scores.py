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
        A value in the metric's range; a constant prediction, or one that is no number, has correlation 0.
    """
    if kind is Kind.BINARY:
        return float(f1_score(labels, predicted, pos_label=1, zero_division=0.0))
    if kind is Kind.MULTICLASS:
        return float(accuracy_score(labels, predicted))
    if kind is Kind.SEQUENCE:
        return dice([spans_of(tags) for tags in labels], [spans_of(tags) for tags in predicted])
    if not np.isfinite(predicted).all() or np.ptp(predicted) == 0 or np.ptp(labels) == 0:
        return 0.0
    mean = float((pearsonr(predicted, labels).statistic + spearmanr(predicted, labels).statistic) / 2)
    return mean if np.isfinite(mean) else 0.0  # of predictions too large, or all but constant


_CAUSE_AND_REMEDY = {
    "positive_f1": (
        "it finds no positive row; the label is rare, or learned too little",
        "more rows, more of them positive (positive_share)",
    ),
    "accuracy": ("it gets no row right; it learned too little, or the labels are mixed up", "more rows"),
    "pearson_spearman": (
        "it predicts no number, or one for all rows; it learned too little, or its training diverged",
        "more rows",
    ),
    "span_f1": ("it finds no span; spans are rare, or learned too little", "more rows, more of them with spans"),
}


def warning_of(score: float, metric: str) -> str | None:
    """Why a score is not to be relied on, and what to do; None where nothing is wrong with it.

    Args:
        score: on validation or test rows.
        metric: by which it was measured, a key of METRICS.
    """
    if score != 0:
        return None
    cause, remedy = _CAUSE_AND_REMEDY[metric]
    return (
        f"{metric} is 0.000: {cause}. Give it {remedy}, more epochs or another learning rate "
        f"(as in --recipe full/lr=3e-4/epochs=8). What rests on this score means little."
    )
