"""The command `transfercast fit-sources`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from transfercast.cli import app
from transfercast.cli.output import AsJson, Device, say, say_tasks, show
from transfercast.core.errors import InputError
from transfercast.core.records import Recipe, checked_name, checked_seed


@app.command("fit-sources")
def fit_sources(
    tasks: Annotated[Path | None, typer.Argument(help="A tasks.toml; may be left out when only adopting.")] = None,
    pool: Annotated[Path, typer.Option(help="Folder of the pool.")] = Path("pool"),
    encoder: Annotated[
        str | None,
        typer.Option(
            help="offline, a folder, or a name on the hub: what to train from, by default offline; of adopted models what they "
            "were fine-tuned from, by default as their card, configuration or weights tell."
        ),
    ] = None,
    recipe: Annotated[str, typer.Option(help="full, features or ulmfit, then /lr=, /epochs= and so on.")] = "full",
    seed: Annotated[int, typer.Option(help="Of initialisation and row order.")] = 0,
    adopt: Annotated[
        list[str] | None,
        typer.Option(help="NAME=FOLDER_OR_HUB_NAME, with @SCORE behind where its own test score is known; again for more."),
    ] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Trainings at a time, a process each; best one a core.")] = None,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Fine-tune an encoder on each task into a pool, or let existing checkpoints join it.

    Sources that the pool already holds in just this way are kept, so a run that was killed goes on.

    Example: transfercast fit-sources tasks.toml --pool pool --recipe full/lr=3e-4/epochs=4

    Example: transfercast fit-sources --pool pool --adopt sent=models/sentiment@0.83 --encoder roberta-base
    """
    from transfercast.core.files import check_place
    from transfercast.sources.encoders import OFFLINE, checkpoint_folder
    from transfercast.sources.pool import SourcePool
    from transfercast.sources.pool import adopt as adopted
    from transfercast.tasks.family import read_family

    if tasks is None and not adopt:
        raise InputError("nothing to do: name a tasks.toml, or a checkpoint with --adopt NAME=FOLDER.")
    parsed = Recipe.parse(recipe)
    checked_seed(seed)
    requests = [_request(text) for text in adopt or []]
    check_place(pool / "sources" / "source")
    family = read_family(tasks) if tasks is not None else None
    for name, _, _ in requests:
        checked_name(name, "source")
    bases = [encoder or OFFLINE] if family is not None or encoder is not None else []
    for place in [*(place for _, place, _ in requests), *bases]:
        checkpoint_folder(place)
    say_tasks(family.sources if family is not None else (), as_json)

    for name, place, score in requests:
        adopted(pool, name, place, score=score, encoder=encoder)
    if family is not None:
        SourcePool.fit(pool, family.sources, encoder=encoder or OFFLINE, recipe=parsed, seed=seed, jobs=jobs, device=device)
    held = SourcePool.load(pool)
    rows = [
        {
            "source": source.name,
            "kind": str(source.kind),
            "metric": source.metric,
            "validation": source.scores.get("validation"),
            "test": source.scores.get("test"),
            "rows": source.train_rows,
            "seconds": round(source.seconds, 1),
            "encoder": source.encoder,
            "warning": source.warning if as_json else source.mark,
        }
        for source in held.values()
    ]
    show(rows, as_json)
    say(f"{len(held)} sources in {pool}. Next: transfercast features {pool} {tasks or 'tasks.toml'}", as_json)


def _request(text: str) -> tuple[str, str, float | None]:
    name, _, place = text.partition("=")
    place, _, score = place.rpartition("@") if "@" in place else (place, "", "")
    try:
        known = float(score) if score else None
    except ValueError:
        known = math.nan
    if known is not None and not -1 <= known <= 1:
        raise InputError(f"--adopt {text}: score {score!r} is not a number from -1 to 1. Write NAME=FOLDER@0.83.")
    if not name or not place:
        raise InputError(f"--adopt {text}: write NAME=FOLDER_OR_HUB_NAME, and @SCORE where its own test score is known.")
    return name, place, known
