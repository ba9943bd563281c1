"""Pages of observations, and the gains of sources on targets, without reading all features."""

from __future__ import annotations

from typing import Any, NamedTuple

import sqlalchemy as sa

from transfercast.core.records import ALONE
from transfercast.history.tables import OBSERVATIONS, STEPS

_LISTED = ("source", "target", "recipe", "encoder", "seed", "metric", "split", "score", "hours", "finished_at")
_SAME = ("target", "target_fingerprint", "encoder", "metric", "split")
"""Fields in which observations must agree for their scores to be compared."""


class Listing(NamedTuple):
    """A page of observations, and the number of all; `baseline` is the mean score of the target trained alone, or None."""

    rows: list[dict[str, Any]]
    total: int


def listing(connection: sa.Connection, words: str, offset: int, limit: int) -> Listing:
    """Observations, the latest first.

    Args:
        connection: to the history.
        words: part of the name of the source or target; empty takes all.
        offset, limit: number of the first observation, and number of observations.
    """
    columns = OBSERVATIONS.c
    where = columns.source.contains(words, autoescape=True) | columns.target.contains(words, autoescape=True)
    total = connection.execute(sa.select(sa.func.count()).select_from(OBSERVATIONS).where(where)).scalar_one()
    alone = _alone()
    same = sa.and_(*(alone.c[name] == columns[name] for name in _SAME))
    query = (
        sa.select(*(columns[name] for name in _LISTED), alone.c.baseline)
        .select_from(OBSERVATIONS.outerjoin(alone, same))
        .where(where)
        .order_by(columns.id.desc())
        .offset(offset)
        .limit(limit)
    )
    return Listing([dict(row) for row in connection.execute(query).mappings()], total)


def gains(connection: sa.Connection) -> list[dict[str, Any]]:
    """Mean gain of each source on each target over the target alone, on validation, and the number of its trainings."""
    columns, alone = OBSERVATIONS.c, _alone()
    same = sa.and_(*(alone.c[name] == columns[name] for name in _SAME))
    query = (
        sa.select(
            columns.source, columns.target,
            sa.func.avg(columns.score - alone.c.baseline).label("gain"), sa.func.count().label("trainings"),
        )
        .select_from(OBSERVATIONS.join(alone, same))
        .where(columns.source != ALONE, columns.split == "validation")
        .group_by(columns.source, columns.target)
        .order_by(columns.source, columns.target)
    )  # fmt: skip
    return [dict(row) for row in connection.execute(query).mappings()]


def step_states(connection: sa.Connection) -> dict[str, dict[int, str]]:
    """State of each step of each plan that was searched with this history, by plan and position."""
    found: dict[str, dict[int, str]] = {}
    for plan, position, state in connection.execute(sa.select(STEPS.c.plan, STEPS.c.position, STEPS.c.state)):
        found.setdefault(plan, {})[position] = state
    return found


def _alone() -> sa.Subquery:
    columns = OBSERVATIONS.c
    keys = [columns[name] for name in _SAME]
    return (
        sa.select(*keys, sa.func.avg(columns.score).label("baseline"))
        .where(columns.source == ALONE)
        .group_by(*keys)
        .subquery("alone")
    )
