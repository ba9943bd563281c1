"""The command `transfercast cache`."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from transfercast.cli import app
from transfercast.cli.output import AsJson, say, show
from transfercast.core.errors import InputError
from transfercast.core.text import megabytes

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


@app.command()
def cache(
    prune: Annotated[
        str | None, typer.Option(help="Delete what was not used for longest, until so much is left: 20GB, 500MB, 0.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what the cache of embeddings and activities takes on the disk, or make it smaller.

    What is deleted is computed again when it is needed.

    Example: transfercast cache --prune 20GB
    """
    from transfercast.core.cache import ArrayCache

    limit = None if prune is None else _bytes(prune)
    kept = ArrayCache()
    if limit is not None:
        kept.prune(limit)
    size = kept.size()
    show([{"folder": str(kept.folder), "disk": size if as_json else megabytes(size)}], as_json)
    say("Make it smaller with: transfercast cache --prune 20GB", as_json)


def _bytes(text: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)B?", text.strip(), re.IGNORECASE)
    if match is None:
        raise InputError(f"--prune {text}: write a size such as 20GB, 500MB or 0.")
    return int(float(match[1]) * _UNITS[match[2].upper()])
