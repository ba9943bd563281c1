"""Parquet; the line in error messages is the row number, counted from 1."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from transfercast.core.errors import InputError
from transfercast.core.files import reason
from transfercast.tasks.readers import MOST_ROWS, Record, check_header, missing_column


def read(path: Path, columns: tuple[str, ...]) -> list[Record]:
    """The named columns of a Parquet file's rows."""
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            _check(path, names, file.metadata.num_rows, columns)
            table = file.read(columns=list(columns))
        values = [_values(path, name, table.column(name)) for name in columns]
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{path}: not a Parquet file that can be read ({reason(error)}). Write it anew.") from error
    return [Record(number, dict(zip(columns, row, strict=True))) for number, row in enumerate(zip(*values, strict=True), 1)]


def _check(path: Path, names: list[str], rows: int, columns: tuple[str, ...]) -> None:
    check_header(str(path), names)
    for column in columns:
        if column not in names:
            raise missing_column(str(path), column, names)
    if rows > MOST_ROWS:
        raise InputError(f"{path}: {rows:,} rows; at most {MOST_ROWS:,} are read. Keep a sample.")


def _values(path: Path, name: str, column: pa.ChunkedArray) -> list[Any]:
    try:
        return list(column.to_pylist())
    except UnicodeDecodeError as error:
        row = next(number for number, value in enumerate(column, start=1) if not _is_text(value))
        raise InputError(f"{path}, line {row}: column {name!r} is not UTF-8. Fix or remove the row.") from error


def _is_text(value: pa.Scalar) -> bool:
    try:
        value.as_py()
    except UnicodeDecodeError:
        return False
    return True
