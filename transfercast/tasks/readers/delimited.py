"""CSV and TSV with a header line."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Literal

from transfercast.core.errors import InputError
from transfercast.tasks.readers import Record, decoded


def read_csv(path: Path) -> list[Record]:
    """Rows of a comma-separated file, quoted as spreadsheets do."""
    return _read(path, ",", csv.QUOTE_MINIMAL)


def read_tsv(path: Path) -> list[Record]:
    """Rows of a tab-separated file; quotes are ordinary characters there."""
    return _read(path, "\t", csv.QUOTE_NONE)


def _read(path: Path, delimiter: str, quoting: Literal[0, 3]) -> list[Record]:
    reader = csv.reader(io.StringIO(decoded(path), newline=""), delimiter=delimiter, quoting=quoting, strict=True)
    records: list[Record] = []
    header: list[str] | None = None
    line = 1
    try:
        for cells in reader:
            if header is None:
                header = cells
                doubled = {name for name in header if header.count(name) > 1}
                if doubled:
                    raise InputError(f"{path}, line 1: column {sorted(doubled)[0]!r} stands twice. Rename one.")
            elif cells:
                if len(cells) != len(header):
                    raise InputError(
                        f"{path}, line {line}: {len(cells)} values for {len(header)} columns. "
                        f"Quote a text that holds the separator."
                    )
                records.append(Record(line, dict(zip(header, cells, strict=True))))
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: {error}. Check the quotes.") from error
    return records
