"""Data sets of the Hugging Face hub, or a local folder laid out like one. Needs the extra `hub`; runs no remote code."""

from __future__ import annotations

from transfercast.core.errors import InputError, MissingExtraError
from transfercast.tasks.readers import Record


def read(name: str, config: str | None, split: str) -> tuple[Record, ...]:
    """Rows of one split; class numbers are turned into their names.

    Raises:
        MissingExtraError: if `datasets` is not installed.
        InputError: if the data set, its configuration or the split cannot be loaded.
    """
    try:
        from datasets import ClassLabel, load_dataset
    except ImportError as error:
        raise MissingExtraError("data sets of the hub need: pip install 'transfercast[hub]'.") from error
    where = f"hub data set {name!r}" + (f" ({config})" if config else "") + f", split {split!r}"
    try:
        data = load_dataset(name, config, split=split)
    except Exception as error:  # hub client, file readers and Arrow share no base class; the cause stays attached
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise InputError(f"{where}: {reason}. Check the name, the network and your login.") from error
    classes = {column: feature for column, feature in data.features.items() if isinstance(feature, ClassLabel)}
    rows = []
    for number, values in enumerate(data, start=1):
        named = {column: feature.int2str(values[column]) for column, feature in classes.items() if values[column] >= 0}
        rows.append(Record(number, {**values, **named}))
    return tuple(rows)
