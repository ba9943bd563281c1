"""The database of the history: opening, migration, locks for writers, and plain messages for its errors."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from transfercast.core.errors import ArtifactError, InputError, MissingExtraError, TransfercastError
from transfercast.core.files import make_folder_of, reason
from transfercast.history.places import file_of, shown_url
from transfercast.history.tables import HEAD, VERSION_TABLE

BUSY_SECONDS = 30
"""Time for which a writer waits for others before it gives up."""

COLLISION_WAITS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)

_INSERTS: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
_ADVISORY_LOCK = 0x7472616E73666572  # "transfer": the lock that PostgreSQL's writers take in turn
T = TypeVar("T")


def insert_or_ignore(engine: sa.Engine, table: sa.Table, row: dict[str, Any] | None = None) -> Any:
    """An insert that does nothing if the row's key exists already: safe under several writers."""
    insert = _INSERTS[engine.dialect.name](table)
    return (insert if row is None else insert.values(row)).on_conflict_do_nothing()


def after_collisions(set_up: Callable[[], T]) -> T:
    """The result of `set_up()`, which is repeated while another process sets up the same new database at the same moment.

    SQLite refuses to switch its journal while others have the file open, and Optuna's own set-up fails for the later of two
    processes. An attempt that has already waited for a lock is not repeated.
    """
    for wait in COLLISION_WAITS:
        started = time.monotonic()
        try:
            return set_up()
        except (sa.exc.IntegrityError, sa.exc.OperationalError, sa.exc.ProgrammingError) as error:
            waited = time.monotonic() - started > BUSY_SECONDS / 2
            signs = ("locked", "already exists", "UNIQUE", "unique", "no such table")
            if waited or not any(sign in str(error) for sign in signs):
                raise
            time.sleep(wait * random.uniform(0.5, 1.5))
    return set_up()


def open_database(url: sa.URL, read_only: bool = False, wait: float = BUSY_SECONDS) -> sa.Engine:
    """An engine on a database with our tables in their current version.

    A reader does not change an SQLite file: one with older tables is read from a copy in memory. PostgreSQL's older tables
    are migrated, which only adds to them.

    Args:
        url: from `database_url`.
        read_only: for reading; SQLite's file must be there.
        wait: seconds for which a writer waits for others.

    Raises:
        InputError: if it cannot be opened, or its tables are of a newer version.
        ArtifactError: if the file is damaged.
        TransfercastError: if others keep it locked.
    """
    shown = shown_url(url.render_as_string())
    file = file_of(url)
    try:
        engine = _up_to_date(url, file if read_only else None, shown, wait)
    except ImportError as error:
        raise MissingExtraError(f"{shown}: PostgreSQL needs: pip install 'transfercast[postgres]' ({error}).") from error
    except (sa.exc.ArgumentError, sa.exc.DBAPIError, UnicodeDecodeError, sqlite3.Error) as error:
        raise _in_plain_words(error, shown, wait, InputError) from error
    sa.event.listen(engine, "handle_error", lambda context: _tell(context, shown, wait))
    return engine.execution_options(postgresql_readonly=True) if read_only else engine


@contextmanager
def writing(engine: sa.Engine, wait: float = BUSY_SECONDS) -> Iterator[sa.Connection]:
    """A transaction of the only writer: its reads stay valid until it ends, and writers cannot deadlock."""
    with engine.begin() as connection:
        lock(connection, wait)
        yield connection


