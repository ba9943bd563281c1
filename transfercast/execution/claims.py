"""Turn-taking: each step of a plan is run by one worker only, and a dead worker's step is free again at once.

Optuna's queue handed the same step to several workers on SQLite, and its heartbeat replaced a killed step by a random
one, so the turns are kept in a table of our own. On this machine an owner is alive while its process (known by id and
start time) is; on another machine, while its heartbeat is fresh.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
import sqlalchemy as sa

from transfercast.history.store import insert_or_ignore
from transfercast.history.tables import STEPS

PLANNED, RUNNING, DONE, FAILED = "planned", "running", "done", "failed"

BEAT_SECONDS = 15.0
SILENT_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Claim:
    """A step that this worker has taken; `optuna_number` is the trial of an earlier owner, if there was one."""

    position: int
    optuna_number: int | None


def me() -> str:
    """This process: host, process id, start time."""
    process = psutil.Process()
    return f"{socket.gethostname()}:{process.pid}:{process.create_time():.2f}"


def alive(owner: str, heartbeat: float | None) -> bool:
    """Whether a step's owner still works on it."""
    host, pid, started = owner.rsplit(":", 2)
    if host != socket.gethostname():
        return heartbeat is not None and time.time() - heartbeat < SILENT_SECONDS
    try:
        return abs(psutil.Process(int(pid)).create_time() - float(started)) < 1.0
    except psutil.NoSuchProcess:
        return False


def enter(engine: sa.Engine, plan: str, positions: Sequence[int]) -> None:
    """Write down a plan's steps; those that are there already keep their state, but what failed may be tried again."""
    with engine.begin() as connection:
        for position in positions:
            row = {"plan": plan, "position": position, "state": PLANNED}
            connection.execute(insert_or_ignore(engine, STEPS, row))
        failed = sa.and_(STEPS.c.plan == plan, STEPS.c.state == FAILED)
        connection.execute(sa.update(STEPS).where(failed).values(state=PLANNED, owner=None))


def claim(engine: sa.Engine, plan: str, last: Sequence[int] = ()) -> Claim | None:
    """Take the first step that nobody alive is running; None when there is none to take now.

    The update succeeds only if the row still is as it was read, so that of two workers one goes on to the next.

    Args:
        engine: of the history.
        plan: its id.
        last: positions that may only be taken when all others are finished.
    """
    steps = states(engine, plan)
    waiting = any(step.state in (PLANNED, RUNNING) for step in steps if step.position not in last)
    for step in steps:
        if step.state in (DONE, FAILED) or (step.position in last and waiting):
            continue
        if step.state == RUNNING and alive(step.owner, step.heartbeat):
            continue
        unchanged = sa.and_(
            STEPS.c.plan == plan,
            STEPS.c.position == step.position,
            STEPS.c.state == step.state,
            STEPS.c.owner.is_not_distinct_from(step.owner),
        )
        taken = sa.update(STEPS).where(unchanged).values(state=RUNNING, owner=me(), heartbeat=time.time())
        with engine.begin() as connection:
            if connection.execute(taken).rowcount == 1:
                return Claim(step.position, step.optuna_number)
    return None


def states(engine: sa.Engine, plan: str) -> Sequence[sa.Row[tuple[object, ...]]]:
    """All steps of a plan, by position."""
    with engine.connect() as connection:
        return connection.execute(sa.select(STEPS).where(STEPS.c.plan == plan).order_by(STEPS.c.position)).all()


def update(engine: sa.Engine, plan: str, position: int, **values: object) -> None:
    """Change columns of one step: its state, or the number of its Optuna trial."""
    which = sa.and_(STEPS.c.plan == plan, STEPS.c.position == position)
    with engine.begin() as connection:
        connection.execute(sa.update(STEPS).where(which).values(**values))


def finished(engine: sa.Engine, plan: str) -> bool:
    """Whether every step is done or failed."""
    return all(step.state in (DONE, FAILED) for step in states(engine, plan))


@contextmanager
def beating(engine: sa.Engine, plan: str, position: int) -> Iterator[None]:
    """Renew the heartbeat of a step while the block runs, so that workers elsewhere see that its owner lives."""
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(BEAT_SECONDS):
            update(engine, plan, position, heartbeat=time.time())

    thread = threading.Thread(target=beat, name=f"heartbeat of step {position} ({os.getpid()})", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
