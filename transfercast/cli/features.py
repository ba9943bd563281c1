"""The command `transfercast features`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from transfercast.cli import app
from transfercast.cli.output import AsJson, Device, say, show
from transfercast.core.records import Recipe


@app.command()
def features(
    pool: Annotated[Path, typer.Argument(help="Folder of the pool.")],
    tasks: Annotated[Path, typer.Argument(help="A tasks.toml with the targets.")],
    out: Annotated[Path, typer.Option(help="Parquet file to write.")] = Path("features.parquet"),
    recipe: Annotated[str, typer.Option(help="How targets will be trained; see fit-sources.")] = "full",
    seed: Annotated[int, typer.Option(help="Of the targets' training.")] = 0,
    documents: Annotated[int, typer.Option(min=1, help="Positive documents of each set to attribute, at most.")] = 64,
    only: Annotated[list[str] | None, typer.Option(help="Take this measure alone; may be given several times.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Sources at a time, a process each.")] = None,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Measure every source against every target, into a table.

    Each target is trained alone once, for its own score and activities; its test rows are not read.

    Example: transfercast features pool tasks.toml --out features.parquet --recipe full/lr=3e-4/epochs=6
    """
    from transfercast.features.extract import extract_features
    from transfercast.sources.pool import SourcePool
    from transfercast.tasks.family import read_family

    parsed = Recipe.parse(recipe)
    family = read_family(tasks)
    table = extract_features(
        SourcePool.load(pool), family.targets,
        recipe=parsed, seed=seed, documents=documents, only=only, jobs=jobs, device=device,
    )  # fmt: skip
    table.save(out)
    shown = [name for name in table.frame.columns if not name.startswith("ansat_") or name.endswith("_0.20")]
    rows = [
        {"source": candidate.source, "target": candidate.target, **{name: float(values[name]) for name in shown}}
        for candidate, (_, values) in zip(table.candidates, table.frame.iterrows(), strict=True)
    ]
    show(rows, as_json)
    n, f = table.frame.shape
    say(
        f"{n} pairs x {f} features{' (ANSAT shown at one of 14 thresholds)' if len(shown) < f else ''} in {out}. "
        f"Next: transfercast plan {out}",
        as_json,
    )
