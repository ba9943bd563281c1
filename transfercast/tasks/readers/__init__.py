"""One reader a file format; each gives records with the line they stand on."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from transfercast.core.errors import InputError


class Record(NamedTuple):
    """One row of a file: its line (counted from 1) and its values by column."""

    line: int
    values: dict[str, Any]


ENDINGS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".conll": "conll",
}


def read_records(path: Path, format_name: str | None) -> tuple[Record, ...]:
    """All rows of a file, in the format named or told by the file's ending.

    Raises:
        InputError: if the file is missing, empty, broken or of an unknown ending.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file. Paths in a tasks.toml are taken from the folder it lies in.")
    name = format_name or ENDINGS.get(path.suffix.lower())
    if name is None:
        raise InputError(f"{path}: unknown ending {path.suffix!r}; say format = one of {sorted(set(ENDINGS.values()))}.")
    status = path.stat()
    records = _read(path, name, status.st_mtime_ns, status.st_size)
    if not records:
        raise InputError(f"{path}: no rows. Give a file with at least one labelled row.")
    return records


@lru_cache(maxsize=8)
def _read(path: Path, format_name: str, changed: int, size: int) -> tuple[Record, ...]:
    from transfercast.tasks.readers import conll, delimited, jsonl, parquet

    readers: dict[str, Callable[[Path], list[Record]]] = {
        "csv": delimited.read_csv,
        "tsv": delimited.read_tsv,
        "jsonl": jsonl.read,
        "parquet": parquet.read,
        "conll": conll.read,
    }
    return tuple(readers[format_name](path))


def decoded(path: Path) -> str:
    """The file as text.

    Raises:
        InputError: naming the first line that is not UTF-8.
    """
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}, line {line}: not UTF-8 (byte 0x{content[error.start]:02x}). "
            f"Convert the file, for example: iconv -f latin1 -t utf-8 OLD > NEW."
        ) from error
