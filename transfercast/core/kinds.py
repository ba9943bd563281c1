"""Kinds of task, and the metrics of each kind."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator

from transfercast.core.errors import InputError


class Kind(StrEnum):
    """The labels of a task: one of two classes, one of several, any of several labels, a value, or a tag for each word."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    MULTILABEL = "multilabel"
    REGRESSION = "regression"
    SEQUENCE = "sequence"


ALL_KINDS = frozenset(Kind)

_ONE_CLASS = frozenset({Kind.BINARY, Kind.MULTICLASS})

ONE_CLASS = _ONE_CLASS | {Kind.SEQUENCE}
"""Kinds whose rows (in sequences, words) carry one of several classes."""

LABELLED = ALL_KINDS - {Kind.REGRESSION}
"""Kinds whose rows carry classes: one class, or any of several labels."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A score where higher is better, its range, and the kinds of task that it applies to."""

    name: str
    lowest: float
    highest: float
    kinds: frozenset[Kind]


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("positive_f1", 0.0, 1.0, frozenset({Kind.BINARY})),
        Metric("accuracy", 0.0, 1.0, _ONE_CLASS),
        Metric("micro_f1", 0.0, 1.0, _ONE_CLASS | {Kind.MULTILABEL}),
        Metric("macro_f1", 0.0, 1.0, _ONE_CLASS | {Kind.MULTILABEL}),
        Metric("mcc", -1.0, 1.0, _ONE_CLASS),
        Metric("pearson_spearman", -1.0, 1.0, frozenset({Kind.REGRESSION})),
        Metric("pearson", -1.0, 1.0, frozenset({Kind.REGRESSION})),
        Metric("spearman", -1.0, 1.0, frozenset({Kind.REGRESSION})),
        Metric("span_f1", 0.0, 1.0, frozenset({Kind.SEQUENCE})),
    )
}

DEFAULT_METRIC = "positive_f1"  # of a target about which a table says nothing


def _known(metric: str) -> str:
    if metric not in METRICS:
        raise ValueError(f"unknown metric; known are {', '.join(METRICS)}")
    return metric


MetricName = Annotated[str, AfterValidator(_known)]
"""A key of METRICS, checked where a typed model is built."""

METRIC_OF: dict[Kind, str] = {
    Kind.BINARY: "positive_f1",
    Kind.MULTICLASS: "accuracy",
    Kind.MULTILABEL: "micro_f1",
    Kind.REGRESSION: "pearson_spearman",
    Kind.SEQUENCE: "span_f1",
}
"""Default metric of each kind of task."""


def metrics_of(kind: Kind) -> list[str]:
    """Names of the metrics that apply to a kind of task, its default first.

    >>> metrics_of(Kind.REGRESSION)
    ['pearson_spearman', 'pearson', 'spearman']
    """
    return [name for name, metric in METRICS.items() if kind in metric.kinds]


def metric_for(kind: Kind, chosen: str | None, where: str) -> str:
    """The metric that was chosen, or the kind's own.

    Raises:
        InputError: beginning with `where`, if the one chosen cannot judge such tasks.
    """
    metric = chosen or METRIC_OF[kind]
    if metric not in METRICS or kind not in METRICS[metric].kinds:
        raise InputError(f"{where}: metric {metric!r} does not judge {kind} tasks; choose of {', '.join(metrics_of(kind))}.")
    return metric
