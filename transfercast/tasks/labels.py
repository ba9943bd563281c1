"""Turn labels as written into class numbers, values and tags."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from transfercast.core.errors import InputError
from transfercast.core.kinds import Kind
from transfercast.tasks.inference import Labelling
from transfercast.tasks.rows import Raw
from transfercast.tasks.spec import TaskSpec
from transfercast.tasks.task import Examples


def classes_of(spec: TaskSpec, labelling: Labelling, label: Any) -> tuple[str, ...]:
    """The classes of a row, each of which every split must keep; if labels are not classes, the single class "".

    For a multi-label file these are the classes of all its labels, so that its tasks share their documents.
    """
    if spec.labels:
        return tuple(f"{name}={value}" for name, value in zip(spec.labels, label, strict=True))
    if isinstance(label, frozenset):
        return tuple(sorted(label))
    if labelling.kind is Kind.BINARY:
        return (str(_flag(spec, labelling, label)),)
    return (str(label),) if labelling.kind is Kind.MULTICLASS else ("",)


def is_positive(labelling: Labelling, label: Any) -> bool:
    """Whether a row is positive: it has any of several labels, a span, or the positive class."""
    if isinstance(label, frozenset):
        return bool(label)
    if isinstance(label, tuple):
        return any(part not in (0, "O") for part in label)
    return label in labelling.positive


def names_of(spec: TaskSpec, kind: Kind, raws: dict[str, Raw]) -> tuple[str, ...]:
    """Names of the classes that more than one split has (for sequences BIO tags with O first; for several labels their names).

    Raises:
        InputError: if only one split has a label, or validation or test have one that training lacks, unless
            spec.drop holds "rare_labels".
    """
    if kind is Kind.REGRESSION:
        return ()
    if kind is Kind.BINARY:
        return ("negative", "positive")
    lines: dict[str, dict[str, int]] = {}  # label -> split -> first line
    for split, raw in raws.items():
        for line, label in zip(raw.lines, raw.labels, strict=True):
            for name in _named(spec, kind, label):
                lines.setdefault(name, {}).setdefault(split, line)
    kept = []
    for name, splits in sorted(lines.items()):
        if "train" in splits and len(splits) > 1:
            kept.append(name)
        elif "rare_labels" not in spec.drop:
            split, line = next(iter(splits.items()))
            only = f"in {split} only" if len(splits) == 1 else "in validation and test, not in train"
            raise InputError(
                f"{raws[split].where}, line {line}: label {name!r} is {only}. Add rows with it to the other splits, "
                f"or say drop = ['rare_labels']."
            )
    if kind is Kind.SEQUENCE:
        return ("O", *(f"{prefix}-{name}" for name in kept for prefix in "BI"))
    if len(kept) < 2:
        raise InputError(
            f"{raws['train'].where}: {len(kept)} of {len(lines)} classes are shared by training and another split; need 2."
        )
    return tuple(kept)


def _named(spec: TaskSpec, kind: Kind, label: Any) -> Collection[str]:
    """The classes, labels, or types of spans that a row has."""
    if kind is Kind.SEQUENCE:
        return {tag[2:] for tag in label if tag != "O"}
    if kind is Kind.MULTILABEL and spec.labels:
        return [name for name, flag in zip(spec.labels, label, strict=True) if flag]
    return label if kind is Kind.MULTILABEL else (label,)


def examples_of(spec: TaskSpec, labelling: Labelling, names: tuple[str, ...], split: str, raw: Raw) -> Examples:
    """Texts and numeric labels of one split.

    Raises:
        InputError: if no row is left, or a binary task's split lacks one of the classes.
    """
    labels: Any
    if labelling.kind is Kind.SEQUENCE:
        labels = tuple(tuple(tag if tag in names else "O" for tag in tags) for tags in raw.labels)
    elif labelling.kind is Kind.REGRESSION:
        labels = np.array([float(label) for label in raw.labels], dtype=np.float64)
    elif labelling.kind is Kind.MULTILABEL:
        rows = [set(_named(spec, Kind.MULTILABEL, label)) for label in raw.labels]
        labels = np.array([[name in present for name in names] for present in rows], dtype=np.int64)
    elif labelling.kind is Kind.BINARY:
        labels = np.array([_flag(spec, labelling, label) for label in raw.labels], dtype=np.int64)
        if len(set(labels.tolist())) < 2:
            which = "positive" if not labels.any() else "negative"
            raise InputError(
                f"{raw.where}: no {which} row in {split} of task {spec.name!r}. Every split needs both: add rows with other "
                f"texts, or another file for {split}."
            )
    else:
        number = {name: i for i, name in enumerate(names)}
        raw = raw.take([row for row, label in enumerate(raw.labels) if label in number])
        labels = np.array([number[label] for label in raw.labels], dtype=np.int64)
    if not len(labels):
        raise InputError(f"{raw.where}: no row is left in {split} of task {spec.name!r}. Add rows with other texts.")
    return Examples(tuple(raw.texts), labels, tuple(raw.ids))


def _flag(spec: TaskSpec, labelling: Labelling, label: Any) -> int:
    if isinstance(label, frozenset):
        return int(bool(label & labelling.positive))
    if isinstance(label, tuple):
        return int(label[spec.labels.index(spec.label)])
    return int(label in labelling.positive)
