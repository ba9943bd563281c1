"""The command `transfercast evaluate`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from transfercast.cli import app
from transfercast.cli.output import AsJson, say, show
from transfercast.core.choices import Goal, Learner
from transfercast.core.errors import InputError


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
    _check(out, minutes)

    from transfercast.core.table import FeatureTable
    from transfercast.features.registry import measures
    from transfercast.history.store import opened
    from transfercast.predictor.design import observed_in
    from transfercast.predictor.learner import LEARNERS
    from transfercast.predictor.learning import Options
    from transfercast.report.evaluation import Report

    past = opened(history, [column for measure in measures().values() for column in measure.schema()])
    observed = observed_in(past.frames(), past.schema(), [FeatureTable.load(path) for path in table or ()])
    learners = LEARNERS if learner is None else (learner,)
    report = Report.of(observed, history, Options(goal, features, learners, seconds=minutes * 60), jobs)
    for by, evaluation in report.evaluations.items():
        rows = [{"by": by, **order.row()} for order in evaluation.orders] if as_json else report.rows(by)
        show(
            rows,
            as_json,
            f"each {by} held out: {evaluation.targets} targets, {evaluation.rows} transfers; regret in % of the best",
        )
        for line in report.told(by):
            say(line, as_json)
    for line in report.left_out:
        say(line, as_json)
    if out is not None:
        report.save(out)
        say(f"Report in {out / 'report.html'}. Next: transfercast train-meta --history {history} --out meta", as_json)


def _check(out: Path | None, minutes: float) -> None:
    """Before anything is read or learned."""
    if out is not None and out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: is a file; name a folder for the report.")
    if not math.isfinite(minutes):
        raise InputError(f"--minutes {minutes}: give a number.")
