"""Tasks from data in memory: data sets of `datasets` and frames of pandas.

A plan may be searched later, perhaps by another process, which must find the rows again. So the texts and labels that a task
uses are written as Parquet into a folder named by their content, and the task's description names these files.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from platformdirs import user_data_path

from transfercast.core.cache import fingerprint
from transfercast.core.errors import InputError
from transfercast.core.files import check_place, written_beside
from transfercast.core.validation import checked, shown
from transfercast.tasks.family import name_from, task_from
from transfercast.tasks.inference import labelling_of
from transfercast.tasks.readers import MOST_ROWS, Record, check_header, hub, missing_column
from transfercast.tasks.rows import Raw, columns_of, is_empty, raw_rows
from transfercast.tasks.spec import TaskSpec
from transfercast.tasks.task import SPLITS, Task

log = logging.getLogger(__name__)

_USUAL_NAMES = {"train": ("train",), "validation": ("validation", "valid", "val", "dev"), "test": ("test",)}
_OF_FILES = ("format", "hub", "hub_config")


@dataclass(frozen=True, slots=True)
class _Part:
    """One split in memory: its name in messages, and a Dataset or a frame."""

    where: str
    data: Any


def task_of_data(data: Any, keep: str | Path | None, fields: dict[str, Any]) -> Task:
    """The task of a Dataset, a frame, or a dictionary of these by split; see `Task.from_dataset`."""
    for name in _OF_FILES:
        if name in fields:
            raise InputError(f"{name} = {fields[name]!r} is for files and the hub; leave it out for data in memory.")
    splits = {name: fields.pop(name) for name in SPLITS if name in fields}
    parts = _parts(data, splits)
    fields.setdefault("name", name_from(_own_name(parts["train"].data)))
    spec = checked(TaskSpec, parts["train"].where, fields)
    raws, notes = _raws(spec, parts, stated=set(splits))
    folder = Path(keep) if keep is not None else user_data_path("transfercast") / "tasks"
    paths = _paths(spec, raws, folder)
    task = task_from(spec.model_copy(update={"format": "parquet", "validation": None, "test": None} | paths), raws)
    for split, path in paths.items():
        _write(spec, raws[split], Path(path))
    for note in (*notes, *task.notes):
        log.warning("task %s: %s", task.name, note)
    log.info("%s", task.about)
    return replace(task, spec={**(task.spec or {}), "positive": _positive(spec, raws)})


def _parts(data: Any, names: Mapping[str, str]) -> dict[str, _Part]:
    """The parts of the data by our names of splits; `names` gives the names of the splits in the data."""
    if not isinstance(data, Mapping):
        if names:
            raise InputError(f"{_called(data)}: is one table, which has no split {next(iter(names.values()))!r}. Leave it out.")
        return {"train": _Part(_called(data), data)}
    if not data:
        raise InputError("no split: the dictionary is empty. Give at least the training rows.")
    known = {str(name) for name in data}
    usual = {split: next((name for name in there if name in known), None) for split, there in _USUAL_NAMES.items()}
    if len(data) == 1:
        usual["train"] = next(iter(known))
    chosen = {split: name for split in SPLITS if (name := names.get(split) or usual[split]) is not None}
    for split in ("train", *chosen):
        if chosen.get(split) not in known:
            raise InputError(
                f"no split {chosen.get(split, split)!r}; there are {shown(sorted(known)).strip('[]')}. "
                f"Say which is which, as in {split} = {sorted(known)[0]!r}."
            )
    return {split: _Part(f"{_called(data[name])} {name!r}", data[name]) for split, name in chosen.items()}


def _called(data: Any) -> str:
    if isinstance(data, pd.DataFrame) or _is_dataset(data):
        return type(data).__name__
    if hasattr(data, "take") and hasattr(data, "features"):
        raise InputError(
            f"{type(data).__name__}: is a stream. Take its rows first: Dataset.from_list(list(stream.take(10000)))."
        )
    raise InputError(f"{type(data).__name__}: is no Dataset, no DataFrame, and no dictionary of these by split.")


def _is_dataset(data: Any) -> bool:
    return all(hasattr(data, name) for name in ("features", "column_names", "select_columns", "flatten", "__len__"))


def _own_name(data: Any) -> str:
    return str(getattr(getattr(data, "info", None), "dataset_name", None) or "dataset")


def _raws(spec: TaskSpec, parts: dict[str, _Part], stated: set[str]) -> tuple[dict[str, Raw], list[str]]:
    """Rows by split; a split that was not named and has no labels, such as a public test set, is left out, to be cut later."""
    columns = columns_of(spec)
    labels = set(columns) - {spec.text, spec.text_pair}
    raws, notes = {}, []
    for split, part in parts.items():
        records = (
            _frame_rows(part, columns) if isinstance(part.data, pd.DataFrame) else hub.rows(part.data, part.where, columns)
        )
        if not records:
            raise InputError(f"{part.where}: no rows. Give at least one labelled row, or leave the split out.")
        plain = [
            Record(row.line, {name: _plain(part.where, row.line, name, row.values[name]) for name in columns})
            for row in records
        ]
        if split != "train" and split not in stated and all(is_empty(row.values[name]) for row in plain for name in labels):
            notes.append(f"{part.where} has no labels; {split} rows are cut from the training rows instead")
            continue
        classes = hub.class_names(part.data, spec.label) if _is_dataset(part.data) else ()
        raws[split] = raw_rows(spec, part.where, plain, classes)
    return raws, notes


def _frame_rows(part: _Part, columns: tuple[str, ...]) -> list[Record]:
    frame = part.data
    names = [str(name) for name in frame.columns]
    check_header(part.where, names)
    for column in columns:
        if column not in names:
            raise missing_column(part.where, column, names)
    if len(frame) > MOST_ROWS:
        raise InputError(f"{part.where}: {len(frame):,} rows; at most {MOST_ROWS:,} are read. Keep a sample.")
    values = [frame.iloc[:, names.index(column)].tolist() for column in columns]
    return [Record(line, dict(zip(columns, row, strict=True))) for line, row in enumerate(zip(*values, strict=True), start=1)]


def _plain(where: str, line: int, column: str, value: Any) -> Any:
    """A value of numpy or pandas as one of Python; pandas' marks of a missing value become None."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, list | tuple):
        return [_plain(where, line, column, part) for part in value]
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise InputError(
                f"{where}, line {line}: column {column!r} holds half a character. Fix or remove the row."
            ) from error
    return value


