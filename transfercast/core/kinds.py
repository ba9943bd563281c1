"""Kinds of task, and the one metric by which each kind is judged."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator


class Kind(StrEnum):
    """What a task asks for. A multi-label file is read as one binary task per label."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"
    SEQUENCE = "sequence"


ALL_KINDS = frozenset(Kind)

LABELLED = ALL_KINDS - {Kind.REGRESSION}
"""Kinds whose rows (in sequences, words) carry one of several classes."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A score where higher is better, and the range it can take."""

    name: str
    lowest: float
    highest: float


METRICS: dict[str, Metric] = {
    "positive_f1": Metric("positive_f1", 0.0, 1.0),
    "accuracy": Metric("accuracy", 0.0, 1.0),
    "pearson_spearman": Metric("pearson_spearman", -1.0, 1.0),
    "span_f1": Metric("span_f1", 0.0, 1.0),
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
    Kind.REGRESSION: "pearson_spearman",
    Kind.SEQUENCE: "span_f1",
}
