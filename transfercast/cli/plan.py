"""The command `transfercast plan`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, cast, get_args

import typer

from transfercast.cli import app
from transfercast.cli.output import AsJson, condensed, say, say_next, show
from transfercast.core.choices import Bounds
from transfercast.core.errors import InputError
from transfercast.core.plan import Budget, Plan
from transfercast.core.records import Adaptation, Recipe
from transfercast.core.text import duration
from transfercast.core.validation import checked


@app.command()
def plan(
    table: Annotated[Path, typer.Argument(help="A feature table.")],
    trials: Annotated[int | None, typer.Option(min=1, max=10**9, help="Budget: number of transfers.")] = None,
    hours: Annotated[float | None, typer.Option(help="Budget: number of hours.")] = None,
    per: Annotated[
        Literal["target", "total"], typer.Option(help="Whether the budget is for each target or for all.")
    ] = "total",
    predictor: Annotated[
        Path | None,
        typer.Option(help="Folder that train-meta wrote; by default the package's predictor, learned from the atlas."),
    ] = None,
    lr: Annotated[list[float] | None, typer.Option(help="Learning rates to search over; repeatable.")] = None,
    epochs: Annotated[list[int] | None, typer.Option(help="Numbers of epochs to search over; repeatable.")] = None,
    batch: Annotated[list[int] | None, typer.Option(help="Batch sizes to search over; repeatable.")] = None,
    adaptation: Annotated[
        list[str] | None,
        typer.Option(
            help="Adaptations to search over: full, ulmfit, lora, multitask, features; repeatable. Learning rates and epochs "
            "do not apply to features."
        ),
    ] = None,
    coverage: Annotated[float, typer.Option(help="Share of scores that intervals should cover, between 0 and 1.")] = 0.9,
    bounds: Annotated[
        Bounds | None,
        typer.Option(
            help="Kind of intervals; by default hierarchical (wider, safe) below ten held-out targets, else grouped (pooled)."
        ),
    ] = None,
    history: Annotated[
        str | None,
        typer.Option(help="A history, URL or file: its trainings count as done, cost nothing and are not proposed again."),
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Also write the plan as a page, with charts.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Also draw the contributions to each forecast: .svg, .png, .pdf.")] = None,
    out: Annotated[Path, typer.Option(help="JSON file to write.")] = Path("plan.json"),
    as_json: AsJson = False,
) -> None:
    """Turn forecasts and a budget into an order of trainings.

    Example: transfercast plan features.parquet --trials 8 --lr 1e-4 --lr 3e-4 --epochs 3 --out plan.json
    """
    _check(trials, hours, out, plot, html)

    from transfercast.core.table import FeatureTable
    from transfercast.planning.order import plan as planned
    from transfercast.predictor.predictor import Predictor

    loaded = FeatureTable.load(table)
    if lr or epochs or batch or adaptation:
        loaded = loaded.with_recipes(_grid(loaded.candidates[0].recipe, lr, epochs, batch, adaptation))
    budget = checked(Budget, "budget", {"trials": trials, "hours": hours, "per": per})
    active = Predictor.load(predictor)
    forecast = active.predict(loaded, coverage, bounds=bounds, explain=False)
    made = active.explained(planned(forecast, loaded, budget, history=history), loaded)
    made.save(out)
    if plot is not None:
        _draw(made, plot)
    if html is not None:
        from transfercast.core.files import write_text
        from transfercast.report.plan import plan_page

        write_text(html, plan_page(made, expected(made)))
    say(f"{made.budget}, out of {made.candidates} candidates. {made.basis}", as_json)
    show_steps(made, as_json)
    say_published(made, as_json)
    say(f"{expected(made)} In {out}.", as_json)
    say_next(f"transfercast search {out}", as_json)


def show_steps(made: Plan, as_json: bool) -> None:
    """Print the steps; in a table for people empty columns are left out, and values that all share are in a sentence above."""
    if as_json:
        return show(made.rows(), as_json)
    rows, shared = condensed([_for_people(row) for row in made.rows()], common=("encoder", "recipe"))
    if shared:
        say(shared, as_json)
    show(rows, as_json)


def say_published(made: Plan, as_json: bool) -> None:
    """Print models of the hub that may do as well as the plan's own, if results of its encoders are published."""
    from transfercast.planning.published import published_models

    for one in published_models(made):
        say(
            f"Also worth a trial for {one.target}, by published results on other data: {one.model} (from {one.encoder}), "
            f"{one.score:.3f} expected, {one.lower:.3f} to {one.upper:.3f}.",
            as_json,
        )
        command = (
            f"transfercast fit-sources --pool {made.provenance.pool or 'pool'} --adopt NAME={one.model} --encoder {one.encoder}"
        )
        say_next(command, as_json, lead="To measure it")


