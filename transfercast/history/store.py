"""The history: append and read observations. Several processes may write; the same run is kept once."""

from __future__ import annotations

import math
import os
import random
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
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
from transfercast.history.tables import COLUMNS, HEAD, OBSERVATIONS, VERSION_TABLE

BUSY_SECONDS = 60
KEYS_AT_ONCE = 500  # databases bound how many values a statement may carry
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
        after_collisions(lambda: _migrate(engine))
    except (sa.exc.ArgumentError, sa.exc.OperationalError, ImportError) as error:
        raise InputError(
            f"history {url!r}: {str(error).splitlines()[0]}. Write it as sqlite:///history.db or postgresql://..."
        ) from error
    return engine


def _migrate(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        there = sa.inspect(connection).has_table(VERSION_TABLE)
        found = connection.execute(sa.text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar() if there else None
        if found == HEAD:
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
                f"{engine.url}: its tables have version {found}, this transfercast knows up to {HEAD}. Upgrade transfercast."
            ) from error


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

    def find_all(self, run_keys: Sequence[str]) -> dict[str, Observation]:
        """The observations of those runs that were recorded, by run key."""
        columns = [OBSERVATIONS.c[name] for name in _FIELDS]
        found: dict[str, Observation] = {}
        with self.engine.connect() as connection:
            for start in range(0, len(run_keys), KEYS_AT_ONCE):
                wanted = OBSERVATIONS.c.run_key.in_(run_keys[start : start + KEYS_AT_ONCE])
                rows = connection.execute(sa.select(*columns).where(wanted)).mappings()
                found.update((row["run_key"], Observation(**row)) for row in rows)
        return found

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

    def summary(self) -> list[dict[str, Any]]:
        """One row a target, encoder, metric and split: sources, runs, own score, best, and the noise between seeds.

        `noise` is the standard deviation between seeds of the same run, pooled over sources; NaN with one seed each.
        """
        rows = []
        keys = ["target", "encoder", "metric", "split"]
        for names, part in self.frame().groupby(keys, sort=True):
            transfers = part[part.source != ALONE]
            seeds = part.groupby(["source", "recipe"]).score
            squares, freedom = ((part.score - seeds.transform("mean")) ** 2).sum(), len(part) - seeds.ngroups
            rows.append({
                **dict(zip(keys, names, strict=True)),
                "sources": transfers.source.nunique(),
                "runs": len(transfers),
                "alone": float(part[part.source == ALONE].score.mean()),
                "best": float(transfers.score.max()),
                "best source": "-" if transfers.empty else str(transfers.source.iloc[int(transfers.score.argmax())]),
                "noise": math.sqrt(squares / freedom) if freedom else math.nan,
                "hours": float(part.hours.sum()),
            })  # fmt: skip
        return rows

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

    def import_file(self, path: str | Path) -> int:
        """Add the rows of a CSV or Parquet file; see `importing` for its columns.

        Returns:
            How many were new.

        Raises:
            InputError: naming file, row, column, value and remedy; then nothing is imported.
        """
        return self.append(observations_of(Path(path)))

    def export_file(self, path: str | Path) -> int:
        """Write all observations as CSV or Parquet, by the file's ending, so that `import_file` reads them; tells how many."""
        path = Path(path)
        frame = self.frame().drop(columns="baseline")
        beside = path.with_name(f".{uuid.uuid4().hex[:8]}.{path.name}")
        try:
            if path.suffix == ".parquet":
                frame.to_parquet(beside, index=False)
            else:
                frame.to_csv(beside, index=False)
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
        return len(frame)
