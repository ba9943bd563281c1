"""CSV and TSV with a header line."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Literal

from transfercast.core.errors import InputError
from transfercast.tasks.readers import Record, check_header, decoded

_MOST_LETTERS = 2**31 - 1
"""Largest number of characters of one value; the csv module's own limit, for the whole process, is 131,072."""


def read_csv(path: Path) -> list[Record]:
    """Rows of a comma-separated file, quoted as spreadsheets do."""
    return _read(path, ",", csv.QUOTE_MINIMAL)


def read_tsv(path: Path) -> list[Record]:
    """Rows of a tab-separated file; quotes are ordinary characters there."""
    return _read(path, "\t", csv.QUOTE_NONE)


def _read(path: Path, delimiter: str, quoting: Literal[0, 3]) -> list[Record]:
    csv.field_size_limit(max(csv.field_size_limit(), _MOST_LETTERS))
    reader = csv.reader(io.StringIO(decoded(path), newline=""), delimiter=delimiter, quoting=quoting, strict=True)
    records: list[Record] = []
    header: list[str] | None = None
    line = 1
    try:
        for cells in reader:
            if not cells:
                pass  # a blank line
            elif header is None:
                header = [name.strip() for name in cells]
                check_header(f"{path}, line {line}", header)
            elif len(cells) == len(header):
                records.append(Record(line, dict(zip(header, cells, strict=True))))
            else:
                raise InputError(
                    f"{path}, line {line}: {len(cells)} values for {len(header)} columns. "
                    f"Quote a text that holds the separator."
                )
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: {error}. Check the quotes.") from error
    return records
