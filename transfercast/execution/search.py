"""Running a plan's trainings, resumable and by several processes."""

from __future__ import annotations

import time
from pathlib import Path

import optuna
from sqlalchemy.exc import SQLAlchemyError

from transfercast.core.errors import TransfercastError
from transfercast.core.files import reason
from transfercast.core.plan import Plan
from transfercast.core.progress import progress
from transfercast.core.text import redacted
from transfercast.execution import claims
from transfercast.execution.checkpoints import CheckpointStore
from transfercast.execution.inputs import PlanInputs
from transfercast.execution.result import SearchResult
from transfercast.execution.study import TrialRecord
from transfercast.execution.worker import Worker
from transfercast.history.store import History

POLL_SECONDS = 0.5


def search(
    plan: Plan,
    storage: str | Path = "sqlite:///history.db",
    *,
    history: str | Path | None = None,
    device: str | None = None,
    pruner: optuna.pruners.BasePruner | None = None,
) -> SearchResult:
    """Run the steps of a plan that are not finished yet, and report on all of them.

    Start it again after a kill, or in several processes at once: every step is run once. A step that fails is reported in the
    result and tried again by the next start; the others go on.

    Args:
        plan: from `transfercast.plan` or `Plan.load`.
        storage: of Optuna: a database URL, or the path of an SQLite file.
        history: where observations go; by default the same database, which must then be SQLite or PostgreSQL.
        device: cpu, cuda, mps; None takes the best there is.
        pruner: an Optuna pruner, asked after each epoch; epochs are scored only where there is one.

    Raises:
        InputError: before any training, if the plan is not whole, if the pool or a task is no longer what the plan was made
            for, or if a database cannot be opened.
        TransfercastError: if a database fails during the search; finished trainings are kept.
    """
    inputs = PlanInputs(plan, device)
    trials_url = str(storage) if "://" in str(storage) else f"sqlite:///{Path(storage).resolve()}"
    past = History(trials_url if history is None else history)
    try:
        past.describe(plan.columns)
        record = TrialRecord(plan, past.url if history is None else trials_url, pruner)
        worker = Worker(plan, inputs, past, record, CheckpointStore(inputs.pool.folder / "searches", plan.id[:12]))
        worker.enter()
        _run_all(worker, plan, past)
        return worker.result()
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        cause = error.__cause__ or error  # Optuna wraps what SQLAlchemy raised, and that what the driver did
        raise TransfercastError(
            f"{redacted(past.url)}: the database failed during the search ({redacted(reason(cause))}). Finished trainings are "
            f"kept: when it works again, start the search again."
        ) from error


def _run_all(worker: Worker, plan: Plan, past: History) -> None:
    """Run steps, and wait for those that others run, until all are closed."""
    for _ in progress(range(len(plan.steps) + len(worker.tests)), "trials"):
        while (position := claims.claim(past.engine, plan.id, list(worker.tests))) is None:
            if claims.finished(past.engine, plan.id):
                return
            time.sleep(POLL_SECONDS)
        worker.run(position)
