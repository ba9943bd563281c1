"""Reading one task, and a family of tasks from a tasks.toml.

    kind = "multilabel"                      # keys at the top hold for every task
    train = "goemotions/train.csv"
    validation = "goemotions/validation.csv"
    test = "goemotions/test.csv"
    rows = { train = 2500, validation = 500, test = 500 }
    target_rows = { train = 300 }            # what a task keeps when it is a target

    [[task]]
    labels = ["admiration", "gratitude", "annoyance"]

A multi-label entry becomes one binary task per label over shared documents, or with `label` that one alone. `role` is
"both" (default), "source" or "target".
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transfercast.core.errors import InputError
from transfercast.core.records import checked_name
from transfercast.core.validation import checked
from transfercast.tasks.labels import Raw, examples_of, inferred_kind, names_of, raw_rows
from transfercast.tasks.readers import hub, read_records
from transfercast.tasks.sampling import capped, set_aside
from transfercast.tasks.spec import Rows, TaskSpec
from transfercast.tasks.task import SPLITS, Task


@dataclass(frozen=True, slots=True)
class Family:
    """The tasks of a tasks.toml by role: what may be a source, and what is a target."""

    sources: tuple[Task, ...]
    targets: tuple[Task, ...]


def read_task(spec: TaskSpec) -> Task:
    """Read a task's rows and check them whole.

    Raises:
        InputError: naming file, line, value and remedy.
    """
    raws = _splits(spec)
    if spec.kind == "multilabel" and spec.label not in spec.labels:
        raise InputError(f"task {spec.name!r}: label {spec.label!r} is not one of labels = {list(spec.labels)}.")
    kind = inferred_kind(spec, raws)
    names = names_of(spec, kind, raws)
    caps = spec.rows.model_dump()
    splits = {split: examples_of(spec, kind, names, capped(spec, raws[split], caps[split])) for split in SPLITS}
    return Task(spec.name, kind, splits, names, spec=spec.model_dump(mode="json"))


def _splits(spec: TaskSpec) -> dict[str, Raw]:
    given = {split: getattr(spec, split) for split in SPLITS if getattr(spec, split) is not None}
    raws = {}
    for split, place in given.items():
        if spec.hub is not None:
            raws[split] = raw_rows(spec, f"{spec.hub} [{place}]", hub.read(spec.hub, spec.hub_config, place))
        else:
            raws[split] = raw_rows(spec, place, read_records(Path(place), spec.format))
    missing = [split for split in SPLITS if split not in given]
    return {**raws, **set_aside(raws["train"], missing, spec.seed)} if missing else raws


def read_family(path: str | Path) -> Family:
    """Read every task of a tasks.toml; all of them are checked before anything is trained.

    Raises:
        InputError: naming the file and the entry, or the data file and line, and the remedy.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a tasks.toml.")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not TOML: {error}.") from error
    entries = content.pop("task", None)
    if not isinstance(entries, list) or not entries:
        raise InputError(f"{path}: no [[task]] entry. Add one for each data set.")
    sources: list[Task] = []
    targets: list[Task] = []
    for number, entry in enumerate(entries, start=1):
        fields = {**content, **entry}
        where = f"{path}, [[task]] {number}"
        role = fields.pop("role", "both")
        if role not in ("both", "source", "target"):
            raise InputError(f"{where}: role is {role!r}, not 'both', 'source' or 'target'.")
        target_rows = fields.pop("target_rows", {})
        for spec in _specs(where, path.parent, fields):
            if role != "target":
                sources.append(read_task(spec))
            if role != "source":
                rows = checked(Rows, f"{where}: target_rows", {**spec.rows.model_dump(), **target_rows})
                targets.append(read_task(spec.model_copy(update={"rows": rows})))
    for tasks in (sources, targets):
        names = [task.name for task in tasks]
        for name in names:
            if names.count(name) > 1:
                raise InputError(f"{path}: two tasks are named {name!r}. Give one of them another name.")
    return Family(tuple(sources), tuple(targets))


def _specs(where: str, folder: Path, fields: dict[str, Any]) -> list[TaskSpec]:
    spec = checked(TaskSpec, where, fields)
    if spec.hub is None:
        places = {split: str((folder / place).resolve()) for split in SPLITS if (place := getattr(spec, split))}
        spec = spec.model_copy(update=places)
    if spec.kind == "multilabel" and spec.label in spec.labels:
        return [spec.model_copy(update={"name": checked_name(spec.name or spec.label, where)})]
    if spec.kind == "multilabel":
        named = [(checked_name(spec.name + label, where), label) for label in spec.labels]
        return [spec.model_copy(update={"name": name, "label": label}) for name, label in named]
    return [spec.model_copy(update={"name": spec.name or Path(spec.train).parent.name})]


def task_of(spec: dict[str, Any]) -> Task:
    """Read a task again from the description that it carries (`Task.spec`)."""
    return read_task(checked(TaskSpec, "task", spec))
