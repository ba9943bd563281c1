"""Infer from labels the kind of a task and its positive label. Ambiguous labels are refused.

Labels that are all numbers, at least one with a fraction, are a regression; a label among them that is not a number is a
mistake, never a class. Two labels are a binary task: positive is the one that means yes (FLAGS), class 1 of a data set,
the greater of two numbers, or the rarer label. Lists of labels are several labels a row. All else are classes.
"""

from __future__ import annotations

import difflib
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass

from transfercast.core.errors import InputError
from transfercast.core.kinds import Kind
from transfercast.core.validation import shown
from transfercast.tasks.rows import FLAGS, Raw, written_label
from transfercast.tasks.spec import TaskSpec

_GAPS = frozenset({"nan", "n/a", "#n/a", "na", "null", "?"})
"""Values that programs write for a missing one."""

_PAIRS = {"positive": "negative", "pos": "neg", "y": "n", "t": "f"}
"""Names of positive classes, besides FLAGS; with one of them, the other of two names is the negative class."""

_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+")
_CLASSES = "say kind = 'multiclass' if labels are classes"
_MANY_CLASSES = 20
_MOST_LINES_TOLD = 3


@dataclass(frozen=True, slots=True)
class Labelling:
    """The interpretation of a task's labels.

    Attributes:
        kind: kind of the task.
        stated: whether the description gives the kind.
        positive: the labels that are positive in a binary task.
        why: how the positive label was chosen, or, for several labels a row, what the labels are; else empty.
        notes: oddities that were not refused.
    """

    kind: Kind
    stated: bool
    positive: frozenset[str] = frozenset()
    why: str = ""
    notes: tuple[str, ...] = ()


def labelling_of(spec: TaskSpec, raws: dict[str, Raw]) -> Labelling:
    """The interpretation by the kind that was stated, or else by the labels of all splits.

    Raises:
        InputError: naming lines and labels that fit no kind, or more than one.
    """
    stated = spec.kind is not None
    if spec.labels and not spec.joint:
        return Labelling(Kind.BINARY, stated, why=f"positive is 1 of column {spec.label!r}")
    if spec.labels or any(isinstance(raw.labels[0], frozenset) for raw in raws.values()):
        return _of_several_labels(spec, raws)
    if any(isinstance(raw.labels[0], tuple) for raw in raws.values()):
        return Labelling(_sequence(spec, raws), stated)
    counts = Counter(label for raw in raws.values() for label in raw.labels)
    kind = Kind(spec.kind) if spec.kind is not None else _inferred(spec, raws, counts)
    if kind is Kind.REGRESSION:
        _refuse(raws, {label for label in counts if not _is_number(label)}, "is not a number", "Fix or remove the row.")
        return Labelling(kind, stated)
    alike = _differ_by_case(raws, counts)
    if alike and not (kind is Kind.MULTICLASS and stated):
        raise InputError(f"{alike}. Write them alike, or {_CLASSES}.")
    if kind is Kind.BINARY:
        return _binary(spec, raws, counts)
    notes = [alike] if alike else []
    if not stated and len(counts) > _MANY_CLASSES and all(map(_is_number, counts)):
        notes.append(f"{len(counts)} whole numbers are read as classes; say kind = 'regression' if they are amounts")
    return Labelling(kind, stated, notes=tuple(notes))


def _sequence(spec: TaskSpec, raws: dict[str, Raw]) -> Kind:
    for split, raw in raws.items():
        if not isinstance(raw.labels[0], tuple):
            raise InputError(f"{raw.where}: {split} has texts, another split has sentences of tokens. Give all alike.")
    if spec.positive is not None:
        raise InputError(
            f"{next(iter(raws.values())).where}: positive = {spec.positive!r} does not fit sequences. Leave it out."
        )
    return Kind.SEQUENCE


def _of_several_labels(spec: TaskSpec, raws: dict[str, Raw]) -> Labelling:
    if not spec.labels:
        for split, raw in raws.items():
            if not isinstance(raw.labels[0], frozenset):
                raise InputError(f"{raw.where}: {split} has no lists of labels, another split has. Give all alike.")
    if spec.kind not in (None, "multilabel", "binary"):
        raise InputError(f"{next(iter(raws.values())).where}: kind {spec.kind!r} does not fit lists of labels. Leave it out.")
    if spec.kind != "binary" and spec.positive is None:
        return Labelling(Kind.MULTILABEL, spec.kind is not None)
    counts = Counter(label for raw in raws.values() for labels in raw.labels for label in labels)
    if spec.positive is None:
        raise InputError(
            f"{next(iter(raws.values())).where}: rows list labels; say which is positive = '...', or leave the kind out."
        )
    wanted = _stated_positive(spec, raws, counts)
    return Labelling(Kind.BINARY, spec.kind is not None, frozenset({wanted}), f"positive is any row with {shown(wanted)}")


