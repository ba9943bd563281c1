"""The history: append and read observations. Several processes may write; the same run is kept once."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from transfercast.core.errors import InputError
from transfercast.core.records import ALONE, Observation
from transfercast.core.table import Column
from transfercast.history.importing import observations_of
from transfercast.history.tables import COLUMNS, METADATA, OBSERVATIONS

BUSY_SECONDS = 60
COLLISION_WAITS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
_INSERTS: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
T = TypeVar("T")

_FIELDS = [field.name for field in fields(Observation)]


def _row(observation: Observation) -> dict[str, Any]:
    row = {name: getattr(observation, name) for name in _FIELDS}
    row["features"] = {name: value for name, value in observation.features.items() if math.isfinite(value)}
    return row


def insert_or_ignore(engine: sa.Engine, table: sa.Table, row: dict[str, Any]) -> sa.Insert:
    """An insert that does nothing where the row's key is there already: safe under several writers."""
    statement: sa.Insert = _INSERTS[engine.dialect.name](table).values(row).on_conflict_do_nothing()
    return statement


def after_collisions(set_up: Callable[[], T]) -> T:
    """What `set_up()` gives; tried again while another process sets up the same new database at the same moment.

    SQLite refuses to switch its journal while others look on, and Optuna's own set-up fails for the later of two.
    """
    for wait in COLLISION_WAITS:
        try:
            return set_up()
        except (sa.exc.IntegrityError, sa.exc.OperationalError, sa.exc.ProgrammingError) as error:
            if not any(sign in str(error) for sign in ("locked", "already exists", "UNIQUE", "unique", "no such table")):
                raise
            time.sleep(wait * random.uniform(0.5, 1.5))
    return set_up()


def open_database(url: str) -> sa.Engine:
    """An engine on a database URL (SQLite in write-ahead mode), with our tables in it.

    Raises:
        InputError: if the URL cannot be opened.
    """
    try:
        engine = sa.create_engine(url, connect_args={"timeout": BUSY_SECONDS} if url.startswith("sqlite") else {})
        if engine.dialect.name not in _INSERTS:
            raise InputError(f"history {url!r}: {engine.dialect.name} is not supported; use SQLite or PostgreSQL.")
        if engine.dialect.name == "sqlite":
            sa.event.listen(engine, "connect", _write_ahead)
        after_collisions(lambda: _create_tables(engine))
    except (sa.exc.ArgumentError, sa.exc.OperationalError, ImportError) as error:
        raise InputError(
            f"history {url!r}: {str(error).splitlines()[0]}. Write it as sqlite:///history.db or postgresql://..."
        ) from error
    return engine


def _create_tables(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        for table in METADATA.sorted_tables:  # create_all looks first and creates then: two processes may collide
            connection.execute(sa.schema.CreateTable(table, if_not_exists=True))


def _write_ahead(connection: Any, record: object) -> None:
    connection.execute("PRAGMA journal_mode=WAL")


class History:
    """Observations in a database.

    Args:
        place: a database URL, or the path of an SQLite file.
    """

    def __init__(self, place: str | Path) -> None:
        self.url = str(place) if "://" in str(place) else f"sqlite:///{Path(place).resolve()}"
        self.engine = open_database(self.url)

    def append(self, observations: Iterable[Observation]) -> int:
        """Add observations; those whose run is there already are passed over.

        Returns:
            How many were new.
        """
        rows = [_row(one) for one in observations]
        with self.engine.begin() as connection:
            return sum(connection.execute(insert_or_ignore(self.engine, OBSERVATIONS, row)).rowcount for row in rows)

    def observations(self) -> list[Observation]:
        """All observations in the order of their recording."""
        columns = [OBSERVATIONS.c[name] for name in _FIELDS]
        with self.engine.connect() as connection:
            rows = connection.execute(sa.select(*columns).order_by(OBSERVATIONS.c.id)).mappings().all()
        return [Observation(**row) for row in rows]

    def find(self, run_key: str) -> Observation | None:
        """The observation of a run, if it was recorded."""
        columns = [OBSERVATIONS.c[name] for name in _FIELDS]
        with self.engine.connect() as connection:
            row = connection.execute(sa.select(*columns).where(OBSERVATIONS.c.run_key == run_key)).mappings().first()
        return None if row is None else Observation(**row)

    def __len__(self) -> int:
        with self.engine.connect() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(OBSERVATIONS)).scalar_one())

    def frame(self) -> pd.DataFrame:
        """One row an observation, features as columns of their own, and `baseline`.

        `baseline` is the mean score of the target trained alone, with the same encoder, metric and split; NaN where
        there is none.
        """
        rows = [_row(one) for one in self.observations()]
        if not rows:
            return pd.DataFrame(columns=[name for name in _FIELDS if name != "features"] + ["baseline"])
        frame = pd.DataFrame(rows).drop(columns="features")
        features = pd.DataFrame([row["features"] for row in rows], index=frame.index).astype(float)
        same = ["target", "target_fingerprint", "encoder", "metric", "split"]
        alone = frame[frame.source == ALONE].groupby(same).score.mean().rename("baseline")
        return frame.join(features).join(alone, on=same)

    def describe(self, columns: Iterable[Column]) -> None:
        """Record what feature columns mean: measure, direction, group. Columns described already stay as they are."""
        with self.engine.begin() as connection:
            for column in columns:
                connection.execute(insert_or_ignore(self.engine, COLUMNS, column.model_dump()))

    def schema(self) -> tuple[Column, ...]:
        """The feature columns that were described."""
        with self.engine.connect() as connection:
            rows = connection.execute(sa.select(COLUMNS).order_by(COLUMNS.c.name)).mappings().all()
        return tuple(Column.model_validate(dict(row)) for row in rows)

    def import_csv(self, path: str | Path) -> int:
        """Add the rows of a CSV file; see `importing` for its columns.

        Returns:
            How many were new.

        Raises:
            InputError: naming file, row, column, value and remedy; then nothing is imported.
        """
        return self.append(observations_of(Path(path)))

    def export_csv(self, path: str | Path) -> None:
        """Write all observations as CSV that `import_csv` reads."""
        self.frame().drop(columns="baseline").to_csv(path, index=False)
