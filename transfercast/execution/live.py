"""Live table of a running search: trainings with score and forecast, and the expected gain left for each target."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from transfercast.core.plan import Plan
from transfercast.core.progress import Watch, shown_on
from transfercast.core.text import duration, printable
from transfercast.execution.events import TrialEvent


class LiveTable:
    """The events so far, as tables.

    Args:
        plan: the plan that is run.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._running: dict[int, TrialEvent] = {}
        self._began: dict[int, float] = {}
        self._ended: set[int] = set()
        self._best: dict[str, float] = {}
        self._trials = dict.fromkeys(("finished", "stopped", "failed"), 0)

    def __call__(self, event: TrialEvent) -> None:
        """Add an event."""
        if event.what in self._trials:
            self._running.pop(event.trial, None)
            self._trials[event.what] += 1
            if event.seed == self._plan.provenance.seed:
                self._ended.add(event.position)
        else:
            self._running[event.trial] = event
            self._began.setdefault(event.trial, time.monotonic())
        if not math.isnan(event.best):
            self._best[event.target] = event.best

    def __rich__(self) -> RenderableType:
        """The present state as tables."""
        return Group(self._trainings(), self._targets(), Text(self.line()))

    def line(self) -> str:
        """Numbers of trials by state, and the hours that are left."""
        counts = ", ".join(f"{number} {what}" for what, number in self._trials.items() if number)
        return f"{counts or 'no trial has ended'}; {len(self._running)} running; {self._time_left()}"

    def _time_left(self) -> str:
        left = [step.hours for step in self._plan.steps if step.position not in self._ended and not step.done]
        if any(hours is None for hours in left):
            return "time left unknown"
        return f"{duration(sum(hours for hours in left if hours is not None)) or 'no time'} of training left"

    def _trainings(self) -> Table:
        table = _table("running", "target", "epoch", "score", "forecast", "time")
        for trial, event in self._running.items():
            spent = duration((time.monotonic() - self._began[trial]) / 3600) or ""
            numbers = (f"{event.epoch}/{event.epochs}", _number(event.score), _number(event.forecast), spent)
            table.add_row(printable(event.source), printable(event.target), *numbers)
        return table

    def _targets(self) -> Table:
        """For each target the best score so far, and the expected gain of the rest of the plan."""
        table = _table("target", "best so far", "expected left", "trials left")
        for target in self._plan.targets:
            open_steps = [s for s in self._plan.steps if s.target == target and s.position not in self._ended and not s.done]
            best = self._best.get(target, math.nan)
            expected = [step.expected_best for step in open_steps if step.expected_best is not None]
            left = max(max(expected) - best, 0.0) if expected else 0.0 if not open_steps else math.nan
            table.add_row(printable(target), _number(best), _number(left), str(len(open_steps)))
        return table


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in columns:
        table.add_column(name, justify="left" if name in ("running", "target") else "right")
    return table


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


@contextmanager
def shown_live(table: LiveTable, console: Console) -> Iterator[None]:
    """Show the table on a terminal while the block runs, in place of progress bars."""
    with shown_on(Watch(Console(quiet=True))), Live(table, console=console, refresh_per_second=2, transient=True):
        yield
