"""Run the trainings of a plan, resumable and in several processes."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import optuna
from sqlalchemy.exc import SQLAlchemyError

from transfercast.core.choices import STOP_LEVEL, Stop
from transfercast.core.errors import TransfercastError
from transfercast.core.files import reason
from transfercast.core.parallel import in_parallel
from transfercast.core.plan import Plan
from transfercast.core.progress import progress
from transfercast.core.text import redacted
from transfercast.execution import claims
from transfercast.execution.checkpoints import CheckpointStore
from transfercast.execution.events import OnTrial, told
from transfercast.execution.inputs import PlanInputs
from transfercast.execution.leaders import first_scores, plan_of_leaders, settled
from transfercast.execution.result import SearchResult
from transfercast.execution.stopping import pruner_of
from transfercast.execution.study import TrialRecord, storage_url_of
from transfercast.execution.worker import Worker
from transfercast.history.store import History

POLL_SECONDS = 0.5


def search(
    plan: Plan,
    storage: str | Path = "sqlite:///history.db",
    *,
    history: str | Path | None = None,
    jobs: int | None = None,
    device: str | None = None,
    stop: Stop | optuna.pruners.BasePruner = "none",
    stop_level: float = STOP_LEVEL,
    trial_minutes: float | None = None,
    repeat_leaders: int = 0,
    on_trial: OnTrial | Sequence[OnTrial] = (),
) -> SearchResult:
    """Run the steps of a plan that are not finished yet, and report on all of them.

    It may be started again after a kill, or in several processes at once: every step is run once. A step that fails is reported
    in the result and tried again by the next start; the other steps are run.

    Args:
        plan: from `transfercast.plan` or `Plan.load`.
        storage: storage of Optuna: a database URL, or the path of an SQLite file.
        history: history for observations; by default the same database, which must then be SQLite or PostgreSQL.
        jobs: trainings at a time, in one process each, which share the cores; the best models and scores do not depend on it.
            By default what `joblib.parallel_config` sets, which also sets the backend, else one.
        device: cpu, cuda, mps; None takes the best, and with several GPUs a different one for each process.
        stop: which trials are stopped before their last epoch: with `learned`, those that are unlikely to end above the best
            of their target; with `median`, `halving` or `hyperband`, those that Optuna's pruner stops; or any pruner.
        stop_level: for `learned`, the probability below which a trial is stopped.
        trial_minutes: a training that takes longer fails after its current epoch.
        repeat_leaders: if trainings of a target lie within a standard error of its best, at most so many of them, the best
            included, are repeated with the next seed; the training with the highest mean of both is then the best.
        on_trial: called with a `TrialEvent` when a trial of this plan starts, ends an epoch, or ends, in any process or
            machine; in a thread, about once a second. `execution.trackers` has such functions for MLflow and Weights & Biases.

    Raises:
        InputError: before any training, if the plan is incomplete, if the pool or a task has changed since the plan was made,
            or if a database cannot be opened.
        TransfercastError: if a database fails during the search, or a process is killed; finished trainings are kept.

    Example:
        `pool` is a pool of two sources, and `reviews` a task.

        >>> import transfercast as tc
        >>> table = tc.extract_features(pool, [reviews], only=["logme"], recipe=tc.Recipe(epochs=1))
        >>> plan = tc.plan(tc.Predictor().predict(table), table, tc.Budget(trials=2))
        >>> result = tc.search(plan, "history.db")
        >>> sorted(result.to_frame()["source"])
        ['(alone)', 'help', 'storm']
        >>> result.best.pair.target, result.best.validation == max(result.to_frame()["score"])
        ('reviews', True)
        >>> len(tc.History("history.db").trainings())
        3
    """
    inputs = PlanInputs(plan, device)
    trials_url = storage_url_of(storage)
    past = History(trials_url if history is None else history)
    pruner = pruner_of(stop, stop_level, past.trainings()) if isinstance(stop, str) else stop
    setting = _Setting(
        uuid.uuid4().hex, plan, trials_url if history is not None else past.url, past.url, device, pruner, trial_minutes
    )
    listeners = [on_trial] if callable(on_trial) else on_trial
    with _database_failures(past.url):
        past.describe(plan.columns)
        result = _searched(setting, inputs, past, jobs, listeners)
        leaders = plan_of_leaders(plan, result, repeat_leaders) if repeat_leaders else None
        if leaders is None:
            return result
        second = replace(setting, id=uuid.uuid4().hex, plan=leaders, earlier=first_scores(leaders, result))
        return settled(result, _searched(second, PlanInputs(leaders, device), past, jobs, listeners))


def _searched(
    setting: _Setting, inputs: PlanInputs, past: History, jobs: int | None, listeners: Sequence[OnTrial]
) -> SearchResult:
    """Run the steps of a setting's plan, and return the result."""
    worker = _workers[setting.id] = setting.worker(inputs, past)
    try:
        worker.enter()
        with told(setting.plan, worker.record, listeners):
            _run_all(worker, setting, jobs)
        return worker.result()
    finally:
        del _workers[setting.id]
        worker.record.close()


@dataclass(frozen=True, slots=True)
class _Setting:
    """The data that a process needs to take part in a search.

    Attributes:
        id: id of this call of `search`.
        plan, device, pruner, trial_minutes: as in `search`.
        storage, history: URLs.
        earlier: scores of the plan's steps with another seed, by position.
    """

    id: str
    plan: Plan
    storage: str
    history: str
    device: str | None
    pruner: optuna.pruners.BasePruner
    trial_minutes: float | None
    earlier: Mapping[int, float] = field(default_factory=dict)

    def worker(self, inputs: PlanInputs, history: History) -> Worker:
        """A worker of this process."""
        record = TrialRecord(self.plan, self.storage, self.pruner)
        checkpoints = CheckpointStore(inputs.pool.folder / "searches", self.plan.id[:12])
        return Worker(self.plan, inputs, history, record, checkpoints, self.trial_minutes, self.earlier)


_workers: dict[str, Worker] = {}
"""Workers of this process by the id of the search, so that inputs are read and checked once for all steps."""


def _run_all(worker: Worker, setting: _Setting, jobs: int | None) -> None:
    """Run steps in this process or in several, and wait for those that other searches run, until all are closed."""
    turns = [(setting, turn) for turn in range(len(setting.plan.steps) + len(worker.tests))]
    for causes in progress(in_parallel(_run_next, turns, jobs), "trials", total=len(turns)):
        worker.causes |= causes


def _run_next(setting: _Setting, turn: int) -> dict[int, str]:
    """Wait for a step that nobody runs, and run it; returns the reason of a failure by the step's position."""
    with _database_failures(setting.history):
        if setting.id not in _workers:
            _workers[setting.id] = setting.worker(PlanInputs(setting.plan, setting.device, turn), History(setting.history))
        worker = _workers[setting.id]
        engine, plan = worker.history.engine, setting.plan.id
        while (position := claims.claim(engine, plan, list(worker.tests))) is None:
            if claims.finished(engine, plan):
                return {}
            time.sleep(POLL_SECONDS)
        worker.run(position)
        return {position: worker.causes[position]} if position in worker.causes else {}


@contextmanager
def _database_failures(url: str) -> Iterator[None]:
    """Report a failure of the database in the block in one line."""
    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        cause = error.__cause__ or error  # Optuna wraps SQLAlchemy's error, which wraps the driver's
        raise TransfercastError(
            f"{redacted(url)}: the database failed during the search ({redacted(reason(cause))}). Finished trainings are "
            f"kept: when it works again, start the search again."
        ) from error
