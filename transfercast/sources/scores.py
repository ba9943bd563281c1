"""Scores of predictions by the name of the metric, and warnings of scores that are no better than chance."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, matthews_corrcoef

from transfercast.core.kinds import Kind
from transfercast.sources.spans import dice, spans_of

RANKINGS, REACHED = 200, 0.95
"""Number of random rankings of a binary task's rows, and the quantile of their average precision that counts as chance."""


def score_of(metric: str, predicted: Any, labels: Any) -> float:
    """The score of predictions.

    F1, accuracy and Matthews' correlation coefficient are scikit-learn's, correlations scipy's; `span_f1` is seqeval's micro F1
    of typed spans. F1 is 0 if nothing is positive or predicted so. `micro_f1` of rows with one class each is their accuracy.

    Args:
        metric: a key of METRICS.
        predicted: (n,) classes or values, or n tuples of tags.
        labels: the same for the gold labels.

    Returns:
        A value in the metric's range; a prediction that is constant or not finite has correlation 0.
    """
    match metric:
        case "positive_f1":
            return float(f1_score(labels, predicted, pos_label=1, zero_division=0.0))
        case "macro_f1" | "micro_f1":
            return float(f1_score(labels, predicted, average=metric.removesuffix("_f1"), zero_division=0.0))
        case "accuracy":
            return float(accuracy_score(labels, predicted))
        case "mcc":
            return float(matthews_corrcoef(labels, predicted))
        case "span_f1":
            return dice([spans_of(tags) for tags in labels], [spans_of(tags) for tags in predicted])
        case "pearson" | "spearman" | "pearson_spearman":
            return _correlation(metric, np.asarray(predicted), np.asarray(labels))
        case _:
            raise ValueError(f"metric {metric!r} is unknown")


def _correlation(metric: str, predicted: np.ndarray, labels: np.ndarray) -> float:
    """Pearson's, Spearman's, or the mean of both, of (n,) values with (n,) values."""
    if not np.isfinite(predicted).all() or np.ptp(predicted) == 0 or np.ptp(labels) == 0:
        return 0.0
    both = {"pearson": pearsonr(predicted, labels).statistic, "spearman": spearmanr(predicted, labels).statistic}
    mean = float(both.get(metric, sum(both.values()) / 2))
    return mean if np.isfinite(mean) else 0.0  # predictions that are too large, or almost constant


def average_precision(positive: np.ndarray, labels: np.ndarray) -> float | None:
    """Area under the precision-recall curve (scikit-learn): how well rows are ranked, without a threshold.

    Args:
        positive: (n,) probabilities of the positive class.
        labels: (n,) 0 or 1.

    Returns:
        A value in (0, 1]; None if no row is positive, or a probability is not finite.

    >>> round(average_precision(np.array([0.9, 0.8, 0.1]), np.array([1, 0, 1])), 3)  # (1/1 + 2/3) / 2
    0.833
    """
    if not labels.any() or not np.isfinite(positive).all():
        return None
    return float(average_precision_score(labels, positive))


def chance_of(kind: Kind, metric: str, labels: Any) -> float:
    """The score that a model may reach by chance, without having learned anything.

    Args:
        kind: kind of the task.
        metric: a key of METRICS that applies to it.
        labels: labels of n rows, as in `Examples`.

    Returns:
        For a binary task, the average precision that one of twenty random rankings reaches: a little above the share of
        positive rows, and further above it with fewer rows. Otherwise the score of the best constant prediction;
        for values and sentences 0.

    >>> chance_of(Kind.MULTICLASS, "accuracy", np.array([0, 1, 1, 2]))
    0.5
    """
    match kind:
        case Kind.BINARY:
            shuffled = np.random.default_rng(0).permuted(np.tile(labels, (RANKINGS, 1)), axis=1)
            precision = np.cumsum(shuffled, axis=1) / np.arange(1, len(labels) + 1)
            return float(np.quantile((precision * shuffled).sum(1) / max(labels.sum(), 1), REACHED))
        case Kind.MULTICLASS:
            return max(score_of(metric, np.full_like(labels, one), labels) for one in np.unique(labels))
        case Kind.MULTILABEL:
            rank = np.argsort(np.argsort(-labels.sum(0), kind="stable"))  # 0 for the most frequent label
            constant = (np.broadcast_to(rank < most, labels.shape).astype(int) for most in range(len(rank) + 1))
            return max(score_of(metric, predicted, labels) for predicted in constant)
        case _:
            return 0.0


_NO_ROW_RIGHT = ("it gets no row right; it learned too little, or the labels are mixed up", "more rows")
_NO_NUMBER = ("it predicts no number, or one for all rows; it learned too little, or its training diverged", "more rows")

_CAUSE_AND_REMEDY = {
    "positive_f1": (
        "it finds no positive row; the label is rare, or learned too little",
        "more rows, more of them positive (positive_share)",
    ),
    "accuracy": _NO_ROW_RIGHT,
    "macro_f1": _NO_ROW_RIGHT,
    "micro_f1": _NO_ROW_RIGHT,
    "mcc": ("it predicts one class for all rows, or no better than chance; it learned too little", "more rows"),
    "pearson_spearman": _NO_NUMBER,
    "pearson": _NO_NUMBER,
    "spearman": _NO_NUMBER,
    "span_f1": ("it finds no span; spans are rare, or learned too little", "more rows, more of them with spans"),
}

_REMEDY = "more epochs or another learning rate (as in --recipe full/lr=3e-4/epochs=8). What rests on this score means little."


def warning_of(score: float, metric: str) -> str | None:
    """The reason why a score is unreliable, and what to do; None if it is not.

    Args:
        score: on validation or test rows.
        metric: its metric, a key of METRICS.
    """
    if score != 0:
        return None
    cause, remedy = _CAUSE_AND_REMEDY[metric]
    return f"{metric} is 0.000: {cause}. Give it {remedy}, {_REMEDY}"


def chance_warning(judged: float, metric: str, kind: Kind, chance: float) -> str | None:
    """The reason why a model is unreliable, and what to do; None if it is better than chance on validation.

    Args:
        judged: its average precision for a binary task; else its score.
        metric, kind: those of the task.
        chance: result of `chance_of` for the same rows.
    """
    if judged > chance:
        return None
    if kind is Kind.BINARY:
        found = f"average precision is {judged:.3f}, and one of twenty random rankings of the rows reaches {chance:.3f}"
    else:
        found = f"{metric} is {judged:.3f}, and one answer for all rows reaches {chance:.3f}"
    return f"{found}: it learned too little, or its label is rare. Give it {_CAUSE_AND_REMEDY[metric][1]}, {_REMEDY}"
