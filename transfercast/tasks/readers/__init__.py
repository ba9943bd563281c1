"""One reader for each file format; each gives records with their line numbers."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from transfercast.core.errors import InputError
from transfercast.core.files import reason
from transfercast.core.validation import shown

MOST_COLUMNS = 10_000
"""Largest number of columns of a file; a wider header is a mistake, such as a file of numbers or of one line."""

MOST_ROWS = 1_000_000
"""Largest number of rows of a Parquet file or a data set of the hub, where few bytes can stand for any number of rows."""


class Record(NamedTuple):
    """One row of a file: its line (counted from 1) and its values by column."""

    line: int
    values: dict[str, Any]


class Sentence(NamedTuple):
    """One sentence of a CoNLL file: its first line, and for each token the token, all its columns, and its line."""

    line: int
    tokens: tuple[str, ...]
    rows: tuple[list[str], ...]
    lines: tuple[int, ...]


ENDINGS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".conll": "conll",
}

_PACKED = {
    b"\x1f\x8b": "is compressed (gzip). Unpack it with gunzip",
    b"PK\x03\x04": "is a zip archive or a spreadsheet (.xlsx). Unpack it, or save it as CSV",
    b"\xfd7zXZ\x00": "is compressed (xz). Unpack it with unxz",
    b"\x28\xb5\x2f\xfd": "is compressed (zstd). Unpack it with unzstd",
    b"BZh91AY&SY": "is compressed (bzip2). Unpack it with bunzip2",
}


def read_records(path: Path, format_name: str | None, columns: tuple[str, ...]) -> tuple[Record | Sentence, ...]:
    """All rows of a file, in the given format or that of the file's ending.

    Args:
        path: the file.
        format_name: csv, tsv, jsonl, parquet or conll.
        columns: columns that are needed; records may hold others, too.

    Raises:
        InputError: if the file is missing, empty, broken, packed or of an unknown ending.
    """
    try:
        status = path.stat()
        if not path.is_file():
            raise InputError(f"{path}: is not a file. Name the file that holds the rows.")
        with path.open("rb") as file:
            head = file.read(16)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file. Paths in a tasks.toml are taken from the folder it lies in.") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({reason(error)}).") from error
    for start, what in _PACKED.items():
        if head.startswith(start):
            raise InputError(f"{path}: {what}, and name the new file.")
    name = format_name or ENDINGS.get(path.suffix.lower())
    if name is None:
        known = ", ".join(sorted(set(ENDINGS.values())))
        raise InputError(f"{path}: unknown ending {path.suffix!r}. Say which format it is: {known}.")
    if head.startswith(b"PAR1") and name != "parquet":
        raise InputError(f"{path}: is Parquet, not {name}. Say that the format is parquet.")
    # only Parquet is read by column; text files are read whole, so that tasks over different columns share the records
    records = _read(path, name, columns if name == "parquet" else (), status.st_mtime_ns, status.st_size)
    if not records:
        raise InputError(f"{path}: no rows. Give a file with at least one labelled row.")
    return records


@lru_cache(maxsize=8)
def _read(path: Path, format_name: str, columns: tuple[str, ...], changed: int, size: int) -> tuple[Record | Sentence, ...]:
    from transfercast.tasks.readers import conll, delimited, jsonl, parquet

    try:
        match format_name:
            case "csv":
                return tuple(delimited.read_csv(path))
            case "tsv":
                return tuple(delimited.read_tsv(path))
            case "jsonl":
                return tuple(jsonl.read(path))
            case "conll":
                return tuple(conll.read(path))
            case "parquet":
                return tuple(parquet.read(path, columns))
            case _:
                raise InputError(f"{path}: format {format_name!r} is not a file's.")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({reason(error)}).") from error


def decoded(path: Path) -> str:
    """The file as text.

    Raises:
        InputError: naming the encoding if it is UTF-16, else the first line that is not UTF-8.
    """
    content = path.read_bytes()
    head = content[:100]
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or head.count(0) * 3 > len(head):
        raise InputError(f"{path}: is UTF-16, not UTF-8. Convert the file: iconv -f utf-16 -t utf-8 OLD > NEW.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}, line {line}: not UTF-8 (byte 0x{content[error.start]:02x}). "
            f"Convert the file, for example: iconv -f latin1 -t utf-8 OLD > NEW."
        ) from error


def missing_column(where: str, column: str, there: Iterable[str]) -> InputError:
    """The error for a missing column, with the most similar name that is there."""
    names = list(there)
    near = difflib.get_close_matches(column, names, n=1)
    listed = shown(names).strip("[]")
    return InputError(
        f"{where}: no column {column!r}; "
        + (f"did you mean {near[0]!r}? There are {listed}." if near else f"there are {listed}. Name the right one.")
    )


def check_header(where: str, names: list[str]) -> None:
    """Refuse a header that is too wide, or names a column twice; columns without a name are ignored.

    Raises:
        InputError: naming the column.
    """
    if len(names) > MOST_COLUMNS:
        raise InputError(f"{where}: {len(names):,} columns; at most {MOST_COLUMNS:,} are read. Keep texts and labels only.")
    seen: set[str] = set()
    for name in names:
        if name and name in seen:
            raise InputError(f"{where}: column {name!r} stands twice. Rename one.")
        seen.add(name)
