"""The command `transfercast fetch-maps`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from transfercast.cli import app
from transfercast.cli.output import say, say_next


@app.command()
def fetch_maps(
    encoder: Annotated[str, typer.Argument(help="Base encoder, by its name on the hub.")],
    out: Annotated[Path, typer.Option(help="Folder for the maps, one folder each.")] = Path("maps"),
) -> None:
    """Fetch the embedding space maps of a base encoder that hf-dataset-selector's users have published on the hub.

    Example: transfercast fetch-maps google-bert/bert-base-multilingual-uncased --out maps
    """
    from transfercast.sources.hub_maps import fetch_maps as fetch

    there = fetch(encoder, out)
    say(f"{len(there)} maps in {out}.", as_json=False)
    say_next(f"transfercast rank DATA.csv --maps {out}", as_json=False)
