"""Import observations from CSV and Parquet files; all rows are checked before any is recorded.

Columns `source, target, score` are needed. `metric, recipe, encoder, seed, split, hours, device, finished_at,
source_fingerprint, target_fingerprint, run_key, versions` have defaults. Every other column is a feature and must hold
numbers or be empty. Two rows of the same run (all but score, hours, device, finished_at and features equal) with different
scores or features are refused: their seeds differ and must be given, or one of them is a mistake.
"""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from transfercast.core.errors import InputError
from transfercast.core.files import reason
from transfercast.core.records import RESERVED, Observation
from transfercast.core.validation import problems, shown
from transfercast.history.rows import RecordedRow

NEEDED = ("source", "target", "score")
MOST_PROBLEMS = 10
_FIELDS = frozenset(RecordedRow.model_fields) - {"features"}
_NUMBERS = frozenset({"score", "hours", "seed", "versions"})


class Table(NamedTuple):
    """A file's columns and its rows, each with its place: `line 3`, or `row 3` of a Parquet file."""

    columns: list[str]
    rows: Iterator[tuple[str, dict[str, Any]]]


def observations_of(path: Path, described: Iterable[str] = ()) -> list[Observation]:
    """All rows of a CSV or Parquet file as observations, each run once.

    Args:
        path: of the file.
        described: feature columns that must be in it.

    Raises:
        InputError: listing up to ten mistakes by line of CSV or row of Parquet.
    """
    table = _table(path)
    features = [name for name in table.columns if name not in _FIELDS]
    absent = [name for name in described if name not in features]
    if absent:
        raise InputError(f"{path}: no feature column {absent[0]!r}; there are {', '.join(features) or 'none'}.")
    runs: dict[str, tuple[str, Observation]] = {}
    mistakes = []
    for where, cells in table.rows:
        try:
            observation = _observation(cells, features)
            first, same = runs.setdefault(observation.run_key, (where, observation))
            _refuse_other(observation, same, first)
        except InputError as error:
            mistakes.append(f"{path}, {where}: {error}")
    if mistakes:
        told = [mistake.rstrip(".") for mistake in mistakes[:MOST_PROBLEMS]]
        told += [f"and {len(mistakes) - MOST_PROBLEMS} more"] if len(mistakes) > MOST_PROBLEMS else []
        raise InputError(f"{'; '.join(told)}. Nothing was imported; fix these rows.")
    return [observation for _, observation in runs.values()]


def _table(path: Path) -> Table:
    ending = path.suffix.lower()
    if ending not in (".csv", ".parquet"):
        raise InputError(f"{path}: observations are read from .csv or .parquet files; {path.suffix!r} is neither.")
    if not path.is_file():
        raise InputError(f"{path}: no such file.")
    try:
        table = _parquet(path) if ending == ".parquet" else _csv(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({reason(error)}).") from error
    _check_header(path, table.columns)
    return table


def _check_header(path: Path, columns: list[str]) -> None:
    missing = [name for name in NEEDED if name not in columns]
    if missing:
        raise InputError(f"{path}: no column {missing[0]!r}; needed are {', '.join(NEEDED)}. Add it to the header.")
    doubled = [name for name, count in Counter(columns).items() if count > 1]
    if doubled:
        raise InputError(f"{path}: column {doubled[0]!r} stands twice in the header. Rename one, or leave it out.")
    if "" in columns:
        raise InputError(f"{path}: column {columns.index('') + 1} has no name. Name it, or leave it out.")
    if "baseline" in columns:
        raise InputError(
            f"{path}: column 'baseline' cannot be a feature: it is worked out from targets trained alone. Give these as rows "
            "of their own with the source (alone), and leave the column out."
        )
    reserved = [name for name in columns if name in RESERVED - _FIELDS]
    if reserved:
        raise InputError(f"{path}: column {reserved[0]!r} cannot be a feature: that name is taken. Rename it.")


def _csv(path: Path) -> Table:
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}, line {line}: not UTF-8 (byte 0x{content[error.start]:02x}). Save the file as UTF-8."
        ) from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows = _lines(path, reader)
    _, columns = next(rows, (0, []))
    return Table([name.strip() for name in columns], _named_cells(path, columns, rows))


def _lines(path: Path, reader: Any) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not blank, each with the number of its first line."""
    line = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{path}, line {line}: {error}. Check the quotes from there on; nothing was imported.") from error


def _named_cells(path: Path, columns: list[str], rows: Iterator[tuple[int, list[str]]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for line, cells in rows:
        if len(cells) != len(columns):
            raise InputError(
                f"{path}, line {line}: {len(cells)} values for {len(columns)} columns. Quote a value that holds a comma; "
                "nothing was imported."
            )
        yield f"line {line}", dict(zip((name.strip() for name in columns), cells, strict=True))


def _parquet(path: Path) -> Table:
    try:
        table = pq.read_table(path)
        rows = table.to_pylist()
    except (OSError, ValueError, pa.ArrowException) as error:  # damaged, doubled columns, not UTF-8
        raise InputError(f"{path}: not readable as Parquet ({reason(error)}).") from error
    return Table(table.column_names, ((f"row {number}", row) for number, row in enumerate(rows, start=1)))


def _observation(cells: dict[str, Any], features: list[str]) -> Observation:
    fields = {name: _cell(name, cells[name]) for name in _FIELDS if name in cells and not _is_missing(cells[name])}
    empty = [name for name in NEEDED if name not in fields]
    if empty:
        raise InputError(f"{empty[0]} is empty.")
    fields["features"] = {name: cells[name] for name in features if not _is_missing(cells[name])}
    try:
        return RecordedRow.model_validate(fields).observation()
    except ValidationError as error:
        raise InputError(f"{problems(error, RecordedRow)}.") from error


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value)) or (isinstance(value, str) and not value.strip())


def _cell(name: str, value: Any) -> Any:
    if isinstance(value, bytes):
        raise InputError(f"{name} is {shown(value)}, which is bytes and not text.")
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bytes):
        raise InputError(f"{name}: Input should be text (found {shown(value)}).")
    is_text = name not in _NUMBERS and isinstance(value, int | float | date)
    return str(value) if is_text else value


def _refuse_other(observation: Observation, same: Observation, first: str) -> None:
    if observation.identity() != same.identity():
        raise InputError(f"its run_key {observation.run_key!r} is that of {first}, which is another run. Leave run_key out.")
    if observation.score != same.score:
        raise InputError(f"the same run as {first}, with score {observation.score} instead of {same.score}; give seeds.")
    if observation.features != same.features:
        raise InputError(f"the same run as {first}, with other features; leave one out.")
