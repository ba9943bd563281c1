"""Descriptions of feature columns, and which of two descriptions of a column is in force."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import sqlalchemy as sa
from pydantic import ValidationError

from transfercast.core.errors import ArtifactError, InputError
from transfercast.core.records import RESERVED, checked_feature
from transfercast.core.table import Column
from transfercast.core.validation import problems
from transfercast.core.validation import shown as shown_value
from transfercast.history.frames import recorded
from transfercast.history.tables import COLUMNS, OBSERVATIONS


def in_force(described: Iterable[Column], newer: Iterable[Column]) -> dict[str, Column]:
    """All columns by name; a description of a higher version replaces one of a lower version.

    Args:
        described: the known descriptions.
        newer: new descriptions; one of a lower version than the known one changes nothing.

    Raises:
        InputError: if two descriptions of the same version contradict one another.
    """
    columns = {column.name: column for column in described}
    for column in newer:
        known = columns.get(column.name)
        columns[column.name] = column if known is None else _of_two(known, column)
    return columns


def described(connection: sa.Connection, shown: str) -> dict[str, Column]:
    """The columns that were described in a history, by name.

    Raises:
        ArtifactError: if a description is damaged.
    """
    columns = {}
    for row in connection.execute(sa.select(COLUMNS).order_by(COLUMNS.c.name)).mappings():
        if row["name"] in RESERVED:  # earlier versions accepted such names; features with them are ignored
            continue
        try:
            columns[str(row["name"])] = Column.model_validate(dict(row))
        except ValidationError as error:
            raise ArtifactError(
                f"{shown}: the description of column {row['name']!r} is damaged: {problems(error, Column)}. Describe it anew: "
                "transfercast history describe NAME:higher:GROUP --history ..."
            ) from error
    return columns


def describe(connection: sa.Connection, shown: str, columns: Sequence[Column], replace: bool = False) -> None:
    """Record descriptions of columns, inside a writer's transaction; see `History.describe`.

    Raises:
        InputError: if a name cannot be a feature's, or a column contradicts what was described.
    """
    for column in columns:
        try:
            checked_feature(column.name)
        except ValueError as error:
            raise InputError(f"column {shown_value(column.name)}: {error}.") from error
    versions = {row.name: row.version for row in connection.execute(sa.select(COLUMNS.c.name, COLUMNS.c.version))}
    if replace:
        connection.execute(sa.delete(COLUMNS).where(COLUMNS.c.name.in_([column.name for column in columns])))
    before = described(connection, shown)
    after = in_force(before.values(), columns)
    _keep_versions(connection, shown, {n: old for n, old in versions.items() if n in after and old < after[n].version})
    changed = [column for name, column in after.items() if before.get(name) != column]
    if changed:
        connection.execute(sa.delete(COLUMNS).where(COLUMNS.c.name.in_([column.name for column in changed])))
        connection.execute(sa.insert(COLUMNS), [column.model_dump() for column in changed])


def _keep_versions(connection: sa.Connection, shown: str, old: dict[str, int]) -> None:
    """Store the version with features that were recorded without one, before the version of their column is raised."""
    changes = []
    for row in recorded(connection, shown) if old else ():
        missing = {name: old[name] for name in row.features if name in old and name not in row.versions}
        if missing:
            changes.append({"key": row.fields["run_key"], "filled": {**row.versions, **missing}})
    if changes:
        changed = sa.update(OBSERVATIONS).where(OBSERVATIONS.c.run_key == sa.bindparam("key"))
        connection.execute(changed.values(versions=sa.bindparam("filled")), changes)


def _of_two(known: Column, said: Column) -> Column:
    if known.version != said.version:
        return max(known, said, key=lambda column: column.version)
    if _says_nothing(said) or said == known:
        return known
    if _says_nothing(known):
        return said
    clash = [name for name in ("better", "group") if getattr(known, name) != getattr(said, name)]
    if clash == ["better"] and "unknown" in (known.better, said.better):
        return known if said.better == "unknown" else said
    if not clash and (known.measure == known.name or said.measure == said.name):  # one names no measure
        return known if said.measure == said.name else said
    if clash or known.measure != said.measure:
        raise InputError(
            f"column {said.name!r} is described as {_meaning(known)}, and now as {_meaning(said)}. If the first is "
            f"wrong: transfercast history describe '{said.name}:{said.better}:{said.group}' --history ..."
        )
    return said


def _says_nothing(column: Column) -> bool:
    return (column.measure, column.better, column.group) == (column.name, "unknown", "data")


def _meaning(column: Column) -> str:
    return f"'{column.better}' of {column.group} (measure {column.measure}, version {column.version})"
