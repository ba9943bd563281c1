"""The place of a history: a database URL, or the path of an SQLite file. Other files are refused before they are opened."""

from __future__ import annotations

import re
from pathlib import Path

import sqlalchemy as sa

from transfercast.core.errors import InputError
from transfercast.core.files import reason
from transfercast.core.text import redacted

TABLE_ENDINGS = (".csv", ".parquet")
DATABASES = ("sqlite", "postgresql")

_EXAMPLE = "Write it as history.db, sqlite:///history.db or postgresql://..."
_MAGIC = b"SQLite format 3\x00"


def shown_url(place: str | Path) -> str:
    """A place without its password, for messages, reports and files."""
    return redacted(str(place))


def is_table(place: str | Path) -> bool:
    """Whether a place is a CSV or Parquet file, by its ending."""
    return str(place).lower().endswith(TABLE_ENDINGS)


def with_driver(url: str) -> str:
    """A URL in which PostgreSQL without a driver takes psycopg 3.

    >>> with_driver("postgresql://me@host/db")
    'postgresql+psycopg://me@host/db'
    """
    return re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", url)


def database_url(place: str | Path) -> sa.URL:
    """The URL of a history; PostgreSQL without a driver takes psycopg 3, and the path of an SQLite file is made absolute.

    Raises:
        InputError: if `place` is no URL of a known database, or a folder, table or other file that is no database.
    """
    if "://" not in str(place):
        url = sa.URL.create("sqlite", database=str(Path(place).resolve()))
    else:
        try:
            url = sa.make_url(with_driver(str(place)))
        except (sa.exc.ArgumentError, ValueError) as error:
            raise InputError(f"history {shown_url(place)!r}: no database URL. {_EXAMPLE}") from error
    if url.get_backend_name() not in DATABASES:
        raise InputError(f"history {shown_url(place)!r}: {url.get_backend_name()} is not supported. {_EXAMPLE}")
    file = file_of(url)
    if file is not None:
        _refuse_no_database(file)
    return from_root(url)


def from_root(url: sa.URL) -> sa.URL:
    """A URL whose SQLite file has an absolute path, so that a process in another folder opens the same file."""
    file = file_of(url)
    return url if file is None else url.set(database=str(file.resolve()))


def file_of(url: sa.URL) -> Path | None:
    """The SQLite file of a URL; None for a database in memory or on a server, or for SQLite's own file: notation."""
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:") or str(url.database).startswith("file:"):
        return None
    return Path(str(url.database))


_databases: set[tuple[int, int]] = set()
"""Files whose first bytes were read. They are not opened again: closing one would drop the locks that this process holds on
it through SQLite (https://www.sqlite.org/howtocorrupt.html)."""


def _refuse_no_database(file: Path) -> None:
    try:
        if file.is_dir():
            raise InputError(f"{file}: is a folder. Name a file in it, such as {file / 'history.db'}.")
        if is_table(file):
            raise InputError(
                f"{file}: is a table by its ending, not a database. Import it: transfercast history import {file.name} "
                "--history history.db"
            )
        if not file.exists() or (identity := _identity(file)) in _databases:
            return
        with file.open("rb") as opened:
            start = opened.read(len(_MAGIC))
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({reason(error)}).") from error
    if start and start != _MAGIC:
        raise InputError(f"{file}: is no SQLite database; its first bytes are {start!r}. Name another file.")
    if start:
        _databases.add(identity)


def _identity(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_dev, status.st_ino
