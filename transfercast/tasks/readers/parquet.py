"""Parquet; the line told in errors is the row number, counted from 1."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from transfercast.core.errors import InputError
from transfercast.tasks.readers import Record


def read(path: Path) -> list[Record]:
    """Rows of a Parquet file."""
    try:
        rows = pq.read_table(path).to_pylist()
    except pa.ArrowInvalid as error:
        raise InputError(f"{path}: not a Parquet file. Say format = '...' if it is something else.") from error
    return [Record(number, values) for number, values in enumerate(rows, start=1)]
