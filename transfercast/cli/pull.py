"""The command `transfercast pull`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from transfercast.cli import app
from transfercast.cli.output import say


@app.command()
def pull(
    repo: Annotated[str, typer.Argument(help="USER/NAME on the hub.")],
    pool: Annotated[Path, typer.Option(help="Where a source goes.")] = Path("pool"),
    maps: Annotated[Path, typer.Option(help="Where a map goes.")] = Path("maps"),
    predictor: Annotated[Path, typer.Option(help="Where a predictor goes, and is put in force.")] = Path("meta"),
    name: Annotated[str | None, typer.Option(help="Name of the source or map here; by default its own.")] = None,
) -> None:
    """Fetch a source, a map or a predictor that somebody shared with push; other models join a pool by --adopt.

    Example: transfercast pull someone/sentiment-source --pool pool
    """
    from transfercast.sharing.hub import pull as pulled

    say(f"In {pulled(repo, pool=pool, maps=maps, predictor=predictor, name=name)}.", as_json=False)
