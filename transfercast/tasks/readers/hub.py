"""Data sets of the Hugging Face hub, or a local folder laid out like one. Needs the extra `hub`; runs no remote code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transfercast.core.errors import InputError, MissingExtraError
from transfercast.core.files import reason
from transfercast.tasks.readers import MOST_ROWS, Record, missing_column


def read(name: str, config: str | None, split: str, columns: tuple[str, ...]) -> tuple[Record, ...]:
    """The named columns of one split's rows; class numbers, also in lists, are turned into their names.

    Raises:
        MissingExtraError: if `datasets` is not installed.
        InputError: if the data set, its configuration, the split or a column cannot be loaded.
    """
    try:
        from datasets import ClassLabel, load_dataset
    except ImportError as error:
        raise MissingExtraError("data sets of the hub need: pip install 'transfercast[hub]'.") from error
    where = f"hub data set {name!r}" + (f" ({config})" if config else "") + f", split {split!r}"
    try:
        data = load_dataset(name, config, split=split)
    except Exception as error:  # hub client, file readers and Arrow share no base class; the cause stays attached
        raise InputError(
            f"{where}: {type(error).__name__}: {reason(error)}. Check the name, the network and your login."
        ) from error
    for column in columns:
        if column not in data.column_names:
            raise missing_column(where, column, data.column_names)
    if len(data) > MOST_ROWS:
        raise InputError(f"{where}: {len(data):,} rows; at most {MOST_ROWS:,} are read. Say split 'NAME[:100000]' for fewer.")
    data = data.select_columns(list(columns))
    decoders = {column: _decoder(data.features[column], ClassLabel) for column in columns}
    return tuple(
        Record(number, {column: decoders[column](value) for column, value in values.items()})
        for number, values in enumerate(data, start=1)
    )


def _decoder(feature: Any, class_label: Any) -> Callable[[Any], Any]:
    """How to turn a column's values into names: class numbers, lists of them, or neither. -1 stands for no label."""
    if isinstance(feature, class_label):
        return lambda value: feature.int2str(value) if value is not None and value >= 0 else None
    inner = getattr(feature, "feature", None)
    if isinstance(inner, class_label):
        one = _decoder(inner, class_label)
        return lambda values: None if values is None else [one(value) for value in values]
    return lambda value: value
