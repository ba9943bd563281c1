"""Data sets of the Hugging Face hub, or a local folder laid out like one. Needs the extra `hub`; runs no remote code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transfercast.core.errors import InputError, MissingExtraError
from transfercast.core.files import reason
from transfercast.tasks.readers import MOST_ROWS, Record, missing_column


def load(name: str, config: str | None, split: str) -> Any:
    """One split of a data set, a `datasets.Dataset`.

    Raises:
        MissingExtraError: if `datasets` is not installed.
        InputError: if the data set, its configuration or the split cannot be loaded.
    """
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise MissingExtraError("data sets of the hub need: pip install 'transfercast[hub]'.") from error
    try:
        return load_dataset(name, config, split=split)
    except Exception as error:  # hub client, file readers and Arrow: no common base class
        what = f"{type(error).__name__}: {reason(error)}"
        raise InputError(f"{place_of(name, config, split)}: {what}. Check the name, the network and your login.") from error


def place_of(name: str, config: str | None, split: str) -> str:
    """The name of a split of a data set in messages."""
    return f"hub data set {name!r}" + (f" ({config})" if config else "") + f", split {split!r}"


def rows(data: Any, where: str, columns: tuple[str, ...]) -> tuple[Record, ...]:
    """The named columns of a Dataset's rows; class numbers, also in lists, are turned into their names.

    A nested column is named with a point, as in `tokens.tag`.

    Raises:
        InputError: if a column is missing, or there are too many rows.
    """
    data = _flat(data, columns)
    for column in columns:
        if column not in data.column_names:
            raise missing_column(where, column, data.column_names)
    if len(data) > MOST_ROWS:
        raise InputError(f"{where}: {len(data):,} rows; at most {MOST_ROWS:,} are read. Say split 'NAME[:100000]' for fewer.")
    data = data.select_columns(list(columns))
    decoders = {column: _decoder(data.features[column]) for column in columns}
    return tuple(
        Record(number, {column: decoders[column](value) for column, value in values.items()})
        for number, values in enumerate(data, start=1)
    )


def class_names(data: Any, column: str) -> tuple[str, ...]:
    """Names of the classes that a column's type declares, by number; empty where it declares none."""
    feature = _flat(data, (column,)).features.get(column)
    while hasattr(feature, "feature"):
        feature = feature.feature
    return tuple(getattr(feature, "names", None) or ())


def _flat(data: Any, columns: tuple[str, ...]) -> Any:
    inside = [column for column in columns if column not in data.column_names and column.partition(".")[0] in data.column_names]
    return data.flatten() if inside else data


def _decoder(feature: Any) -> Callable[[Any], Any]:
    """A function that turns a column's class numbers, or lists of them, into names; -1 is no label. Other values stay."""
    if hasattr(feature, "int2str"):
        return lambda value: feature.int2str(value) if value is not None and value >= 0 else None
    if hasattr(feature, "feature"):
        one = _decoder(feature.feature)
        return lambda values: None if values is None else [one(value) for value in values]
    return lambda value: value
