"""The command `transfercast evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from transfercast.cli import app
from transfercast.cli.output import AsJson, say, show
from transfercast.core.choices import Goal, Learner


@app.command()
def evaluate(
    history: Annotated[str, typer.Argument(help="A database URL, an SQLite file, or a CSV or Parquet file of observations.")],
    table: Annotated[list[Path] | None, typer.Option(help="Feature table of measured pairs; again for more.")] = None,
    features: Annotated[str, typer.Option(help="f1, f1+ansat, all, or groups, measures, columns with commas between.")] = "all",
    learner: Annotated[Learner | None, typer.Option(help="Take this one instead of choosing on held-out targets.")] = None,
    goal: Annotated[Goal, typer.Option(help="What is learned.")] = "standing",
    minutes: Annotated[float, typer.Option(min=0, help="Time limit for tuning, for all folds together.")] = 0.0,
    jobs: Annotated[int, typer.Option(help="Folds at once; -1 for all cores.")] = -1,
    out: Annotated[
        Path | None, typer.Option(help="Folder for report.html, evaluation.json and figures as SVG and PNG.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """How good forecasts are for targets and base encoders held out whole, beside each single measure.

    Example: transfercast evaluate history.db --out evaluation
    """
    from transfercast.core.table import FeatureTable
    from transfercast.features.registry import measures
    from transfercast.predictor.learner import LEARNERS
    from transfercast.predictor.learning import Options
    from transfercast.predictor.retrain import opened
    from transfercast.report.evaluation import Report

    past = opened(history)
    past.describe(column for one in measures().values() for column in one.schema())
    tables = [FeatureTable.load(path) for path in table or ()]
    report = Report.of(
        past, history, Options(goal, features, LEARNERS if learner is None else (learner,), seconds=minutes * 60), tables, jobs
    )
    for by, evaluation in report.evaluations.items():
        rows: list[dict[str, Any]] = [{"by": by, **order.row()} if as_json else order.row() for order in evaluation.orders]
        show(rows, as_json, f"each {by} held out: {evaluation.targets} targets, {evaluation.rows} transfers")
        for line in report.told(by):
            say(line, as_json)
    for line in report.left_out:
        say(line, as_json)
    if out is not None:
        report.save(out)
        say(f"Report in {out / 'report.html'}. Next: transfercast train-meta --history {history} --out meta", as_json)
