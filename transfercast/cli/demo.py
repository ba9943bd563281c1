"""The command `transfercast demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from transfercast.cli import app
from transfercast.cli.output import say, show


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for all it makes; started again there, it goes on.")] = Path("demo-run"),
    trials: Annotated[int, typer.Option(min=1, help="Budget of transfers over both targets.")] = 4,
) -> None:
    """Run the main job on a small made-up family of incident-message tasks: about three minutes on two cores.

    Example: transfercast demo --trials 4
    """
    from transfercast.demo.run import TARGET_ROWS, run

    say(f"Six sources, two targets of {TARGET_ROWS} rows, {trials} trials; everything goes to {out}/.", False)
    made = run(out, trials)
    say(f"\nThe plan. {made.plan.basis}", False)
    rows = [{name: value for name, value in row.items() if name != "recipe"} for row in made.plan.rows()]
    show(rows, False)
    say("\nWhat the budget bought against trying everything (validation F1)", False)
    show(made.bought(), False)
    say("\nThe best of each target, picked on validation, on its test rows", False)
    show(
        [
            {"target": name, "from": best.pair.source, "validation": best.validation, "test": best.score}
            for name, best in made.result.bests.items()
        ],
        False,
    )
    step = next(step for step in made.plan.steps if step.expected_best is not None and step.why)
    say(f"\nTerms that drive both {step.source} and {step.target} (weight: summed activity)", False)
    terms = made.terms(step.source, step.target)[:12]
    say("  " + ", ".join(f"{one.term} {one.weight:.2f}" for one in terms) if terms else "  none", False)
    say(f"\nRetrained on {made.report.observations} observed transfers, each target held out whole", False)
    show(made.report.rows(), False)
    say(f"\nNext: transfercast search {out}/plan.json, or your own family: see docs/walkthrough.md.", False)