def _stated_positive(spec: TaskSpec, raws: dict[str, Raw], counts: Counter[str]) -> str:
    wanted = written_label(str(spec.positive))
    if wanted not in counts:
        near = difflib.get_close_matches(wanted, counts, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"labels are {shown(sorted(counts)).strip('[]')}."
        raise InputError(f"{next(iter(raws.values())).where}: no row has the label positive = {wanted!r}; {hint}")
    return wanted


def _inferred(spec: TaskSpec, raws: dict[str, Raw], counts: Counter[str]) -> Kind:
    if spec.positive is not None or all(label.casefold() in FLAGS for label in counts):
        return Kind.BINARY
    if any(_has_fraction(label) for label in counts):
        numbers = {label for label in counts if _is_number(label)}
        commas = {label for label in counts if _DECIMAL_COMMA.fullmatch(label)}
        if 2 * sum(counts[label] for label in numbers | commas) >= counts.total():
            _refuse(raws, commas, "has a comma where a number has a point", "Write it as in 3.2.")
            _refuse(raws, set(counts) - numbers, "is not a number as most labels are", f"Fix or remove the row, or {_CLASSES}.")
            return Kind.REGRESSION
    gaps = {label for label in counts if label.casefold() in _GAPS}
    _refuse(raws, gaps, "stands for a missing value", f"Fix or remove the row, or {_CLASSES}.")
    return Kind.BINARY if len(counts) == 2 else Kind.MULTICLASS


def _is_number(label: str) -> bool:
    try:
        return math.isfinite(float(label)) and "_" not in label
    except ValueError:
        return False


def _has_fraction(label: str) -> bool:
    return (_is_number(label) and not float(label).is_integer()) or bool(_DECIMAL_COMMA.fullmatch(label))


def _differ_by_case(raws: dict[str, Raw], counts: Counter[str]) -> str:
    spelled: dict[str, list[str]] = defaultdict(list)
    for label in counts:
        spelled[label.casefold()].append(label)
    for folded, (one, *others) in spelled.items():
        if others and folded not in FLAGS:
            where, there = (next(_places(raws, {label})) for label in (others[0], one))
            return f"{where}: label {shown(others[0])} differs from {shown(one)} ({there}) in capitals only"
    return ""


def _binary(spec: TaskSpec, raws: dict[str, Raw], counts: Counter[str]) -> Labelling:
    def labelling(positive: Iterable[str], why: str) -> Labelling:
        return Labelling(Kind.BINARY, spec.kind is not None, frozenset(positive), why)

    if spec.positive is not None:
        wanted = _stated_positive(spec, raws, counts)
        return labelling({wanted}, f"positive is {shown(wanted)}, as stated")
    if all(label.casefold() in FLAGS for label in counts):
        positive = sorted(label for label in counts if FLAGS[label.casefold()])
        return labelling(positive, f"positive is {' and '.join(map(shown, positive)) or 'none'}")
    if len(counts) != 2:
        odd = min((label for label in counts if label.casefold() not in FLAGS), key=lambda label: counts[label])
        raise InputError(
            f"{next(_places(raws, {odd}))}: label {shown(odd)} is one of {len(counts)}, but binary task {spec.name!r} has two. "
            f"Fix the row, or say which is positive = '...', or kind = 'multiclass'."
        )
    return labelling(*_one_of_two(counts, next(iter(raws.values())).classes))


def _one_of_two(counts: Counter[str], classes: tuple[str, ...]) -> tuple[set[str], str]:
    one, other = sorted(counts)
    for positive, negative in ((one, other), (other, one)):
        if _PAIRS.get(positive.casefold()) == negative.casefold():
            return {positive}, f"positive is {shown(positive)}, by its name"
    if sorted(classes) == [one, other]:
        return {classes[1]}, f"positive is {shown(classes[1])}, class 1 of the data set"
    if _is_number(one) and _is_number(other):
        greater = max(one, other, key=float)
        return {greater}, f"positive is {shown(greater)}, the greater of two numbers"
    if counts[one] == counts[other]:
        return {other}, f"positive is {shown(other)}, the last by name of two labels as frequent"
    rarer = min(one, other, key=lambda label: counts[label])
    return {rarer}, f"positive is {shown(rarer)}, the rarer of two labels"


def _refuse(raws: dict[str, Raw], labels: Set[str], what: str, remedy: str) -> None:
    if not labels:
        return
    first, *more = _places(raws, labels)
    label = next(label for raw in raws.values() for label in raw.labels if label in labels)
    also = f" (and {len(more)} more: {', '.join(more[:_MOST_LINES_TOLD])})" if more else ""
    raise InputError(f"{first}: label {shown(label)} {what}{also}. {remedy}")


def _places(raws: dict[str, Raw], labels: Set[str]) -> Iterator[str]:
    for raw in raws.values():
        for line, label in zip(raw.lines, raw.labels, strict=True):
            if label in labels:
                yield f"{raw.where}, line {line}"
