"""The command `transfercast rank`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from transfercast.cli import app
from transfercast.cli.output import AsJson, Device, say, say_tasks, show
from transfercast.core.errors import InputError
from transfercast.core.poolings import Layers, Pooling
from transfercast.tasks.spec import FileFormat, StatedKind

if TYPE_CHECKING:
    from transfercast.tasks.task import Task


@app.command()
def rank(
    data: Annotated[Path, typer.Argument(help="CSV, TSV, JSONL, Parquet or CoNLL file of a task, or a tasks.toml.")],
    encoders: Annotated[
        list[str] | None, typer.Argument(help="Encoders or fine-tuned models: offline, folders, hub names.")
    ] = None,
    maps: Annotated[Path | None, typer.Option(help="Rank embedding space maps instead: the folder that holds them.")] = None,
    base: Annotated[str | None, typer.Option(help="Of maps: their base encoder; by default as they say.")] = None,
    text: Annotated[str, typer.Option(help="Column of the texts.")] = "text",
    text_pair: Annotated[str | None, typer.Option(help="Column of second texts, for tasks on pairs.")] = None,
    label: Annotated[str, typer.Option(help="Column of the labels.")] = "label",
    kind: Annotated[StatedKind | None, typer.Option(help="Of the task; by default as the labels say.")] = None,
    metric: Annotated[
        str | None, typer.Option(help="Of frozen_transfer, as macro_f1 or mcc; by default that of the kind.")
    ] = None,
    positive: Annotated[str | None, typer.Option(help="Of a binary task: the label that is positive.")] = None,
    file_format: Annotated[FileFormat | None, typer.Option("--format", help="By default as the file's ending says.")] = None,
    target: Annotated[str | None, typer.Option(help="Of a tasks.toml: the target, where it has several.")] = None,
    rows: Annotated[int, typer.Option(min=2, help="Of the file: training rows to read, at most.")] = 1000,
    measure: Annotated[str, typer.Option(help="logme, h_score, nearest_neighbours or frozen_transfer.")] = "logme",
    pooling: Annotated[Pooling, typer.Option(help="Over tokens; cls is the first one.")] = "mean",
    layers: Annotated[Layers, typer.Option(help="Of the encoder; best is that with the best score.")] = "last",
    tokens: Annotated[int, typer.Option(min=3, help="Longer texts are cut.")] = 128,
    jobs: Annotated[int | None, typer.Option(min=1, help="Maps at a time; by default all cores.")] = None,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Rank encoders, fine-tuned models or embedding space maps for one data set, without training anything.

    Of a file, rows without text are left out. With a tasks.toml, the target's own settings hold.

    Example: transfercast rank reviews.csv offline bert-base-uncased roberta-base --measure h_score --layers mean

    Example: transfercast rank reviews.csv --maps maps
    """
    from transfercast.sources.encoders import refuse_if_none_is_there
    from transfercast.sources.esm import config_files

    if (maps is None) == (not encoders):
        raise InputError("name the encoders to rank, or a folder of maps by --maps.")
    options = {
        "text": text, "text_pair": text_pair, "label": label,
        "kind": kind, "metric": metric, "positive": positive, "format": file_format,
    }  # fmt: skip
    task = _task(data, target, rows, options)
    if maps is not None:
        config_files(maps)
    refuse_if_none_is_there(encoders or [])
    say_tasks([task], as_json)

    from transfercast.features.rank import rank_encoders, rank_maps  # torch, which takes seconds, comes after the checks

    if maps is not None:
        found = rank_maps(task, maps, encoder=base, max_tokens=tokens, jobs=jobs, device=device)
    else:
        found = rank_encoders(
            task, encoders or [], measure=measure, pooling=pooling, layers=layers, max_tokens=tokens, device=device
        )
    ranked = enumerate(found.scores.items(), start=1)
    show(({"rank": place, "source": name, found.measure: score} for place, (name, score) in ranked), as_json, digits=4)
    say(f"{found.measure} on {found.rows} rows of {task.name}; higher is better.", as_json)


def _task(data: Path, target: str | None, rows: int, options: dict[str, Any]) -> Task:
    from transfercast.tasks.family import read_family
    from transfercast.tasks.task import Task

    if data.suffix.lower() != ".toml":
        caps = {"train": rows, "validation": -(-rows // 8)}
        return Task.from_csv(data, rows=caps, drop=("rare_labels", "empty_text"), **options)
    targets = {task.name: task for task in read_family(data).targets}
    if target is None and len(targets) == 1:
        target = next(iter(targets))
    if target not in targets:
        raise InputError(f"{data}: name one of its targets by --target: {', '.join(targets)}.")
    return targets[target]
