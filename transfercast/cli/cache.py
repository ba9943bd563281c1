"""The command `transfercast cache`."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

import typer

from transfercast.cli import app
from transfercast.cli.output import AsJson, say, show
from transfercast.core.errors import InputError
from transfercast.core.text import megabytes

if TYPE_CHECKING:
    from transfercast.core.cache import Entry

DAY = 86400.0
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


@app.command()
def cache(
    prune: Annotated[
        str | None, typer.Option(help="Delete the least recently used entries until at most this much is left: 20GB, 500MB, 0.")
    ] = None,
    unused: Annotated[
        float | None, typer.Option(min=0, help="Delete entries that were not used for this number of days.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the size of the cache of embeddings and activities by kind, or make the cache smaller.

    Deleted entries are computed again when they are needed. Files outside the cache's folder are not changed.

    Example: transfercast cache --prune 20GB

    Example: transfercast cache --unused 30
    """
    from transfercast.core.cache import ArrayCache, superfluous

    limit = math.inf if prune is None else _bytes(prune)
    since = -math.inf if unused is None else time.time() - unused * DAY
    kept = ArrayCache()
    doomed = superfluous(kept.entries(), limit, since)
    if doomed:
        number = "1 entry" if len(doomed) == 1 else f"{len(doomed)} entries"
        what = f"{number} of {megabytes(sum(entry.size for entry in doomed))}"
        say(f"{kept.folder}: deleting {what}, last used on {_day(doomed[-1])} or before.", as_json)
        kept.forget(doomed)
    left = kept.entries()
    kinds = sorted({entry.kind for entry in left})
    rows = [_row(kind, (entry for entry in left if entry.kind == kind), as_json) for kind in kinds]
    rows.append(_row("all", left, as_json))
    show([{**row, "folder": str(kept.folder)} for row in rows] if as_json else rows, as_json)
    say(f"In {kept.folder}. Make it smaller with: transfercast cache --prune 20GB, or --unused 30 (days)", as_json)


def _row(kind: str, entries: Iterable[Entry], as_json: bool) -> dict[str, Any]:
    """Number, size on the disk and last use of some entries."""
    listed = list(entries)
    size = sum(entry.size for entry in listed)
    last = max(listed, key=lambda entry: entry.used, default=None)
    return {
        "kind": kind,
        "entries": len(listed),
        "disk": size if as_json else megabytes(size),
        "last used": None if last is None else _day(last),
    }


def _day(entry: Entry) -> str:
    return date.fromtimestamp(entry.used).isoformat()


def _bytes(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)B?", text.strip(), re.IGNORECASE)
    if match is None:
        raise InputError(f"--prune {text}: write a size such as 20GB, 500MB or 0.")
    return float(match[1]) * _UNITS[match[2].upper()]
