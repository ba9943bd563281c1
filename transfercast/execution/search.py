"""Running a plan's trainings, resumable and by several processes."""

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

    Start it again after a kill, or in several processes at once: every step is run once. A step that fails is reported in the
    result and tried again by the next start; the others go on.

    Args:
        plan: from `transfercast.plan` or `Plan.load`.
        storage: of Optuna: a database URL, or the path of an SQLite file.
        history: where observations go; by default the same database, which must then be SQLite or PostgreSQL.
        jobs: trainings at a time, a process each, which share the cores; the best models and scores do not depend on it. By
            default as `joblib.parallel_config` says, which also picks the backend, else one.
        device: cpu, cuda, mps; None takes the best there is, and where there are several GPUs one for each process.
        stop: which trials are stopped before their last epoch: `learned` those that are unlikely to end above the best of
            their target; `median`, `halving` and `hyperband` as Optuna's pruners of these names say, or any pruner.
        stop_level: of `learned`, the probability below which a trial is stopped.
        trial_minutes: a training that takes longer fails after the epoch that it is at.
        repeat_leaders: where trainings of a target lie within a standard error of its best, at most so many of them, the best
            included, are trained once more with the next seed; the highest mean of both is then the best.
        on_trial: called with a `TrialEvent` when a trial of this plan starts, has done an epoch, or ends, wherever it runs; in
            a thread, about once a second. `execution.trackers` has such functions for MLflow and Weights & Biases.

    Raises:
        InputError: before any training, if the plan is not whole, if the pool or a task is no longer what the plan was made
            for, or if a database cannot be opened.
        TransfercastError: if a database fails during the search, or a process is killed; finished trainings are kept.
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
    """Run the steps of a setting's plan, and tell what they gave."""
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
    """What a process must know to take part in a search.

    Attributes:
        id: of this call of `search`.
        plan, device, pruner, trial_minutes: as there.
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
"""Of this process, by the id of the search, so that inputs are read and checked once for all steps."""


def _run_all(worker: Worker, setting: _Setting, jobs: int | None) -> None:
    """Run steps, in this process or in others, and wait for those that others run, until all are closed."""
    turns = [(setting, turn) for turn in range(len(setting.plan.steps) + len(worker.tests))]
    for causes in progress(in_parallel(_run_next, turns, jobs), "trials", total=len(turns)):
        worker.causes |= causes


def _run_next(setting: _Setting, turn: int) -> dict[int, str]:
    """Run the next step that nobody runs, once there is one; why it failed, where it did, by its position."""
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
    """Tell of a database that fails in the block in one line."""
    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        cause = error.__cause__ or error  # Optuna wraps what SQLAlchemy raised, and that what the driver did
        raise TransfercastError(
            f"{redacted(url)}: the database failed during the search ({redacted(reason(cause))}). Finished trainings are "
            f"kept: when it works again, start the search again."
        ) from error