def lock(connection: sa.Connection, wait: float) -> None:
    """Wait until no other writer is active, at most so many seconds; then keep others out until the transaction ends."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{wait * 1000:.0f}ms'")
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _ADVISORY_LOCK})


def version_of(connectable: sa.Engine | sa.Connection) -> str | None:
    """The version of our tables; None if there are none."""
    if isinstance(connectable, sa.Engine):
        with connectable.connect() as connection:
            return version_of(connection)
    if not sa.inspect(connectable).has_table(VERSION_TABLE):
        return None
    return connectable.execute(sa.text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()


def migrate(engine: sa.Engine, shown: str) -> None:
    """Make or migrate our tables: completely or, if the process is killed, not at all.

    Raises:
        InputError: if the tables are of a newer version.
    """
    if version_of(engine) == HEAD:
        return
    with writing(engine) as connection:
        there = version_of(connection)
        if there == HEAD:
            return
        from alembic import command
        from alembic.config import Config
        from alembic.util import CommandError

        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        config.set_main_option("path_separator", "os")
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise InputError(
                f"{shown}: its tables have version {there}, this transfercast knows up to {HEAD}. Upgrade transfercast."
            ) from error


def _up_to_date(url: sa.URL, file_to_read: Path | None, shown: str, wait: float) -> sa.Engine:
    engine = _writer(url, wait) if file_to_read is None else _reader(url, file_to_read, wait)
    try:
        if file_to_read is None:
            after_collisions(lambda: migrate(engine, shown))
        elif version_of(engine) != HEAD:
            copy = _copied(engine)
            engine.dispose()
            migrate(copy, shown)
            return copy
    except BaseException:
        engine.dispose()
        raise
    return engine


def _writer(url: sa.URL, wait: float) -> sa.Engine:
    file = file_of(url)
    if file is not None:
        make_folder_of(file)
    if url.get_backend_name() != "sqlite":
        return sa.create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": max(round(wait), 2)})
    engine = sa.create_engine(url, connect_args={"timeout": wait})
    sa.event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA journal_mode=WAL"))
    return engine


def _reader(url: sa.URL, file: Path, wait: float) -> sa.Engine:
    where = f"file:{quote(str(file.resolve()))}?mode=rw"  # never makes the file; a mode of ro would leave WAL's files behind

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(where, uri=True, timeout=wait, check_same_thread=False)
        connection.execute("PRAGMA query_only=ON")
        return connection

    return sa.create_engine(url, creator=connect)


def _copied(engine: sa.Engine) -> sa.Engine:
    copy = sa.create_engine("sqlite://", poolclass=sa.StaticPool, connect_args={"check_same_thread": False})
    with engine.connect() as source, copy.connect() as target:
        source.connection.driver_connection.backup(target.connection.driver_connection)  # type: ignore[union-attr] # sqlite3's
    return copy


def _tell(context: sa.engine.ExceptionContext, shown: str, wait: float) -> None:
    error = context.sqlalchemy_exception or context.original_exception
    if isinstance(error, sa.exc.IntegrityError | sa.exc.ProgrammingError) and "no such table" not in str(error):
        return
    raise _in_plain_words(error, shown, wait, TransfercastError) from error


def _in_plain_words(error: BaseException, shown: str, wait: float, otherwise: type[TransfercastError]) -> TransfercastError:
    said = reason(getattr(error, "orig", None) or error)
    if any(sign in said for sign in ("locked", "lock timeout")):
        return TransfercastError(
            f"{shown}: kept locked by another process for {wait:g} s. Let it end, or end it, and try again."
        )
    if any(sign in said for sign in ("readonly", "read-only", "permission denied")):
        return InputError(f"{shown}: cannot be written ({said}). Change its permissions, or name another history.")
    if "disk is full" in said:
        return TransfercastError(f"{shown}: {said}; nothing was recorded. Make room, and try again.")
    if "disk I/O error" in said:  # SQLite reports this also when there is no space for its shared memory
        return TransfercastError(f"{shown}: {said}. See that its disk has room and is sound, and try again.")
    if shown.startswith("sqlite") and "unable to open" not in said:
        return ArtifactError(f"{shown}: damaged ({said}). Put back a copy, or begin a new history.")
    if otherwise is InputError:
        return InputError(f"history {shown!r}: {said}. Write it as history.db, sqlite:///history.db or postgresql://...")
    return otherwise(f"{shown}: {said}. See to the database, and try again.")
