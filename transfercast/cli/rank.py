"""The command `transfercast rank`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from transfercast.cli import app
from transfercast.cli.data import (
    FileOptions,
    Format,
    Label,
    Labels,
    Metric,
    Positive,
    StatedKindOption,
    Target,
    Text,
    TextPair,
    target_of,
)
from transfercast.cli.output import AsJson, Device, say, say_tasks, show
from transfercast.core.errors import InputError
from transfercast.core.poolings import Layers, Pooling
from transfercast.core.progress import waiting


@app.command()
def rank(
    data: Annotated[Path, typer.Argument(help="CSV, TSV, JSONL, Parquet or CoNLL file of a task, or a tasks.toml.")],
    encoders: Annotated[
        list[str] | None, typer.Argument(help="Encoders or fine-tuned models: offline, folders, hub names.")
    ] = None,
    maps: Annotated[Path | None, typer.Option(help="Rank embedding space maps instead: the folder that holds them.")] = None,
    base: Annotated[str | None, typer.Option(help="Base encoder of the maps; by default the one named in their files.")] = None,
    text: Text = "text",
    text_pair: TextPair = None,
    label: Label = "label",
    labels: Labels = None,
    kind: StatedKindOption = None,
    metric: Metric = None,
    positive: Positive = None,
    file_format: Format = None,
    target: Target = None,
    rows: Annotated[int, typer.Option(min=2, help="Largest number of training rows to read from the file.")] = 1000,
    measure: Annotated[str, typer.Option(help="logme, h_score, nearest_neighbours or frozen_transfer.")] = "logme",
    pooling: Annotated[Pooling, typer.Option(help="Pooling over tokens; cls takes the first token.")] = "mean",
    layers: Annotated[
        Layers, typer.Option(help="Layers of the encoder to use: last, the mean of all, or the one with the best score.")
    ] = "last",
    tokens: Annotated[int, typer.Option(min=3, help="Longer texts are cut at this number of tokens.")] = 128,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes: number of maps at the same time; by default the number of cores.")
    ] = None,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Rank encoders, fine-tuned models or embedding space maps for one data set, without training anything.

    Rows of a file that have no text are left out. For a target of a tasks.toml, the settings there hold.

    Example: transfercast rank reviews.csv offline bert-base-uncased roberta-base --measure h_score --layers mean

    Example: transfercast rank reviews.csv --maps maps
    """
    from transfercast.sources.encoders import refuse_if_none_is_there
    from transfercast.sources.esm import config_files

    if (maps is None) == (not encoders):
        raise InputError("name the encoders to rank, or a folder of maps by --maps.")
    task = target_of(data, target, rows, FileOptions(text, text_pair, label, kind, metric, positive, file_format, labels))
    if maps is not None:
        config_files(maps)
    refuse_if_none_is_there(encoders or [])
    say_tasks([task], as_json)

    with waiting("loading libraries"):  # torch, which takes seconds, comes after the checks
        from transfercast.features.rank import rank_encoders, rank_maps

    if maps is not None:
        found = rank_maps(task, maps, encoder=base, max_tokens=tokens, jobs=jobs, device=device)
    else:
        found = rank_encoders(
            task, encoders or [], measure=measure, pooling=pooling, layers=layers, max_tokens=tokens, device=device
        )
    ranked = enumerate(found.scores.items(), start=1)
    show(({"rank": place, "source": name, found.measure: score} for place, (name, score) in ranked), as_json, digits=4)
    told = f"{found.measure} on {found.rows} rows of {task.name}; higher is better."
    if found.components is not None:
        told += f" Widths differ, so each was reduced to its first {found.components} principal components."
    say(f"{told} The first is the one to fine-tune from first; where scores lie close together, try both.", as_json)
