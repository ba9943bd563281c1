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
            "columns": len(one.columns) if not as_json else {column: one.direction(column) for column in one.columns},
            **({} if as_json else {"better": "/".join(sorted({one.direction(column) for column in one.columns}))}),
            "group": one.group,
            "targets": ", ".join(sorted(one.kinds)),
            "sources": "same kind" if one.same_kind else ", ".join(sorted(one.sources)),
            "paper": one.paper,
            **({"needs": list(one.needs)} if as_json else {}),
            "what": one.summary,
        }
        for one in registered().values()
        if kind is None or kind in one.kinds
    ]
    show(rows, as_json)