def _for_people(row: dict[str, Any]) -> dict[str, Any]:
    lower, upper, better = row["lower"], row["upper"], row["beats_baseline"]
    return {
        **{name: row[name] for name in ("rank", "source", "encoder", "target", "recipe", "score")},
        "bounds": None if lower is None else f"[{lower:.2f}, {upper:.2f}]",
        "P(better)": None if better is None else f"{100 * better:.0f} %",
        "best": row["expected_best"],
        "time": "done" if row["state"] == "done" else duration(row["hours"]),
        "why": row["why"],
    }


def _check(trials: int | None, hours: float | None, out: Path, plot: Path | None, html: Path | None) -> None:
    """Check the options before anything is read or loaded."""
    if (trials is None) == (hours is None):
        raise InputError("give a budget: either --trials 8 or --hours 2.5.")
    if hours is not None and not (hours > 0 and math.isfinite(hours)):
        raise InputError(f"--hours {hours}: give a number of more than 0.")
    if out.is_dir():
        raise InputError(f"--out {out}: is a folder; name a file for the plan.")
    if plot is not None:
        from transfercast.report.figures import check_ending

        check_ending(plot)
    from transfercast.core.files import check_file

    check_file(plot)
    check_file(html)


def expected(made: Plan) -> str:
    """Sentences on the number of trainings, their time, and the step after which the plan may stop."""
    new = sum(not step.done for step in made.steps)
    takes = duration(made.hours) or "an unknown time"
    told = f"{new} trainings to run, {len(made.steps) - new} done; {takes} expected."
    if made.is_order_only:
        return f"{told} Their scores cannot be forecast without history."
    targets = len(made.targets)
    return (
        f"{told} After step {made.stop_after}, training all other candidates is expected to add {made.regret_left:.3f} "
        f"score units, as a mean over {targets} {'target' if targets == 1 else 'targets'}."
    )


def _draw(made: Plan, path: Path) -> None:
    from transfercast.report.figures import reasons_figure, save
    from transfercast.report.plan import reasons

    if not any(step.why for step in made.steps):
        raise InputError(f"--plot {path}: every step is done, so there is no forecast to draw.")
    save(reasons_figure(*reasons(made.steps, len(made.steps))), path)


def _grid(
    key: str, lr: list[float] | None, epochs: list[int] | None, batch: list[int] | None, adaptation: list[str] | None
) -> list[Recipe]:
    base = Recipe.parse(key)
    wrong = next((name for name in adaptation or () if name not in get_args(Adaptation)), None)
    if wrong is not None:
        raise InputError(f"--adaptation {wrong!r} is not one of {', '.join(get_args(Adaptation))}.")
    rates: Sequence[float | None] = lr or [base.learning_rate]
    passes: Sequence[int | None] = epochs or [base.epochs]
    recipes = []
    adaptations = cast(Sequence[Adaptation], adaptation or [base.adaptation])
    for one, rate, number, size in product(adaptations, rates, passes, batch or [base.batch_size]):
        learned = {} if one == "features" else {"learning_rate": rate, "epochs": number}
        recipes.append(base.adapted(one).model_copy(update={"batch_size": size, **learned}))
    return list(dict.fromkeys(Recipe.parse(recipe.key) for recipe in recipes))
