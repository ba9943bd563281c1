"""The command `transfercast measures`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from transfercast.cli import app
from transfercast.cli.output import AsJson, say, show
from transfercast.core.kinds import Kind


@app.command()
def measures(
    kind: Annotated[Kind | None, typer.Option(help="Only measures that are defined for this kind of target.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the transferability measures.

    Example: transfercast measures --kind binary --json
    """
    from transfercast.features.registry import measures as registered

    rows = [
        {
            "name": one.name,
            "columns": {column: one.direction(column) for column in one.columns},
            "group": one.group,
            "targets": sorted(one.kinds),
            "sources": "same kind" if one.same_kind else sorted(one.sources),
            "paper": one.paper,
            "needs": list(one.needs),
            "what": one.summary,
        }
        for one in registered().values()
        if kind is None or kind in one.kinds
    ]
    show(rows if as_json else map(_for_people, rows), as_json)
    say(
        f"{len(rows)} measures. --json has the columns of each with their directions, the sources, the paper and the evidence "
        "that it needs. 'transfercast features' computes all of them, or with --only NAME the named ones.",
        as_json,
    )


def _for_people(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": row["name"],
        "better": "/".join(sorted(set(row["columns"].values()))),
        "targets": _kinds(row["targets"]),
        "what": row["what"],
    }


def _kinds(kinds: list[Kind]) -> str:
    if len(kinds) == len(Kind):
        return "all"
    return "all but regression" if kinds == sorted(set(Kind) - {Kind.REGRESSION}) else ", ".join(kinds)
