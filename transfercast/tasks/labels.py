"""From the records of a file to texts and labels, with every mistake told by file, line and value."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from transfercast.core.errors import InputError
from transfercast.core.kinds import Kind
from transfercast.tasks.readers import Record
from transfercast.tasks.spec import TaskSpec
from transfercast.tasks.task import Examples

_TRUE, _FALSE = {"1", "1.0", "true", "True", "yes"}, {"0", "0.0", "false", "False", "no"}


@dataclass(frozen=True, slots=True)
class Raw:
    """The rows of one split before labels become numbers: where each stands, its text and its label as written."""

    where: str
    lines: list[int]
    texts: list[Any]
    labels: list[Any]

    def take(self, rows: Sequence[int] | np.ndarray) -> Raw:
        """The rows at these numbers."""
        return Raw(
            self.where,
            [self.lines[r] for r in rows],
            [self.texts[r] for r in rows],
            [self.labels[r] for r in rows],
        )


def raw_rows(spec: TaskSpec, where: str, records: Sequence[Record]) -> Raw:
    """Pick the text and label columns out of a file's records.

    A label is a string, or (sequence) a tuple of tags, or (multilabel) a tuple of 0 and 1 in the order of spec.labels.
    """
    raw = Raw(where, [], [], [])
    for record in records:
        if "empty_text" in spec.drop and _is_empty(record.values.get(spec.text, record)):
            continue
        if "tokens" in record.values or spec.kind == "sequence":
            text, label = _sentence(spec, where, record)
        else:
            text, label = _document(spec, where, record)
        raw.lines.append(record.line)
        raw.texts.append(text)
        raw.labels.append(label)
    return raw


def _value(spec: TaskSpec, where: str, record: Record, column: str) -> Any:
    if column not in record.values:
        names = ", ".join(map(repr, record.values))
        raise InputError(f"{where}, line {record.line}: no column {column!r}; there are {names}. Name the right one.")
    value = record.values[column]
    if _is_empty(value):
        remedy = "fill it, or say drop = ['empty_text']" if column == spec.text else "fill it or remove the row"
        raise InputError(f"{where}, line {record.line}: column {column!r} is empty; {remedy}.")
    return value


def _is_empty(value: Any) -> bool:
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, float) and math.isnan(value))


def _document(spec: TaskSpec, where: str, record: Record) -> tuple[Any, Any]:
    text: Any = str(_value(spec, where, record, spec.text))
    if spec.text_pair is not None:
        text = (text, str(_value(spec, where, record, spec.text_pair)))
    if spec.kind != "multilabel":
        return text, _written(_value(spec, where, record, spec.label))
    flags = []
    for name in spec.labels:
        value = _written(_value(spec, where, record, name))
        if value not in _TRUE | _FALSE:
            raise InputError(f"{where}, line {record.line}: {name} is {value!r}, not 0 or 1. Fix the row.")
        flags.append(int(value in _TRUE))
    return text, tuple(flags)


def _written(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def _sentence(spec: TaskSpec, where: str, record: Record) -> tuple[Any, Any]:
    if "rows" in record.values:
        column = int(spec.label) if spec.label.lstrip("-").isdigit() else -1
        tokens, lines = record.values["tokens"], record.values["lines"]
        try:
            tags = tuple(row[column] for row in record.values["rows"])
        except IndexError as error:
            width = len(record.values["rows"][0])
            raise InputError(f"{where}, line {record.line}: no column {column}; each token has {width}.") from error
    else:
        tokens, tags = (tuple(_value(spec, where, record, column)) for column in (spec.text, spec.label))
        lines = [record.line] * len(tokens)
        if len(tokens) != len(tags):
            raise InputError(f"{where}, line {record.line}: {len(tokens)} tokens, {len(tags)} tags. Fix the row.")
    for line, tag in zip(lines, tags, strict=True):
        if tag != "O" and not (len(tag) > 2 and tag[:2] in ("B-", "I-")):
            raise InputError(f"{where}, line {line}: tag {tag!r} is not O, B-TYPE or I-TYPE. Fix the line.")
    return tokens, tags


def inferred_kind(spec: TaskSpec, raws: dict[str, Raw]) -> Kind:
    """The kind that was named, or what the labels look like."""
    if spec.kind is not None:
        return Kind.BINARY if spec.kind == "multilabel" else Kind(spec.kind)
    labels = [label for raw in raws.values() for label in raw.labels]
    if isinstance(labels[0], tuple):
        return Kind.SEQUENCE
    if spec.positive is not None or set(labels) <= _TRUE | _FALSE:
        return Kind.BINARY
    if all(_is_number(label) for label in labels) and any("." in label for label in labels):
        return Kind.REGRESSION
    return Kind.MULTICLASS


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def names_of(spec: TaskSpec, kind: Kind, raws: dict[str, Raw]) -> tuple[str, ...]:
    """Class names (for sequences, BIO tags with O first), of all labels that more than one split has.

    Raises:
        InputError: if only one split has a label, or validation or test have one that training lacks, unless
            spec.drop holds "rare_labels".
    """
    if kind is Kind.REGRESSION:
        return ()
    if kind is Kind.BINARY:
        return ("negative", "positive")
    found: dict[str, dict[str, int]] = {}  # label -> split -> first line
    for split, raw in raws.items():
        for line, label in zip(raw.lines, raw.labels, strict=True):
            for name in {tag[2:] for tag in label if tag != "O"} if kind is Kind.SEQUENCE else (label,):
                found.setdefault(name, {}).setdefault(split, line)
    kept = []
    for name, splits in sorted(found.items()):
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
        raise InputError(f"{raws['train'].where}: found {len(kept)} class that training and another split share; need 2.")
    return tuple(kept)


def examples_of(spec: TaskSpec, kind: Kind, names: tuple[str, ...], raw: Raw) -> Examples:
    """Texts and numeric labels of one split."""
    labels: Any
    if kind is Kind.SEQUENCE:
        labels = tuple(tuple(tag if tag in names else "O" for tag in tags) for tags in raw.labels)
    elif kind is Kind.REGRESSION:
        labels = np.array([_real(raw, row) for row in range(len(raw.labels))], dtype=np.float64)
    elif kind is Kind.BINARY:
        labels = np.array([_flag(spec, raw, row) for row in range(len(raw.labels))], dtype=np.int64)
        if len(set(labels.tolist())) < 2:
            which = "positive" if not labels.any() else "negative"
            raise InputError(f"{raw.where}: no {which} row for task {spec.name!r}. Every split needs both.")
    else:
        number = {name: i for i, name in enumerate(names)}
        raw = raw.take([row for row, label in enumerate(raw.labels) if label in number])
        labels = np.array([number[label] for label in raw.labels], dtype=np.int64)
    if not len(labels):
        raise InputError(f"{raw.where}: no row is left for task {spec.name!r}.")
    return Examples(tuple(raw.texts), labels, tuple(_id(text) for text in raw.texts))


def _real(raw: Raw, row: int) -> float:
    if not _is_number(raw.labels[row]):
        raise InputError(f"{raw.where}, line {raw.lines[row]}: label {raw.labels[row]!r} is not a number. Fix the row.")
    return float(raw.labels[row])


def _flag(spec: TaskSpec, raw: Raw, row: int) -> int:
    label = raw.labels[row]
    if isinstance(label, tuple):
        return int(label[spec.labels.index(spec.label)])
    if spec.positive is not None:
        return int(label == spec.positive)
    if label not in _TRUE | _FALSE:
        raise InputError(
            f"{raw.where}, line {raw.lines[row]}: label {label!r} is not '0' or '1' in the binary task {spec.name!r}. "
            f"Fix the row, or say which is positive = '...', or kind = 'multiclass'."
        )
    return int(label in _TRUE)


def _id(text: Any) -> str:
    written = text if isinstance(text, str) else "\x1f".join(text)
    return hashlib.sha256(written.encode()).hexdigest()[:16]
