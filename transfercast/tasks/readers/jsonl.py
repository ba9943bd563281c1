"""JSON lines: one object a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transfercast.core.errors import InputError
from transfercast.core.files import reason
from transfercast.tasks.readers import Record, decoded


def read(path: Path) -> list[Record]:
    """Rows of a JSON-lines file; blank lines are skipped."""
    return [
        Record(line, _object(f"{path}, line {line}", text))
        for line, text in enumerate(decoded(path).split("\n"), start=1)
        if text.strip()
    ]


def _object(where: str, text: str) -> dict[str, Any]:
    try:
        values = json.loads(text, object_pairs_hook=_each_once)
        if "\\u" in text:
            json.dumps(values, ensure_ascii=False).encode()
    except _DoubledKeyError as error:
        raise InputError(f"{where}: key {error} stands twice. Rename or remove one.") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: not JSON ({error.msg}, column {error.colno}). Fix the line.") from error
    except RecursionError as error:
        raise InputError(f"{where}: nested too deeply. Keep texts and labels only.") from error
    except UnicodeEncodeError as error:
        half = rf"\u{ord(error.object[error.start]):04x}"
        raise InputError(f"{where}: holds {half}, which is half a character. Fix or remove the line.") from error
    except ValueError as error:  # a number of thousands of digits
        raise InputError(f"{where}: not readable ({reason(error)}). Fix the line.") from error
    if not isinstance(values, dict):
        raise InputError(f"{where}: found {type(values).__name__}, expected one JSON object a line.")
    return values


class _DoubledKeyError(ValueError):
    pass


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        raise _DoubledKeyError(repr(next(name for name in names if names.count(name) > 1)))
    return values
