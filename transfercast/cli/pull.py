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
    pool: Annotated[Path, typer.Option(help="Folder of the pool that a source is added to.")] = Path("pool"),
    maps: Annotated[Path, typer.Option(help="Folder that a map is added to.")] = Path("maps"),
    predictor: Annotated[Path, typer.Option(help="Folder of versions in which a predictor is put in force.")] = Path("meta"),
    name: Annotated[str | None, typer.Option(help="Name for the source or map; by default its own.")] = None,
) -> None:
    """Fetch a source, a map or a predictor that was shared with push; other models are added to a pool by --adopt.

    Example: transfercast pull someone/sentiment-source --pool pool
    """
    from transfercast.sharing.hub import pull as pulled

    say(f"In {pulled(repo, pool=pool, maps=maps, predictor=predictor, name=name)}.", as_json=False)
