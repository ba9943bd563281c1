"""Read one task, or a family of tasks from a tasks.toml.

    kind = "multilabel"                      # keys at the top hold for every task
    train = "goemotions/train.csv"
    validation = "goemotions/validation.csv"
    test = "goemotions/test.csv"
    rows = { train = 2500, validation = 500, test = 500 }
    target_rows = { train = 300 }            # rows that a task keeps when it is a target

    [[task]]
    labels = ["admiration", "gratitude", "annoyance"]

A [collect] table describes the transfers that `transfercast collect` measures.

A multi-label entry becomes one binary task per label over shared documents; with `label` only that one of them; with
`joint = true` one task that has all labels. `role` is "both" (default), "source" or "target".
"""

from __future__ import annotations

import os
import re
import tomllib
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from transfercast.core.errors import InputError
from transfercast.core.files import reason
from transfercast.core.kinds import Kind, metric_for
from transfercast.core.records import checked_name
from transfercast.core.validation import checked
from transfercast.tasks.inference import labelling_of
from transfercast.tasks.labels import classes_of, examples_of, is_positive, names_of
from transfercast.tasks.notes import leaks, understood
from transfercast.tasks.readers import hub, read_records
from transfercast.tasks.rows import Raw, columns_of, raw_rows
from transfercast.tasks.sampling import capped, set_aside
from transfercast.tasks.spec import Rows, TaskSpec
from transfercast.tasks.task import SPLITS, Task


@dataclass(frozen=True, slots=True)
class Family:
    """The tasks of a tasks.toml by role: possible sources, and targets."""

    sources: tuple[Task, ...]
    targets: tuple[Task, ...]


class _Entries(BaseModel):
    """A tasks.toml: its [[task]] entries, and the keys at the top, which hold for all of them."""

    model_config = ConfigDict(extra="allow")

    task: list[dict[str, Any]] = Field(min_length=1)
    collect: dict[str, Any] = {}  # read by transfercast.collection


class _Use(BaseModel):
    """Keys of a [[task]] entry about the use of the task; all others describe how to read it."""

    role: Literal["both", "source", "target"] = "both"
    target_rows: Rows = Rows()


def read_task(spec: TaskSpec) -> Task:
    """Read a task's rows and check all of them.

    Raises:
        InputError: naming file, line, value and remedy.
    """
    if spec.labels and spec.label not in spec.labels and not spec.joint:
        raise InputError(
            f"task {spec.name!r}: say which label of labels = {list(spec.labels)} it is, as in label = '...', or joint = true "
            f"for all of them in one task."
        )
    return task_from(spec, {split: _raw(spec, place) for split in SPLITS if (place := getattr(spec, split)) is not None})


def task_from(spec: TaskSpec, given: dict[str, Raw]) -> Task:
    """The task of the given rows; a missing validation or test split is cut from the training rows.

    Raises:
        InputError: naming line, value and remedy.
    """
    labelling = labelling_of(spec, given)
    metric = metric_for(labelling.kind, spec.metric, f"{given['train'].where}: task {spec.name!r}")
    missing = [split for split in SPLITS if split not in given]
    cut = set_aside(given["train"], missing, spec.seed, partial(classes_of, spec, labelling)) if missing else {}
    raws = {**given, **cut}
    names = names_of(spec, labelling.kind, raws)
    stated = spec.model_copy(update={"kind": "multilabel"}) if labelling.kind is Kind.MULTILABEL else spec
    carries = partial(is_positive, labelling)
    kept = {split: capped(raws[split], getattr(spec.rows, split), spec.seed, spec.positive_share, carries) for split in SPLITS}
    splits = {split: examples_of(spec, labelling, names, split, kept[split]) for split in SPLITS}
    return Task(
        spec.name,
        labelling.kind,
        splits,
        names,
        spec=stated.model_dump(mode="json"),
        about=understood(spec.name, labelling, metric, names, kept, splits),
        notes=(*labelling.notes, *leaks(labelling.kind, splits)),
        metric=metric,
    )


def _raw(spec: TaskSpec, place: str) -> Raw:
    columns = columns_of(spec)
    if spec.hub is not None:
        data = hub.load(spec.hub, spec.hub_config, place)
        rows = hub.rows(data, hub.place_of(spec.hub, spec.hub_config, place), columns)
        return raw_rows(spec, f"{spec.hub} [{place}]", rows, hub.class_names(data, spec.label))
    return raw_rows(spec, place, read_records(Path(place), spec.format, columns))


