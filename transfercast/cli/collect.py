"""The command `transfercast collect`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from transfercast.cli import app
from transfercast.cli.output import AsJson, Device, say, say_next, show


@app.command()
def collect(
    spec: Annotated[Path, typer.Argument(help="A tasks.toml with a [collect] table.")],
    out: Annotated[Path, typer.Option(help="Folder of the atlas.")] = Path("atlas"),
    encoder: Annotated[str, typer.Option(help="offline, a folder, or a name on the hub.")] = "offline",
    minutes: Annotated[
        float | None,
        typer.Option(min=0, help="Start no further training after this many minutes; by default continue until all is done."),
    ] = None,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Train a designed set of transfers between the tasks of a file and measure each pair: an atlas to learn from.

    The command may be started again after a kill, or several times at once: each training is run once. To learn from the
    atlas, run transfercast train-meta --history ATLAS/history.db.

    Example: transfercast collect tasks.toml --out atlas --minutes 60
    """
    from transfercast.collection.collector import collect as collected

    atlas = collected(spec, out, encoder=encoder, device=device, minutes=minutes)
    show([{"target": target, "failed": why} for target, why in atlas.failed.items()], as_json)
    say(
        f"{atlas.done} of {atlas.runs} trainings are observed; all observations are in {atlas.table}."
        + ("" if atlas.done == atlas.runs else " Start the same command again for the rest."),
        as_json,
    )
    say_next(f"transfercast train-meta --history {out / 'history.db'} --out meta", as_json)
