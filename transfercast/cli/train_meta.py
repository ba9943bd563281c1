"""The command `transfercast train-meta`."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from transfercast.cli import app
from transfercast.cli.output import AsJson, say, say_next, show
from transfercast.core import environment


@app.command("train-meta")
def train_meta(
    history: Annotated[
        str,
        typer.Option(envvar=environment.HISTORY, help="A database URL, an SQLite file, or a CSV or Parquet file."),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the predictor's versions.")],
    minutes: Annotated[
        float, typer.Option(min=0, help="Minutes to spend on comparing smaller feature sets; 0 compares none.")
    ] = 1.0,
    table: Annotated[list[Path] | None, typer.Option(help="Feature table of measured pairs; repeatable.")] = None,
    features: Annotated[
        str, typer.Option(help="f1, f1+ansat, all, or names of groups, measures and columns, separated by commas.")
    ] = "all",
    margin: Annotated[
        float, typer.Option(help="By how much a challenger's regret may be worse, in percent of the best score.")
    ] = 0.5,
    keep: Annotated[int, typer.Option(min=1, help="Number of promoted versions that are kept for --roll-back.")] = 5,
    jobs: Annotated[int, typer.Option(help="Folds that are learned at the same time; -1 for all cores.")] = 1,
    html: Annotated[Path | None, typer.Option(help="Also write the report as a page.")] = None,
    report: Annotated[Path | None, typer.Option(help="Also write the report as JSON.")] = None,
    roll_back: Annotated[
        bool, typer.Option("--roll-back", help="Put the previous version in force again, without learning.")
    ] = False,
    end_with_stdin: Annotated[
        bool, typer.Option("--end-with-stdin", hidden=True, help="End when the process that started this one ends.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Learn the predictor from all observed transfers, evaluate it on held-out targets, and promote it unless it is worse.

    Example: transfercast train-meta --history sqlite:///history.db --out meta
    """
    from transfercast.core.files import check_file

    for page in (html, report):
        check_file(page)
    if end_with_stdin:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    from transfercast.retraining.retrain import train_meta as trained

    if roll_back:
        from transfercast.predictor.predictor import Predictor

        return say(f"{Predictor.roll_back(out)} is in force in {out} again.", as_json)
    from transfercast.core.table import FeatureTable
    from transfercast.features.registry import measures
    from transfercast.history.store import opened

    tables = [FeatureTable.load(path) for path in table or ()]
    past = opened(history, [column for measure in measures().values() for column in measure.schema()])
    outcome = trained(past, out, minutes, tables=tables, features=features, margin=margin, keep=keep, jobs=jobs)
    show(
        outcome.rows(),
        as_json,
        f"{outcome.observations} observed transfers to {outcome.targets} targets, held out by target",
    )
    if html is not None:
        from transfercast.core.files import write_text
        from transfercast.report.html import retraining_page

        write_text(html, retraining_page(outcome.as_json(), outcome.rows()))
    if report is not None:
        outcome.save_json(report)
    verdict = "promoted" if outcome.promoted else "kept the champion"
    say(f"{outcome.version}: {verdict}, {outcome.reason}. In {outcome.folder}.", as_json)
    say_next(f"transfercast plan features.parquet --trials 4 --predictor {out} --history {history}", as_json)


def _end_with_stdin() -> None:
    """End this process when its standard input is closed: when the process that started it ends, or is killed."""
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os._exit(1)
