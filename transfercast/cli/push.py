"""The command `transfercast push`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from transfercast.cli import app
from transfercast.cli.output import say


@app.command()
def push(
    folder: Annotated[Path, typer.Argument(help="POOL/sources/NAME, MAPS/NAME, or a predictor's folder.")],
    repo: Annotated[str, typer.Argument(help="USER/NAME on the hub.")],
    base_model: Annotated[
        str | None, typer.Option(help="The base encoder's name on the hub, if the encoder is a local folder.")
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
) -> None:
    """Share a source, a map or a predictor with its card on the Hugging Face hub; data are not shared.

    Example: transfercast push pool/sources/sentiment someone/sentiment-source
    """
    from transfercast.sharing.hub import push as pushed

    address = pushed(folder, repo, base_model=base_model, private=private)
    say(f"Shared at {address}. Others fetch it with: transfercast pull {repo}", as_json=False)
