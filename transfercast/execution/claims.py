"""Claims: each step of a plan is run by one worker only, and the step of a dead worker can be claimed again at once.

Optuna's queue gave the same step to several workers on SQLite, and its heartbeat replaced a killed step by a random
one, so claims are kept in a table of our own. On this machine an owner is alive while its process runs; on another
machine, while its heartbeat is recent (see `core.owners` for the identity of machines).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import sqlalchemy as sa

from transfercast.core.owners import is_alive, owner_id
from transfercast.execution.repeated import repeated
from transfercast.history.database import insert_or_ignore
from transfercast.history.tables import STEPS

log = logging.getLogger(__name__)

PLANNED, RUNNING, DONE, FAILED = "planned", "running", "done", "failed"

BEAT_SECONDS = 15.0
SILENT_SECONDS = 120.0


def owner_works(owner: str, heartbeat: float | None) -> bool:
    """Whether a step's owner still works on it.

    A process may continue after its search ended without releasing the step (if its database was gone). So for this process
    itself, as for owners on other machines, the heartbeat decides.
    """
    alive = None if owner == owner_id() else is_alive(owner)
    if alive is None:
        return heartbeat is not None and time.time() - heartbeat < SILENT_SECONDS
    return alive


def enter(engine: sa.Engine, plan: str, positions: Sequence[int], used_by: Mapping[int, int] | None = None) -> None:
    """Record a plan's steps; recorded ones keep their state, except that failed ones are tried again.

    Args:
        engine: engine of the history's database.
        plan: id of the plan.
        positions: positions of its steps.
        used_by: for a step, the step that uses its result, and is run again with it.
    """
    with engine.begin() as connection:
        for position in positions:
            row = {"plan": plan, "position": position, "state": PLANNED}
            connection.execute(insert_or_ignore(engine, STEPS, row))
        of_plan = STEPS.c.plan == plan
        failed = connection.execute(sa.select(STEPS.c.position).where(of_plan, STEPS.c.state == FAILED)).scalars().all()
        anew = {*failed, *((used_by or {}).get(position, position) for position in failed)}
        idle = STEPS.c.state.in_((FAILED, DONE))
        again = sa.update(STEPS).where(of_plan, STEPS.c.position.in_(anew), idle).values(state=PLANNED, owner=None)
        connection.execute(again)


def claim(engine: sa.Engine, plan: str, last: Sequence[int] = ()) -> int | None:
    """Claim the first step that no living worker runs; None if there is none at present.

    The update succeeds only if the row has not changed since it was read; if two workers try, one takes the next step.

    Args:
        engine: engine of the history's database.
        plan: id of the plan.
        last: positions that may only be claimed when all others are finished.

    Returns:
        The step's position.
    """
    steps = states(engine, plan)
    waiting = any(step.state in (PLANNED, RUNNING) for step in steps if step.position not in last)
    for step in steps:
        if step.state in (DONE, FAILED) or (step.position in last and waiting):
            continue
        if step.state == RUNNING and owner_works(step.owner, step.heartbeat):
            continue
        unchanged = sa.and_(
            STEPS.c.plan == plan,
            STEPS.c.position == step.position,
            STEPS.c.state == step.state,
            STEPS.c.owner.is_not_distinct_from(step.owner),
        )
        taken = sa.update(STEPS).where(unchanged).values(state=RUNNING, owner=owner_id(), heartbeat=time.time())
        with engine.begin() as connection:
            if connection.execute(taken).rowcount == 1:
                return int(step.position)
    return None


def states(engine: sa.Engine, plan: str) -> Sequence[sa.Row[tuple[object, ...]]]:
    """All steps of a plan, by position."""
    with engine.connect() as connection:
        return connection.execute(sa.select(STEPS).where(STEPS.c.plan == plan).order_by(STEPS.c.position)).all()


def at_work(engine: sa.Engine, plan: str) -> set[int]:
    """Positions of the steps that a living worker runs."""
    running = (step for step in states(engine, plan) if step.state == RUNNING)
    return {int(step.position) for step in running if owner_works(step.owner, step.heartbeat)}


def update(engine: sa.Engine, plan: str, position: int, **values: object) -> None:
    """Change columns of a step that this process owns; a step that another worker has claimed since is not changed."""
    which = sa.and_(STEPS.c.plan == plan, STEPS.c.position == position, STEPS.c.owner == owner_id())
    with engine.begin() as connection:
        connection.execute(sa.update(STEPS).where(which).values(**values))


def finished(engine: sa.Engine, plan: str) -> bool:
    """Whether every step is done or failed."""
    return all(step.state in (DONE, FAILED) for step in states(engine, plan))


@contextmanager
def heartbeat(engine: sa.Engine, plan: str, position: int) -> Iterator[None]:
    """Renew the heartbeat of a step while the block runs, so that workers on other machines see that its owner lives."""

    def beat() -> None:
        try:
            update(engine, plan, position, heartbeat=time.time())
        except sa.exc.SQLAlchemyError as error:  # a busy database; if it is gone, the step's own writes fail
            log.info("step %d: no heartbeat: %s", position, error)

    with repeated(beat, BEAT_SECONDS, f"heartbeat of step {position}"):
        yield
