"""JSON lines: one object a line."""

from __future__ import annotations

import json
from pathlib import Path

from transfercast.core.errors import InputError
from transfercast.tasks.readers import Record, decoded


def read(path: Path) -> list[Record]:
    """Rows of a JSON-lines file; blank lines are passed over."""
    records = []
    for line, text in enumerate(decoded(path).split("\n"), start=1):
        if not text.strip():
            continue
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(f"{path}, line {line}: not JSON ({error.msg}, column {error.colno}). Fix the line.") from error
        if not isinstance(values, dict):
            raise InputError(f"{path}, line {line}: found {type(values).__name__}, expected one JSON object a line.")
        records.append(Record(line, values))
    return records
