"""The command `transfercast train-meta`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from transfercast.cli import app
from transfercast.cli.output import AsJson, say, show


@app.command("train-meta")
def train_meta(
    history: Annotated[str, typer.Option(help="A database URL, an SQLite file, or a CSV file of observations.")],
    out: Annotated[Path, typer.Option(help="Folder of the predictor's versions.")],
    minutes: Annotated[float, typer.Option(min=0, help="Time limit for choosing settings.")] = 1.0,
    html: Annotated[Path | None, typer.Option(help="Also write the report as a page.")] = None,
    as_json: AsJson = False,
) -> None:
    """Fit the predictor on all observed transfers, judge it on held-out targets, promote it unless it is worse.

    Example: transfercast train-meta --history sqlite:///history.db --out meta
    """
    from transfercast.features.registry import measures
    from transfercast.predictor.retrain import opened
    from transfercast.predictor.retrain import train_meta as trained

    past = opened(history)
    past.describe(column for one in measures().values() for column in one.schema())
    report = trained(past, out, minutes)
    show(
        report.rows(),
        as_json,
        f"{report.observations} observed transfers to {report.targets} targets, each held out whole",
    )
    if html is not None:
        report.save_html(html)
    verdict = "promoted" if report.promoted else "kept the champion"
    say(
        f"{report.version}: {verdict}, {report.reason}. In {report.folder}. Next: transfercast plan --predictor {out}",
        as_json,
    )
