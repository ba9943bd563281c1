"""The command `transfercast evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from transfercast.cli import app
from transfercast.cli.output import AsJson, say, say_next, show
from transfercast.core.errors import InputError


@app.command()
def evaluate(
    history: Annotated[str, typer.Argument(help="A database URL, an SQLite file, or a CSV or Parquet file of observations.")],
    table: Annotated[list[Path] | None, typer.Option(help="Feature table of measured pairs; repeatable.")] = None,
    features: Annotated[
        str, typer.Option(help="f1, f1+ansat, all, or names of groups, measures and columns, separated by commas.")
    ] = "all",
    jobs: Annotated[int, typer.Option(help="Folds that are learned at the same time; -1 for all cores.")] = -1,
    out: Annotated[
        Path | None, typer.Option(help="Folder for report.html, evaluation.json and figures as SVG and PNG.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Evaluate forecasts for held-out targets and base encoders, and compare them with single measures.

    Example: transfercast evaluate history.db --out evaluation
    """
    if out is not None and out.exists() and not out.is_dir():  # before anything is read or learned
        raise InputError(f"--out {out}: is a file; name a folder for the report.")

    from transfercast.core.files import check_place
    from transfercast.core.table import FeatureTable
    from transfercast.evaluation.history import evaluate_history
    from transfercast.features.registry import measures
    from transfercast.history.store import opened
    from transfercast.predictor.data import transfers_of
    from transfercast.report.evaluation import Report

    if out is not None:
        check_place(out / "report.html")
    past = opened(history, [column for measure in measures().values() for column in measure.schema()])
    transfers = transfers_of(past.frames(), past.schema(), [FeatureTable.load(path) for path in table or ()])
    report = Report(history, evaluate_history(transfers, features, jobs))
    for by, evaluation in report.found.by.items():
        rows = [{"by": by, **order.row()} for order in evaluation.orders] if as_json else report.rows(by)
        show(
            rows,
            as_json,
            f"each {by} held out: {evaluation.targets} targets, {evaluation.rows} transfers; regret in % of the best",
        )
        for line in report.told(by):
            say(line, as_json)
    for line in report.found.left_out:
        say(line, as_json)
    if out is not None:
        report.save(out)
        say(f"Report in {out / 'report.html'}.", as_json)
    say_next(f"transfercast train-meta --history {history} --out meta", as_json)
