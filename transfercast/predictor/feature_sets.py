"""Feature sets: the columns that a predictor learns from."""

from __future__ import annotations

from collections.abc import Sequence

from transfercast.core.errors import InputError
from transfercast.core.table import Column

FEATURE_SETS: dict[str, tuple[str, ...] | None] = {
    "f1": ("single-task scores",),
    "f1+ansat": ("single-task scores", "attribution"),
    "all": None,
}
"""Evidence groups of each feature set; None stands for all columns and the history."""


def columns_of(schema: Sequence[Column], features: str) -> tuple[Column, ...]:
    """The columns of a feature set.

    Args:
        schema: columns to choose from.
        features: a key of FEATURE_SETS, or names of groups, measures or columns, separated by commas.

    Raises:
        InputError: if a name is none of these.
    """
    if features in FEATURE_SETS:
        groups = FEATURE_SETS[features]
        return tuple(column for column in schema if groups is None or column.group in groups)
    names = _named(features)
    for name in names:
        if name != "history" and not any(name in (column.group, column.measure, column.name) for column in schema):
            known = ", ".join([*FEATURE_SETS, "history", *sorted({column.group for column in schema})])
            raise InputError(f"features {name!r}: no such set, group, measure or column. Known are {known}.")
    return tuple(column for column in schema if {column.group, column.measure, column.name} & set(names))


def _named(features: str) -> list[str]:
    return [name.strip() for name in features.split(",")]


def uses_history(features: str) -> bool:
    """Whether a feature set includes the history, the outcomes of other targets."""
    return FEATURE_SETS[features] is None if features in FEATURE_SETS else "history" in _named(features)
