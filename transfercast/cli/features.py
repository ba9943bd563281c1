"""The command `transfercast features`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from transfercast.cli import app
from transfercast.cli.data import FileOptions, Format, Label, Labels, Metric, Positive, StatedKindOption, Text, TextPair
from transfercast.cli.output import AsJson, Device, say, say_next, say_tasks, show
from transfercast.core.progress import waiting
from transfercast.core.records import Recipe, checked_seed

if TYPE_CHECKING:
    from transfercast.core.table import FeatureTable

FEW = 10
"""With at most this number of columns, their values are shown; with more, mean ranks by group."""


@app.command()
def features(
    pool: Annotated[Path, typer.Argument(help="Folder of the pool.")],
    tasks: Annotated[Path, typer.Argument(help="A tasks.toml with the targets, or the file of one target as for rank.")],
    out: Annotated[Path, typer.Option(help="Parquet file to write.")] = Path("features.parquet"),
    recipe: Annotated[str, typer.Option(help="How targets will be trained; see fit-sources.")] = "full",
    seed: Annotated[int, typer.Option(help="Random seed of the targets' trainings.")] = 0,
    documents: Annotated[int, typer.Option(min=1, help="Largest number of positive documents of each set to attribute.")] = 64,
    only: Annotated[list[str] | None, typer.Option(help="Compute only this measure; repeatable.")] = None,
    text: Text = "text",
    text_pair: TextPair = None,
    label: Label = "label",
    labels: Labels = None,
    kind: StatedKindOption = None,
    metric: Metric = None,
    positive: Positive = None,
    file_format: Format = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes: number of trainings, then of sources measured, at the same time.")
    ] = None,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Measure every source against every target, and write a feature table.

    Each target is trained alone once, to get its own score and activities. Its test rows are not read.

    Example: transfercast features pool tasks.toml --out features.parquet --recipe full/lr=3e-4/epochs=6

    Example: transfercast features pool reviews.csv --text body --label helpful
    """
    from transfercast.core.files import check_file
    from transfercast.sources.pool import SourcePool
    from transfercast.tasks.family import read_family

    parsed = Recipe.parse(recipe)
    checked_seed(seed)
    check_file(out)
    if tasks.suffix.lower() == ".toml":
        targets = list(read_family(tasks).targets)
    else:
        targets = [FileOptions(text, text_pair, label, kind, metric, positive, file_format, labels).task(tasks, rows=None)]
    held = SourcePool.load(pool)
    say_tasks(targets, as_json)

    with waiting("loading libraries"):  # torch, which takes seconds, comes after the checks
        from transfercast.features.extract import extract_features

    table = extract_features(
        held, targets,
        recipe=parsed, seed=seed, documents=documents, only=only, jobs=jobs, device=device,
    )  # fmt: skip
    table.save(out)
    n, f = table.frame.shape
    if as_json or f <= FEW:
        show(_values(table), as_json)
        told = ""
    else:
        show(_standings(table), as_json)
        told = (
            "The table shows each source's mean rank among the target's sources by kind of evidence, from -0.5 (last) to 0.5. "
        )
    say(f"{told}{n} pairs x {f} features in {out}.", as_json)
    say_next(f"transfercast plan {out} --trials 4", as_json)


def _values(table: FeatureTable) -> Iterator[dict[str, Any]]:
    names = list(table.frame.columns)
    for candidate, values in zip(table.candidates, table.frame.to_numpy(float).tolist(), strict=True):
        yield {"source": candidate.source, "target": candidate.target, **dict(zip(names, values, strict=True))}


def _standings(table: FeatureTable) -> list[dict[str, Any]]:
    from transfercast.predictor.data import candidates_of_table
    from transfercast.predictor.prior import centred_ranks

    groups = list(dict.fromkeys(column.group for column in table.schema))
    by_group = centred_ranks(candidates_of_table(table), groups)
    rows = [
        {"target": one.target, "source": one.source, "mean rank": float(parts.sum()), **dict(zip(groups, parts, strict=True))}
        for one, parts in zip(table.candidates, by_group, strict=True)
    ]
    order = {name: place for place, name in enumerate(dict.fromkeys(row["target"] for row in rows))}
    return sorted(rows, key=lambda row: (order[row["target"]], -row["mean rank"]))
