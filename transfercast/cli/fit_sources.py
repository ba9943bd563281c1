"""The command `transfercast fit-sources`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from transfercast.cli import app
from transfercast.cli.adopting import Adopt, Request, adopt_all, refuse_missing
from transfercast.cli.output import AsJson, Device, condensed, say, say_next, say_tasks, show
from transfercast.core.errors import InputError
from transfercast.core.records import Recipe, checked_seed
from transfercast.core.text import duration


@app.command("fit-sources")
def fit_sources(
    tasks: Annotated[Path | None, typer.Argument(help="A tasks.toml; may be left out when only adopting.")] = None,
    pool: Annotated[Path, typer.Option(help="Folder of the pool.")] = Path("pool"),
    encoder: Annotated[
        str | None,
        typer.Option(
            help="offline, a folder, or a name on the hub. Sources are trained from it, by default from offline. For adopted "
            "models it is their base encoder, by default the one found by their card, configuration or weights."
        ),
    ] = None,
    recipe: Annotated[str, typer.Option(help="full, features, ulmfit or lora, then /lr=, /epochs= and so on.")] = "full",
    seed: Annotated[int, typer.Option(help="Random seed of initialisation and row order.")] = 0,
    adopt: Adopt = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes: number of trainings at the same time; best is one for each core.")
    ] = None,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Fine-tune an encoder on each task and add the sources to a pool, or add existing checkpoints.

    Sources that are in the pool with the same task, encoder, recipe and seed are kept, so a run that was killed continues.

    Example: transfercast fit-sources tasks.toml --pool pool --recipe full/lr=3e-4/epochs=4

    Example: transfercast fit-sources --pool pool --adopt sent=models/sentiment@0.83 --encoder roberta-base
    """
    from transfercast.core.files import check_place
    from transfercast.sources.encoders import OFFLINE
    from transfercast.sources.pool import SourcePool
    from transfercast.tasks.family import read_family

    if tasks is None and not adopt:
        raise InputError("nothing to do: name a tasks.toml, or a checkpoint with --adopt NAME=FOLDER.")
    parsed = Recipe.parse(recipe)
    checked_seed(seed)
    requests = [Request.parse(text) for text in adopt or []]
    check_place(pool / "sources" / "source")
    family = read_family(tasks) if tasks is not None else None
    refuse_missing(requests, [encoder or OFFLINE] if family is not None or encoder is not None else [])
    say_tasks(family.sources if family is not None else (), as_json)

    adopt_all(pool, requests, encoder)
    if family is not None:
        SourcePool.fit(pool, family.sources, encoder=encoder or OFFLINE, recipe=parsed, seed=seed, jobs=jobs, device=device)
    held = SourcePool.load(pool)
    rows = [
        {
            "source": source.name,
            "kind": str(source.kind),
            "metric": source.metric,
            "validation": source.scores.get("validation"),
            "validation AP": source.average_precision,
            "test": source.scores.get("test"),
            "rows": source.train_rows,
            "seconds" if as_json else "time": round(source.seconds, 1) if as_json else duration(source.seconds / 3600),
            "encoder": source.encoder,
            "warning": source.warning if as_json else source.mark,
        }
        for source in held.values()
    ]
    rows, shared = (rows, "") if as_json else condensed(rows, common=("kind", "metric", "encoder"))
    show(rows, as_json)
    say(f"{len(held)} sources in {pool}. {shared}".rstrip(), as_json)
    say_next(f"transfercast features {pool} {tasks or 'tasks.toml'}", as_json)