def read_family(path: str | Path) -> Family:
    """Read every task of a tasks.toml; all of them are checked before anything is trained.

    Raises:
        InputError: naming the file and the entry, or the data file and line, and the remedy.

    Example:
        >>> from pathlib import Path
        >>> import pandas as pd
        >>> import transfercast as tc
        >>> things = ("film", "book", "song", "play", "meal", "trip")
        >>> words = {"good": 1, "great": 1, "bad": 0, "poor": 0}
        >>> rows = [(f"{word} {thing}", label) for word, label in words.items() for thing in things]
        >>> for name in ("news", "tweets"):
        ...     pd.DataFrame(rows, columns=["text", "label"]).to_csv(f"{name}.csv", index=False)
        >>> _ = Path("tasks.toml").write_text('''
        ... [[task]]
        ... name = "news"
        ... train = "news.csv"
        ... role = "source"
        ...
        ... [[task]]
        ... name = "tweets"
        ... train = "tweets.csv"
        ... ''')
        >>> family = tc.read_family("tasks.toml")
        >>> [task.name for task in family.sources], [task.name for task in family.targets]
        (['news', 'tweets'], ['tweets'])
    """
    path = Path(path)
    entries = checked(_Entries, str(path), content_of(path), remedy="Add a [[task]] entry for each data set.")
    specs: list[tuple[_Use, TaskSpec]] = []
    for number, entry in enumerate(entries.task, start=1):
        fields = {**(entries.model_extra or {}), **entry}
        where = f"{path}, [[task]] {number}"
        use = checked(_Use, where, {name: fields.pop(name) for name in _Use.model_fields if name in fields})
        specs += [(use, spec) for spec in _specs(where, path.parent, fields)]
    for role in ("source", "target"):
        _refuse_twins(path, [spec.name for use, spec in specs if use.role in ("both", role)])
    return Family(
        tuple(read_task(spec) for use, spec in specs if use.role != "target"),
        tuple(read_task(_as_target(use, spec)) for use, spec in specs if use.role != "source"),
    )


def content_of(path: Path) -> dict[str, Any]:
    """The content of a TOML file.

    Raises:
        InputError: if it is not there, or no TOML.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a tasks.toml.")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({reason(error)}).") from error
    except (ValueError, RecursionError) as error:  # of TOML, of UTF-8, of a number of thousands of digits
        raise InputError(f"{path}: not TOML: {reason(error)}.") from error


def _as_target(use: _Use, spec: TaskSpec) -> TaskSpec:
    caps = spec.rows.model_dump() | use.target_rows.model_dump(exclude_unset=True)
    return spec.model_copy(update={"rows": Rows(**caps)})


def _refuse_twins(path: Path, names: list[str]) -> None:
    folded = Counter(name.casefold() for name in names)
    twins = [name for name in names if folded[name.casefold()] > 1]
    if twins:
        alike = sorted({name for name in twins if name.casefold() == twins[0].casefold()})
        told = " and ".join(map(repr, alike)) + (", which are one folder on some systems" if len(alike) > 1 else "")
        raise InputError(f"{path}: two tasks are named {told}. Give one of them another name.")


def _specs(where: str, folder: Path, fields: dict[str, Any]) -> list[TaskSpec]:
    spec = checked(TaskSpec, where, fields)
    if spec.hub is None:
        places = {split: os.path.abspath(folder / place) for split in SPLITS if (place := getattr(spec, split))}
        spec = spec.model_copy(update=places)
    if spec.labels and spec.label not in spec.labels and not spec.joint:
        named = [(checked_name(spec.name + label, where), label) for label in spec.labels]
        return [spec.model_copy(update={"name": name, "label": label}) for name, label in named]
    if spec.labels and not spec.joint:
        name = spec.name or spec.label
    else:
        name = spec.name or name_from(spec.hub or Path(spec.train).parent.name)
    return [spec.model_copy(update={"name": checked_name(name, where)})]


def name_from(text: str) -> str:
    """A name for a task, made from that of a file or a data set.

    >>> name_from("my reviews (1)")
    'my-reviews-1'
    """
    return re.sub("[^A-Za-z0-9._+]+", "-", text).strip("._+-")[:100] or "task"


def task_of(spec: dict[str, Any]) -> Task:
    """Read a task again from the description that it carries (`Task.spec`).

    Raises:
        InputError: if its files are missing or have changed.
    """
    return read_task(checked(TaskSpec, "task", spec))