def _positive(spec: TaskSpec, raws: dict[str, Raw]) -> str | None:
    """The positive label if it was chosen by class numbers, which the written files do not hold."""
    if not raws["train"].classes or spec.positive is not None:
        return spec.positive
    return next(iter(labelling_of(spec, raws).positive), None)


def _paths(spec: TaskSpec, raws: dict[str, Raw], folder: Path) -> dict[str, str]:
    """Paths of the files that keep the rows of each split."""
    splits = {split: _columns(spec, raw) for split, raw in raws.items()}
    place = folder.absolute() / fingerprint(splits=splits)[:16]
    return {split: str(place / f"{split}.parquet") for split in raws}


def _write(spec: TaskSpec, raw: Raw, path: Path) -> None:
    if path.is_file():
        return
    check_place(path)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with written_beside(path) as beside:
        pq.write_table(pa.table(_columns(spec, raw)), beside)


def _columns(spec: TaskSpec, raw: Raw) -> dict[str, list[Any]]:
    """Texts and labels as they were interpreted, by the columns that a reader will look for."""
    texts = [list(text) if isinstance(text, tuple) else text for text in raw.texts]
    columns: dict[str, list[Any]] = {spec.text: texts}
    if spec.text_pair is not None:
        columns = {spec.text: [text[0] for text in raw.texts], spec.text_pair: [text[1] for text in raw.texts]}
    if spec.labels:
        return columns | {name: [flags[place] for flags in raw.labels] for place, name in enumerate(spec.labels)}
    labels = [sorted(label) if isinstance(label, frozenset) else label for label in raw.labels]
    return columns | {spec.label: [list(label) if isinstance(label, tuple) else label for label in labels]}
