"""The command `transfercast demo`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from transfercast.cli import app
from transfercast.cli.output import say, say_next, show
from transfercast.cli.plan import show_steps
from transfercast.core.progress import waiting

if TYPE_CHECKING:
    from transfercast.demo.verdict import Bought
    from transfercast.execution.result import Best, SearchResult


@app.command()
def demo(
    out: Annotated[
        Path, typer.Option(help="Folder for all results; if it holds an unfinished demo, that is continued.")
    ] = Path("demo-run"),
    trials: Annotated[int, typer.Option(min=1, help="Budget of transfers over both targets.")] = 4,
) -> None:
    """Train, measure, plan and search on a small made-up family of incident-message tasks: under two minutes on two cores.

    Example: transfercast demo --trials 4
    """
    from transfercast.core.files import check_place

    check_place(out / "pool")
    with waiting("loading libraries"):
        from transfercast.demo.run import ROWS, TARGET_ROWS, run
        from transfercast.demo.verdict import verdict

    say(f"Six sources, two targets of {TARGET_ROWS} training rows, {trials} trials; all results go to {out}/.", False)
    made = run(out, trials)
    say(f"\nThe plan. {made.plan.basis}", False)
    show_steps(made.plan, False)
    say(f"\nWhat the budget bought: F1 on {ROWS['validation']} validation rows", False)
    bought = made.bought()
    show([_bought_row(row) for row in bought], False)
    say(f"\nThe best of each target, chosen on validation: F1 on {ROWS['test']} test rows", False)
    show([_test_row(target, best, made.result) for target, best in made.result.bests.items()], False)
    step = next(step for step in made.plan.steps if step.why)
    say(f"\nTerms that drive both {step.source} and {step.target} (weight: summed activity)", False)
    terms = made.terms(step.source, step.target)[:12]
    say("  " + ", ".join(f"{shared.term} {shared.weight:.2f}" for shared in terms) if terms else "  none", False)
    say(f"\nRetrained on {made.report.observations} observed transfers, each target held out whole", False)
    show(made.report.rows(), False)
    outcome = "promoted" if made.report.promoted else "not promoted"
    say(
        f"{outcome}: {made.report.reason}. From {made.report.targets} targets little can be learned about a third: "
        "these figures only show what a report looks like.",
        False,
    )
    say(f"\n{verdict(bought, made.result.test_gain)}", False)
    for note in made.result.notes():
        say(f"Note: {note}", False)
    say("The family is made up as an example; its results are no evidence of how good forecasts are.", False)
    say("\nYour own family: see docs/guides/family.md. The words behind this one's first transfer:", False)
    say_next(f"transfercast explain {step.source}:{step.target} --pool {out}/pool --html why.html", False)


def _bought_row(row: Bought) -> dict[str, Any]:
    return {
        "target": row.target,
        "trainings": f"{row.trainings} of {row.all_trainings}",
        "alone": row.alone,
        "plan": row.plan,
        "its source": row.plan_source,
        "LogME alone": row.logme,
        "its choice": row.logme_source,
        "everything": row.everything,
        "best source": row.everything_source,
    }


def _test_row(target: str, best: Best, result: SearchResult) -> dict[str, Any]:
    return {
        "target": target,
        "from": best.pair.source,
        "validation": best.validation,
        "std. error": best.standard_error,
        "test": best.score,
        "test alone": result.baseline_tests.get(target),
    }
