"""The command `transfercast search`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from transfercast.cli import app
from transfercast.cli.output import AsJson, Device, condensed, say, say_next, show
from transfercast.cli.train_meta import train_meta
from transfercast.core.choices import STOP_LEVEL, Stop
from transfercast.core.progress import waiting
from transfercast.core.text import duration

if TYPE_CHECKING:
    from transfercast.execution.events import OnTrial
    from transfercast.execution.result import SearchResult


@app.command()
def search(
    plan: Annotated[Path, typer.Argument(help="A plan.")],
    storage: Annotated[
        str, typer.Option(help="Database for Optuna's trials: a URL, or an SQLite file.")
    ] = "sqlite:///history.db",
    history: Annotated[
        str | None, typer.Option(help="Database for observations: a URL, or an SQLite file; by default that of --storage.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes: number of trainings at the same time; best is one for each core.")
    ] = None,
    stop: Annotated[
        Stop,
        typer.Option(
            help="Rule that stops trials before their last epoch. learned: those unlikely to end above the best of their "
            "target; median, halving, hyperband: by Optuna's pruners."
        ),
    ] = "none",
    stop_level: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="With --stop learned: a trial is stopped if its probability to end above the best is below this."
        ),
    ] = STOP_LEVEL,
    trial_minutes: Annotated[
        float | None, typer.Option(min=0, help="A training fails if it takes more than this number of minutes.")
    ] = None,
    repeat_leaders: Annotated[
        int,
        typer.Option(
            min=0,
            help="Number of trainings to repeat with the next seed if several are within a standard error of a target's best.",
        ),
    ] = 0,
    then_retrain: Annotated[
        Path | None,
        typer.Option(help="Folder of the predictor's versions: after the search, learn from the history as train-meta does."),
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Also draw outcomes against forecasts: .svg, .png, .pdf.")] = None,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Run the trainings of a plan.

    The command may be started again after a kill, and run in several terminals or on several machines at once. On a terminal a
    table shows the running trainings. With --json, a line with the key "event" is printed when a trial starts, completes an
    epoch or ends; lines for all trainings and for the best of each target follow at the end.

    Example: transfercast search plan.json --storage sqlite:///history.db
    """
    from transfercast.core.files import check_file
    from transfercast.core.plan import Plan
    from transfercast.report.figures import check_ending

    if plot is not None:
        check_ending(plot)
        check_file(plot)
    loaded = Plan.load(plan)

    with waiting("loading libraries"):  # torch; a wrong plan is reported before that
        from transfercast.execution.live import LiveTable, shown_live
        from transfercast.execution.search import search as run

    def found(*listeners: OnTrial) -> SearchResult:
        return run(
            loaded, storage, history=history, jobs=jobs, device=device,
            stop=stop, stop_level=stop_level, trial_minutes=trial_minutes, repeat_leaders=repeat_leaders, on_trial=listeners,
        )  # fmt: skip

    console = Console(stderr=True)
    if as_json:
        result = found(lambda event: show([event.as_json()], True))
    elif console.is_terminal:
        live = LiveTable(loaded)
        with shown_live(live, console):
            result = found(live)
    else:
        result = found()
    if plot is not None and result.forecast_errors().empty:
        say(f"No finished training had a forecast score, so {plot} is not drawn.", as_json)
    elif plot is not None:
        result.plot(plot)
    report(result, history or storage, as_json, then_retrain)


def report(result: SearchResult, history: str, as_json: bool, then_retrain: Path | None = None) -> None:
    """Print the results of a search, and learn from them if asked; failed steps make the command fail."""
    rows, shared = _trials(result, as_json)
    show(rows, as_json, f"Trials, scored on validation. {shared}".rstrip())
    if result.bests:
        say("", as_json)
        rows, folder = _bests(result, as_json)
        show(rows, as_json, "The best of each target, chosen on validation; only it and the target alone are tested")
        if not as_json:
            say(f"Models are folders in {folder}.", as_json)
    for one in result.stopped:
        say(f"{one}.", as_json)
    for note in result.notes():
        say(f"Note: {note}", as_json)
    for sentence in (*result.learned(), result.headline()):
        say(sentence, as_json)
    if result.observations and then_retrain is not None:
        train_meta(history, then_retrain, as_json=as_json)
    elif result.observations:
        say_next(f"transfercast train-meta --history {history} --out meta", as_json)
    if result.failures:
        for failure in result.failures:
            say(f"Step {failure.position} failed, {failure.what}: {failure.cause}", as_json)
        say("Start the search again to retry the failed steps.", as_json)
        raise typer.Exit(1)


def _trials(result: SearchResult, as_json: bool) -> tuple[list[dict[str, Any]], str]:
    """A row for each training, and a sentence with the values that all rows share."""
    rows = [{str(name): value for name, value in row.items()} for row in result.to_frame().to_dict("records")]
    if as_json:
        return rows, ""
    titles = ("trial", "source", "encoder", "target", "recipe", "forecast", "score", "standard_error", "gain")
    shown = [
        {**{name.replace("standard_error", "std. error"): row[name] for name in titles}, "time": duration(row["hours"])}
        for row in rows
    ]
    return condensed(shown, common=("encoder", "recipe"))


def _bests(result: SearchResult, as_json: bool) -> tuple[list[dict[str, Any]], str]:
    """A row for each target, and the folder of their models; in a table for people, names of models are relative to it."""
    folder = os.path.commonpath([best.model.parent for best in result.bests.values()])
    rows = [
        {
            "target": target,
            "best source": best.pair.source,
            "alone": result.baselines.get(target),
            "best": best.validation,
            "test alone": result.baseline_tests.get(target),
            "test": best.score,
            "model": str(best.model if as_json else best.model.relative_to(folder)),
        }
        for target, best in result.bests.items()
    ]
    return rows, _from_here(folder)


def _from_here(folder: str) -> str:
    """A folder relative to the current one if it is inside it, or else unchanged."""
    path = Path(folder)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else folder
