"""Where a history lies: a database URL, or the path of an SQLite file. What cannot be a database is refused unopened."""

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
    """A place as messages, reports and files show it: without the password."""
    return redacted(str(place))


def is_table(place: str | Path) -> bool:
    """Whether a place is a CSV or Parquet file, by its ending."""
    return str(place).lower().endswith(TABLE_ENDINGS)


def with_driver(url: str) -> str:
    """A URL with psycopg 3 for PostgreSQL, where it names no driver.

    >>> with_driver("postgresql://me@host/db")
    'postgresql+psycopg://me@host/db'
    """
    return re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", url)


def database_url(place: str | Path) -> sa.URL:
    """The URL of a history; PostgreSQL is spoken to by psycopg 3 where no driver is named, an SQLite file named from the root.

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
    """A URL whose SQLite file is named from the root, so that a process in another folder opens the same one."""
    file = file_of(url)
    return url if file is None else url.set(database=str(file.resolve()))


def file_of(url: sa.URL) -> Path | None:
    """The SQLite file of a URL; None in memory, on a server, or where SQLite's own file: notation is used."""
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:") or str(url.database).startswith("file:"):
        return None
    return Path(str(url.database))


_databases: set[tuple[int, int]] = set()
"""Files that were looked into. None is opened a second time: closing it would drop the locks that this process has on it
through SQLite, as https://www.sqlite.org/howtocorrupt.html says."""


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
