"""The command `transfercast search`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from transfercast.cli import app
from transfercast.cli.output import AsJson, Device, say, show


@app.command()
def search(
    plan: Annotated[Path, typer.Argument(help="A plan.")],
    storage: Annotated[str, typer.Option(help="Optuna storage URL.")] = "sqlite:///history.db",
    history: Annotated[
        str | None, typer.Option(help="Where observations go: a database URL; by default the same as the storage.")
    ] = None,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Run a plan's trainings; start it again after a kill, or in several terminals at once.

    Example: transfercast search plan.json --storage sqlite:///history.db
    """
    from transfercast.core.plan import Plan
    from transfercast.core.records import ALONE
    from transfercast.execution.search import search as run

    loaded = Plan.load(plan)
    result = run(loaded, storage, history=history, device=device)
    forecasts = {(step.source, step.target, step.recipe): step for step in loaded.steps}
    rows = []
    for one in result.observations:
        step = forecasts[one.source, one.target, one.recipe]
        rows.append(
            {
                "trial": step.position,
                "source": one.source,
                "target": one.target,
                "recipe": one.recipe,
                "forecast": None if one.source == ALONE else step.score,
                "score": one.score,
                "gain": one.score - result.baselines[one.target],
                "hours": one.hours,
            }
        )
    show(sorted(rows, key=lambda row: row["trial"]), as_json, "Trials, scored on validation")
    bests = [
        {
            "target": target,
            "best source": best.pair.source,
            "alone": result.baselines[target],
            "best": best.validation,
            "test": best.score,
            "model": str(best.model),
        }
        for target, best in result.bests.items()
    ]
    show(bests, as_json, "The best of each target, picked on validation; the search read its test rows for this score alone")
    say(
        f"Mean gain over the targets alone: {result.gain_over_baseline:+.3f} on validation. Learn from it with: "
        f"transfercast train-meta --history {history or storage} --out meta",
        as_json,
    )
    if result.failed:
        which = ", ".join(map(str, result.failed))
        say(f"{len(result.failed)} steps failed: {which}; see the log. Start the search again to retry them.", as_json)
        raise typer.Exit(1)
