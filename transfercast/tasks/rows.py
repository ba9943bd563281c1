"""Take texts and labels, as written, from the records of a file; an error names line and column of every other value."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from transfercast.core.errors import InputError
from transfercast.core.validation import shown
from transfercast.tasks.readers import Record, Sentence, missing_column
from transfercast.tasks.spec import TaskSpec

FLAGS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
"""Values that are read as yes or no, in any case of letters."""

_WHOLE = re.compile(r"([+-]?[0-9]+)\.0*")
_COLUMN_NUMBER = re.compile(r"-?[0-9]{1,4}")


@dataclass(frozen=True, slots=True)
class Raw:
    """The rows of one split before labels become numbers.

    Attributes:
        where: file, or data set and split.
        lines: line number of each row.
        texts: for each row a string, a pair of strings, or a tuple of tokens.
        ids: 16 hexadecimal digits of the SHA-256 of each text.
        labels: for each row a string, or (sequence) a tuple of tags, or (multilabel) a tuple of 0 and 1 in the order of
            spec.labels, or, if one column lists them, a frozenset of labels.
        empty: number of rows without text that were left out.
        classes: names of classes by their numbers, if the data declare them.
    """

    where: str
    lines: list[int]
    texts: list[Any]
    ids: list[str]
    labels: list[Any]
    empty: int = 0
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: Sequence[int] | np.ndarray) -> Raw:
        """The rows at these numbers."""
        return Raw(
            self.where,
            [self.lines[r] for r in rows],
            [self.texts[r] for r in rows],
            [self.ids[r] for r in rows],
            [self.labels[r] for r in rows],
            self.empty,
            self.classes,
        )


def columns_of(spec: TaskSpec) -> tuple[str, ...]:
    """The columns that a task reads."""
    texts = [spec.text] if spec.text_pair is None else [spec.text, spec.text_pair]
    labels = spec.labels or (spec.label,)
    return tuple(dict.fromkeys([*texts, *labels]))


def raw_rows(spec: TaskSpec, where: str, records: Sequence[Record | Sentence], classes: tuple[str, ...] = ()) -> Raw:
    """Take texts and labels from a file's records.

    Raises:
        InputError: naming line, column and value; or if no row has a text.
    """
    kept = [record for record in records if not _left_out(spec, record)] if "empty_text" in spec.drop else records
    if not kept:
        raise InputError(f"{where}: every text is empty. Is {spec.text!r} the column of the texts?")
    pick = _picker(spec, kept[0])
    pairs = [pick(spec, where, record) for record in kept]
    texts = [text for text, _ in pairs]
    lines, ids, labels = [record.line for record in kept], [_id(text) for text in texts], [label for _, label in pairs]
    return Raw(where, lines, texts, ids, labels, len(records) - len(kept), classes)


def _picker(spec: TaskSpec, first: Record | Sentence) -> Callable[[TaskSpec, str, Any], tuple[Any, Any]]:
    if isinstance(first, Sentence):
        return _of_conll
    if spec.kind == "sequence":
        return _of_lists
    lists = [isinstance(first.values.get(column), list | tuple) for column in (spec.text, spec.label)]
    if spec.kind is None and all(lists):
        return _of_lists
    if spec.labels:
        return _flags
    return _set_of_labels if spec.kind == "multilabel" or lists == [False, True] else _document


def _id(text: Any) -> str:
    written = text if isinstance(text, str) else "\x1f".join(text)
    return hashlib.sha256(written.encode()).hexdigest()[:16]


def written_label(value: str) -> str:
    """A label without surrounding blanks; of a whole number, without zeros after the point.

    >>> written_label(" 1.00"), written_label("1.50"), written_label("v1.0")
    ('1', '1.50', 'v1.0')
    """
    value = value.strip()
    whole = _WHOLE.fullmatch(value) if "." in value else None
    return whole[1] if whole else value


def _left_out(spec: TaskSpec, record: Record | Sentence) -> bool:
    if isinstance(record, Sentence):
        return False
    columns = (spec.text,) if spec.text_pair is None else (spec.text, spec.text_pair)
    return any(column in record.values and is_empty(record.values[column]) for column in columns)


def is_empty(value: Any) -> bool:
    """Whether a cell holds no text and no label."""
    if isinstance(value, str):
        return not value or value.isspace()
    return value is None or value == [] or (isinstance(value, float) and math.isnan(value))


def _at(where: str, record: Record | Sentence) -> str:
    return f"{where}, line {record.line}"


def _value(spec: TaskSpec, where: str, record: Record, column: str) -> Any:
    if column not in record.values:
        raise missing_column(_at(where, record), column, record.values)
    value = record.values[column]
    if is_empty(value):
        remedy = (
            "fill it, or say drop = ['empty_text']" if column in (spec.text, spec.text_pair) else "fill it or remove the row"
        )
        raise InputError(f"{_at(where, record)}: column {column!r} is empty; {remedy}.")
    return value


def _text(spec: TaskSpec, where: str, record: Record, column: str) -> str:
    value = record.values.get(column)
    if not isinstance(value, str) or is_empty(value):
        value = _value(spec, where, record, column)
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float | Decimal):
        return str(value)
    raise InputError(
        f"{_at(where, record)}: column {column!r} holds {shown(value)} ({type(value).__name__}), not a text or a number. "
        f"Name another column, or write the file anew."
    )


def _document(spec: TaskSpec, where: str, record: Record) -> tuple[Any, str]:
    return _texts(spec, where, record), written_label(_text(spec, where, record, spec.label))


def _texts(spec: TaskSpec, where: str, record: Record) -> Any:
    text = _text(spec, where, record, spec.text)
    return text if spec.text_pair is None else (text, _text(spec, where, record, spec.text_pair))


def _flags(spec: TaskSpec, where: str, record: Record) -> tuple[Any, tuple[int, ...]]:
    flags = []
    for name in spec.labels:
        value = written_label(_text(spec, where, record, name))
        if value.casefold() not in FLAGS:
            raise InputError(f"{_at(where, record)}: column {name!r} is {shown(value)}, not 0 or 1. Fix the row.")
        flags.append(int(FLAGS[value.casefold()]))
    return _texts(spec, where, record), tuple(flags)


def _set_of_labels(spec: TaskSpec, where: str, record: Record) -> tuple[Any, frozenset[str]]:
    labels = record.values.get(spec.label)
    if not isinstance(labels, list | tuple):
        labels = _value(spec, where, record, spec.label)
        raise InputError(
            f"{_at(where, record)}: column {spec.label!r} holds {shown(labels)}, not a list of labels. Write a list in each "
            f"row, [] where there is no label, or name the 0/1 columns by labels = [...]."
        )
    if spec.kind is None and labels and all(_is_tag(label) for label in labels):
        _list(spec, where, record, spec.text)
    for label in labels:
        if not isinstance(label, str | int | float) or is_empty(label):
            raise InputError(
                f"{_at(where, record)}: column {spec.label!r} lists {shown(label)}, which is no label. Fix the row."
            )
    return _texts(spec, where, record), frozenset(written_label(str(label)) for label in labels)


def _of_conll(spec: TaskSpec, where: str, sentence: Sentence) -> tuple[Any, Any]:
    if spec.kind not in (None, "sequence"):
        raise InputError(f"{where}: kind {spec.kind!r} does not fit CoNLL, whose rows are sentences. Leave it out.")
    if spec.label != "label" and not _COLUMN_NUMBER.fullmatch(spec.label):
        raise InputError(f"{where}: label = {spec.label!r}; in CoNLL it is the number of the tag's column, -1 the last.")
    column = -1 if spec.label == "label" else int(spec.label)
    width = len(sentence.rows[0])
    if not -width <= column < width:
        raise InputError(f"{_at(where, sentence)}: no column {column}; each token has {width}.")
    tags = tuple(row[column] for row in sentence.rows)
    for line, tag in zip(sentence.lines, tags, strict=True):
        _check_tag(f"{where}, line {line}", tag)
    return sentence.tokens, tags


def _of_lists(spec: TaskSpec, where: str, record: Record) -> tuple[Any, Any]:
    tokens, tags = (_list(spec, where, record, column) for column in (spec.text, spec.label))
    place = _at(where, record)
    if len(tokens) != len(tags):
        raise InputError(f"{place}: {len(tokens)} tokens, {len(tags)} tags. Fix the row.")
    for number, token in enumerate(tokens, start=1):
        if not isinstance(token, str) or is_empty(token):
            raise InputError(f"{place}, column {spec.text!r}: token {number} is {shown(token)}, not a word. Fix the row.")
    for number, tag in enumerate(tags, start=1):
        _check_tag(f"{place}, column {spec.label!r}, token {number}", tag)
    return tokens, tags


def _list(spec: TaskSpec, where: str, record: Record, column: str) -> tuple[Any, ...]:
    value = _value(spec, where, record, column)
    if not isinstance(value, list | tuple):
        raise InputError(
            f"{_at(where, record)}: column {column!r} holds {shown(value)}, not a list. Sequences have lists of tokens and of "
            f"tags (JSON lines, Parquet), or come as CoNLL."
        )
    return tuple(value)


def _check_tag(where: str, tag: Any) -> None:
    if _is_tag(tag):
        return
    remedy = "Write the tags' names, not their numbers" if isinstance(tag, int) else "Fix the tag"
    raise InputError(f"{where}: tag {shown(tag)} is not O, B-TYPE or I-TYPE. {remedy}.")


def _is_tag(tag: Any) -> bool:
    return isinstance(tag, str) and (tag == "O" or (len(tag) > 2 and tag[:2] in ("B-", "I-")))
