"""Observations from CSV and Parquet files of others, checked whole before anything is kept.

Columns `source, target, score` are needed. `metric, recipe, encoder, seed, split, hours, device, finished_at,
source_fingerprint, target_fingerprint, run_key` have defaults. Every other column is a feature and must hold numbers or
be empty. Two rows of the same run (all but score, hours, device, finished_at and features equal) with different scores are
refused: they are other seeds, or a mistake.
"""

from __future__ import annotations

import csv
import math
from dataclasses import fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from transfercast.core.errors import InputError
from transfercast.core.records import Observation

_DEFAULTS: dict[str, Any] = {
    "metric": "positive_f1", "recipe": "unknown", "encoder": "unknown", "seed": 0, "split": "validation", "hours": 0.0,
    "device": "unknown", "finished_at": "", "source_fingerprint": "", "target_fingerprint": "", "run_key": "",
}  # fmt: skip
_NEEDED = ("source", "target", "score")
_NUMBERS = {"score": float, "hours": float, "seed": int}
MOST_PROBLEMS = 10


def observations_of(path: Path) -> list[Observation]:
    """All rows of a CSV or Parquet file as observations.

    Raises:
        InputError: listing up to ten mistakes by row; rows count from 1 in Parquet, and as lines in CSV.
    """
    header, rows = _parquet(path) if path.suffix == ".parquet" else _csv(path)
    missing = [name for name in _NEEDED if name not in header]
    if missing:
        raise InputError(f"{path}: no column {missing[0]!r}; needed are {', '.join(_NEEDED)}. Add it to the header.")
    known = {field.name for field in fields(Observation)}
    features = [name for name in header if name not in known]
    found: dict[str, tuple[int, Observation]] = {}
    problems = []
    for number, row in enumerate(rows, start=1 if path.suffix == ".parquet" else 2):
        try:
            one = _observation(row, features)
            first, same = found.setdefault(one.run_key, (number, one))
            if same.score != one.score:
                raise ValueError(f"the same run as row {first}, with score {one.score} instead of {same.score}; give seeds.")
        except (InputError, ValueError) as error:
            problems.append(f"{path}, row {number}: {error}")
    if problems:
        more = f"\n... and {len(problems) - MOST_PROBLEMS} more" if len(problems) > MOST_PROBLEMS else ""
        raise InputError("\n".join(problems[:MOST_PROBLEMS]) + more + "\nNothing was imported; fix these rows.")
    return [one for _, one in found.values()]


def _csv(path: Path) -> tuple[list[str], list[dict[str, str | None]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            return list(reader.fieldnames or []), list(reader)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}.") from error


def _parquet(path: Path) -> tuple[list[str], list[dict[str, str | None]]]:
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{path}: not readable as Parquet ({str(error).splitlines()[0]}).") from error
    rows = [{name: None if _missing(value) else str(value) for name, value in row.items()} for row in table.to_pylist()]
    return table.column_names, rows


def _missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _observation(row: dict[str, str | None], features: list[str]) -> Observation:
    values: dict[str, Any] = {}
    for name in (*_NEEDED, *_DEFAULTS):
        text = (row.get(name) or "").strip()
        if not text and name in _NEEDED:
            raise ValueError(f"{name} is empty.")
        values[name] = _number(name, text, _NUMBERS.get(name, str)) if text else _DEFAULTS[name]
    measured = {name: _number(name, row[name] or "", float) for name in features if (row[name] or "").strip()}
    return Observation(**values, features=measured)


def _number(name: str, text: str, kind: Any) -> Any:
    try:
        return kind(text)
    except ValueError as error:
        raise ValueError(f"{name} is {text!r}, not a number.") from error
