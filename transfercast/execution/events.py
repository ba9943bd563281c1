"""Events of the trials of a running search, read from Optuna's studies, so also those of other processes and machines."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal

import optuna
import sqlalchemy as sa
from optuna.trial import FrozenTrial, TrialState

from transfercast.core.files import reason
from transfercast.core.plan import Plan
from transfercast.execution.repeated import repeated
from transfercast.execution.study import TrialRecord

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0

What = Literal["started", "epoch", "finished", "stopped", "failed"]

_ENDS: dict[TrialState, What] = {
    TrialState.COMPLETE: "finished",
    TrialState.PRUNED: "stopped",
    TrialState.FAIL: "failed",
}


@dataclass(frozen=True, slots=True)
class TrialEvent:
    """One event of a trial.

    Attributes:
        what: `started`, `epoch` (an epoch is finished), `finished`, `stopped` by its curve, or `failed`.
        trial: number of the trial in the database; a step that is tried again gets a new one.
        position, source, target, recipe: of the plan's step.
        epoch, epochs: number of finished epochs, and of all.
        score: after this epoch, or at the end; NaN if there is none.
        forecast: forecast of the final score; NaN if the score was measured before, as for the target alone.
        best: best score of this target's finished trials; NaN if there are none.
        seed: seed of the training; a repeated leader has the next seed, and is a step of a separate plan.
        cause: reason of a failure.
    """

    what: What
    trial: int
    position: int
    source: str
    target: str
    recipe: str
    epoch: int
    epochs: int
    score: float
    forecast: float
    best: float
    seed: int = 0
    cause: str = ""

    def as_json(self) -> dict[str, Any]:
        """Plain values; None for NaN."""
        plain = {name: None if isinstance(v, float) and math.isnan(v) else v for name, v in asdict(self).items()}
        return {"event": plain.pop("what"), **plain}


OnTrial = Callable[[TrialEvent], None]


class Watcher:
    """Reports changes in the studies of a plan since the last look.

    Args:
        plan: its trials are watched.
        record: its studies.
    """

    def __init__(self, plan: Plan, record: TrialRecord) -> None:
        self._plan, self._record = plan, record
        self._seen: dict[int, tuple[TrialState | None, int]] = {}
        self._best: dict[str, float] = {}
        for _ in self.look():  # earlier trials are not reported
            pass

    def look(self) -> Iterator[TrialEvent]:
        """Events since the last look, trial by trial."""
        for target in self._plan.targets:
            for trial in self._record.trials(target):
                yield from self._news(target, trial)

    def _news(self, target: str, trial: FrozenTrial) -> Iterator[TrialEvent]:
        state, told = self._seen.get(trial._trial_id, (None, 0))
        curve = sorted(trial.intermediate_values.items())
        self._seen[trial._trial_id] = (trial.state, len(curve))
        if "position" not in trial.user_attrs:
            return
        if state is None:
            yield self._event("started", target, trial, 0, math.nan)
        for epoch, score in curve[told:]:
            yield self._event("epoch", target, trial, epoch, score)
        if trial.state in _ENDS and trial.state != state:
            score = trial.values[0] if trial.state == TrialState.COMPLETE else curve[-1][1] if curve else math.nan
            if trial.state == TrialState.COMPLETE:
                self._best[target] = max(score, self._best.get(target, -math.inf))
            yield self._event(_ENDS[trial.state], target, trial, curve[-1][0] if curve else 0, score)

    def _event(self, what: What, target: str, trial: FrozenTrial, epoch: int, score: float) -> TrialEvent:
        known = trial.user_attrs
        cause = str(known.get("error", "its worker was killed")) if what == "failed" else ""
        return TrialEvent(
            what=what,
            trial=trial._trial_id,
            position=known["position"],
            source=trial.params["source"],
            target=target,
            recipe=trial.params["recipe"],
            epoch=epoch,
            epochs=known.get("epochs", epoch),
            score=score,
            forecast=known.get("forecast", math.nan),
            best=self._best.get(target, math.nan),
            seed=self._plan.provenance.seed,
            cause=cause,
        )


@contextmanager
def told(plan: Plan, record: TrialRecord, listeners: Sequence[OnTrial]) -> Iterator[None]:
    """Call each listener with the events while the block runs, in a separate thread, and with the remaining ones at its end.

    A listener that fails is logged and not called again; trainings are not affected.
    """
    if not listeners:
        yield
        return
    watcher, open_ones = Watcher(plan, record), list(listeners)

    def tell() -> None:
        for event in watcher.look():
            for listener in list(open_ones):
                try:
                    listener(event)
                except Exception as error:  # a user's function may raise any error
                    open_ones.remove(listener)
                    log.warning("on_trial %r failed and is not called again: %s", listener, reason(error))

    def look() -> None:
        try:
            tell()
        except (sa.exc.SQLAlchemyError, optuna.exceptions.OptunaError) as error:  # busy; the next look sees these events, too
            log.info("trials could not be read: %s", reason(error))

    try:
        with repeated(look, LOOK_SECONDS, "trials", at_end=record.end_thread):
            yield
    finally:
        try:
            tell()
        except (sa.exc.SQLAlchemyError, optuna.exceptions.OptunaError) as error:
            log.warning("the last trials could not be read: %s", reason(error))
