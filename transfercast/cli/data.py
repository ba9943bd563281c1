"""The options that describe one data set: a file with its columns, or a target of a tasks.toml."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from transfercast.core.errors import InputError
from transfercast.tasks.spec import FileFormat, StatedKind

if TYPE_CHECKING:
    from transfercast.tasks.task import Task

Text = Annotated[str, typer.Option(help="Column with the texts, where DATA is a file.")]
TextPair = Annotated[str | None, typer.Option(help="Column with the second texts, for tasks on pairs of texts.")]
Label = Annotated[str, typer.Option(help="Column with the labels, where DATA is a file.")]
Labels = Annotated[
    str | None,
    typer.Option(help="In place of --label, several 0/1 columns such as joy,fear,love: a row may have several labels."),
]
StatedKindOption = Annotated[
    StatedKind | None, typer.Option("--kind", help="Kind of task; by default inferred from the labels.")
]
Metric = Annotated[
    str | None, typer.Option(help="Metric of the task's score, such as macro_f1 or mcc; by default that of its kind.")
]
Positive = Annotated[str | None, typer.Option(help="The positive label of a binary task.")]
Format = Annotated[FileFormat | None, typer.Option("--format", help="Format of the file; by default inferred from its ending.")]
Target = Annotated[str | None, typer.Option(help="Name of the target, where a tasks.toml has several.")]


@dataclass(frozen=True, slots=True)
class FileOptions:
    """The values of the options that describe a file; a tasks.toml describes its tasks itself, so they do not apply to it."""

    text: str
    text_pair: str | None
    label: str
    kind: StatedKind | None
    metric: str | None
    positive: str | None
    format: FileFormat | None
    labels: str | None = None

    def task(self, path: Path, rows: int | None) -> Task:
        """The task of a file, without rows that have no text.

        Args:
            path: the file.
            rows: largest number of training rows; at most an eighth as many validation rows are kept. None keeps all.

        Raises:
            InputError: if the file or an option is wrong; it names file, line, value and remedy.
        """
        from transfercast.tasks.task import Task

        if self.labels is None:
            columns: dict[str, Any] = {"label": self.label, "kind": self.kind}
        else:
            names = [name.strip() for name in self.labels.split(",")]
            if len(names) < 2:
                raise InputError(f"--labels {self.labels!r}: name two 0/1 columns or more; one column is named by --label.")
            columns = {"labels": names, "joint": True, "kind": self.kind or "multilabel"}
        if rows is not None:
            columns["rows"] = {"train": rows, "validation": -(-rows // 8)}
        return Task.from_csv(
            path, text=self.text, text_pair=self.text_pair, metric=self.metric, positive=self.positive, format=self.format,
            drop=("rare_labels", "empty_text"), **columns,
        )  # fmt: skip


def target_of(data: Path, target: str | None, rows: int | None, options: FileOptions) -> Task:
    """The task of a file, or a target of a tasks.toml.

    Raises:
        InputError: if it cannot be read, or a tasks.toml has several targets and none was named.
    """
    from transfercast.tasks.family import read_family

    if data.suffix.lower() != ".toml":
        return options.task(data, rows)
    targets = {task.name: task for task in read_family(data).targets}
    if target is None and len(targets) == 1:
        target = next(iter(targets))
    if target not in targets:
        raise InputError(f"{data}: name one of its targets by --target: {', '.join(targets)}.")
    return targets[target]
