"""The page of a plan: summary, charts of the expected best and of the reasons, and its steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from transfercast.core.plan import Plan, Step
from transfercast.core.records import ALONE
from transfercast.core.text import duration
from transfercast.report.figures import best_figure, inline, reasons_figure
from transfercast.report.html import Section, page

MOST_REASONS = 25
"""Number of steps whose reasons are drawn, beginning with the first of the plan."""


def plan_page(plan: Plan, summary: str) -> str:
    """A plan as a page.

    Args:
        plan: the plan to show.
        summary: one sentence on its cost, and where it may stop.
    """
    figures = [] if plan.is_order_only else [inline(best_figure(*best_in_hand(plan)))]
    if any(step.why for step in plan.steps):
        figures.append(inline(reasons_figure(*reasons(plan.steps, MOST_REASONS))))
    rows = [_row(step, shown) for step, shown in zip(plan.steps, plan.rows(), strict=True)]
    telling = [name for name in rows[0] if any(row[name] is not None for row in rows)]
    if len({step.recipe for step in plan.steps}) == 1:
        telling.remove("recipe")
    rows = [{name: row[name] for name in telling} for row in rows]
    return page(
        f"{plan.budget}, out of {plan.candidates} candidates", f"{summary} {plan.basis}", [Section("", "", figures, rows)]
    )


def best_in_hand(plan: Plan) -> tuple[np.ndarray, int | None]:
    """(k,) mean over targets of the expected best after k trainings, NaN until each target has one; and where to stop."""
    best: dict[str, float] = {}
    means, stop = [], None
    for number, step in enumerate(plan.steps, start=1):
        if step.expected_best is not None:
            best[step.target] = step.expected_best
        means.append(sum(best.values()) / len(best) if len(best) == len(plan.targets) else float("nan"))
        if step.position == plan.stop_after:
            stop = number
    return np.array(means), stop


def reasons(steps: tuple[Step, ...], most: int) -> tuple[list[str], list[str], np.ndarray]:
    """Names of at most n candidates that have reasons, g groups of evidence, and (n, g) contributions."""
    shown = [step for step in steps if step.why][:most]
    groups = list(dict.fromkeys(group for step in shown for group in step.why))
    why = np.array([[step.why.get(group, 0.0) for group in groups] for step in shown])
    return [f"{step.source} > {step.target}" for step in shown], groups, why


def _row(step: Step, shown: dict[str, Any]) -> dict[str, Any]:
    names = ("rank", "source", "target", "recipe", "score", "lower", "upper")
    improves = None if step.beats_baseline is None or step.source == ALONE else f"{step.beats_baseline:.0%}"
    time = None if step.hours is None else duration(step.hours)
    return {name: shown[name] for name in names} | {
        "P(better)": improves, "expected_best": step.expected_best, "time": time, "why": shown["why"],
    }  # fmt: skip
