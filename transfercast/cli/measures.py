"""The command `transfercast measures`."""

from __future__ import annotations

from typing import Annotated

import typer

from transfercast.cli import app
from transfercast.cli.output import AsJson, show
from transfercast.core.kinds import Kind


@app.command()
def measures(
    kind: Annotated[Kind | None, typer.Option(help="Only those defined for this kind of target.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the transferability measures.

    Example: transfercast measures --kind binary --json
    """
    from transfercast.features.registry import measures as registered

    rows = [
        {
            "name": one.name,
            "columns": len(one.columns) if not as_json else list(one.columns),
            "better": one.better,
            "group": one.group,
            "kinds": ", ".join(sorted(one.kinds)),
            "paper": one.paper,
            "what": one.summary,
        }
        for one in registered().values()
        if kind is None or kind in one.kinds
    ]
    show(rows, as_json)
