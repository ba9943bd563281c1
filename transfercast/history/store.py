"""The history: append, read, describe and remove observations. Several processes may write; the same run is kept once."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import sqlalchemy as sa

from transfercast.core.errors import InputError, TransfercastError
from transfercast.core.files import written_beside
from transfercast.core.records import Observation, Pair
from transfercast.core.table import Column, FeatureTable, Provenance
from transfercast.core.trainings import TrainingRecord
from transfercast.history.database import BUSY_SECONDS, insert_or_ignore, migrate, open_database, writing
from transfercast.history.descriptions import describe, described, in_force
from transfercast.history.frames import Frames, Recorded, frames_of, recorded, summary, table_of
from transfercast.history.importing import observations_of
from transfercast.history.listing import Listing, gains, listing, step_states
from transfercast.history.places import database_url, file_of, is_table, shown_url
from transfercast.history.rows import storable
from transfercast.history.tables import OBSERVATIONS, TRAININGS
from transfercast.history.trainings import curves_of, note, noted

AT_ONCE = 500
"""Keys in one statement: databases limit the number of its values."""


class History:
    """Observations in a database.

    Args:
        place: a database URL, or the path of an SQLite file.
        read_only: record nothing; an SQLite file must then exist.
        known: columns of the installed measures. They take precedence over older descriptions in the database.
        wait_seconds: time to wait for other writers.

    Raises:
        InputError: if `place` is not a database, or is one of a newer version.
        ArtifactError: if it is damaged.

    Example:
        >>> import transfercast as tc
        >>> history = tc.History("history.db")
        >>> run = dict(target="reviews", recipe="full", encoder="offline", seed=0, metric="accuracy", split="validation")
        >>> history.append([
        ...     tc.Observation(source="(alone)", score=0.75, hours=0.05, **run),
        ...     tc.Observation(source="news", score=0.81, hours=0.05, **run),
        ... ])
        2
        >>> history.frame()[["source", "target", "score", "baseline"]]
            source   target  score  baseline
        0  (alone)  reviews   0.75      0.75
        1     news  reviews   0.81      0.75
    """

    def __init__(
        self, place: str | Path, *, read_only: bool = False, known: Iterable[Column] = (), wait_seconds: float = BUSY_SECONDS
    ) -> None:
        url = database_url(place)
        self.url = url.render_as_string(hide_password=False)
        self.shown = shown_url(place)
        self.read_only, self.known, self._wait = read_only, tuple(known), wait_seconds
        self._file = file_of(url)
        if read_only and self._file is not None and not self._file.is_file():
            raise InputError(f"{self.shown}: no such history. A search writes one, and so does 'transfercast history import'.")
        self.engine = open_database(url, read_only, wait_seconds)
        self._identity = _identity(self._file)
        weakref.finalize(self, self.engine.dispose)  # closes connections at once, without waiting for the garbage collector

    def append(self, observations: Iterable[Observation], columns: Iterable[Column] = ()) -> int:
        """Add observations, all or none; those whose run is recorded already are skipped.

        Args:
            observations: observations to add.
            columns: descriptions of their features; see `describe`.

        Returns:
            Number of new observations.

        Raises:
            InputError: if one cannot be kept, or a column contradicts what was described.

        Example:
            >>> import transfercast as tc
            >>> run = tc.Observation(
            ...     source="news", target="reviews", recipe="full", encoder="offline", seed=0,
            ...     metric="accuracy", split="validation", score=0.81, hours=0.05,
            ... )
            >>> history = tc.History("history.db")
            >>> history.append([run])
            1
            >>> history.append([run])  # the same run again
            0
        """
        rows, meaning = [storable(observation) for observation in observations], list(columns)
        said = {column.name: column.version for column in meaning}
        with self._writing() as connection:
            describe(connection, self.shown, meaning)
            in_history = {name: column.version for name, column in described(connection, self.shown).items()}
            for row in rows:
                versions = {**in_history, **said, **row["versions"]}
                row["versions"] = {name: versions[name] for name in row["features"] if name in versions}
            if not rows:
                return 0
            insert = insert_or_ignore(self.engine, OBSERVATIONS).returning(OBSERVATIONS.c.id)
            return len(connection.execute(insert, rows).all())

    def observations(self) -> list[Observation]:
        """All observations in the order of their recording."""
        with self._reading() as connection:
            return [_observation(row) for row in recorded(connection, self.shown)]

    def find(self, run_key: str) -> Observation | None:
        """The observation of a run, if it was recorded."""
        return self.find_all([run_key]).get(run_key)

    def find_all(self, run_keys: Sequence[str]) -> dict[str, Observation]:
        """The recorded observations of these runs, by run key."""
        with self._reading() as connection:
            rows = [
                row for part in _parts(run_keys) for row in recorded(connection, self.shown, OBSERVATIONS.c.run_key.in_(part))
            ]
        return {row.fields["run_key"]: _observation(row) for row in rows}

    def __len__(self) -> int:
        with self._reading() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(OBSERVATIONS)).scalar_one())

    def frames(self) -> Frames:
        """All observations as frames, with a separate frame of the features.

        Example:
            >>> import transfercast as tc
            >>> run = dict(recipe="full", encoder="offline", seed=0, metric="accuracy", split="validation", hours=0.05)
            >>> history = tc.History("history.db")
            >>> history.append([tc.Observation(source="news", target="reviews", score=0.81, features={"logme": 0.4}, **run)])
            1
            >>> frames = history.frames()
            >>> frames.records["score"].tolist(), frames.features["logme"].tolist()
            ([0.81], [0.4])
        """
        with self._reading() as connection:
            versions = {name: column.version for name, column in described(connection, self.shown).items()}
            return frames_of(recorded(connection, self.shown), versions)

    def frame(self) -> pd.DataFrame:
        """One row for each observation, with `baseline`; see `Frames.records`. `frames` also gives the features."""
        return self.frames().records

    def summary(self) -> list[dict[str, Any]]:
        """One row for each target, encoder, metric and split; see `frames.summary`."""
        return summary(self.frame())

    def describe(self, columns: Iterable[Column], *, replace: bool = False) -> None:
        """Record what feature columns mean: measure, version, direction, group.

        A higher version replaces a lower one; observations keep the version that they were measured with. A lower
        version changes nothing.

        Args:
            columns: columns to describe.
            replace: replace wrong descriptions.

        Raises:
            InputError: if a column has another description in the same version, and `replace` is false.
        """
        with self._writing() as connection:
            describe(connection, self.shown, list(columns), replace)

    def schema(self) -> tuple[Column, ...]:
        """The feature columns that are described in this history, or known, in the version in force.

        Raises:
            InputError: if these contradict one another.
            ArtifactError: if a description is damaged.
        """
        with self._reading() as connection:
            columns = described(connection, self.shown).values()
        return tuple(column for _, column in sorted(in_force(columns, self.known).items()))

    def refresh(self, table: FeatureTable) -> int:
        """Replace the features of observations by those of a table, for the pairs of the table.

        Pairs are the same if source, target and encoder have the same names, and the same fingerprints if both are known.

        Returns:
            Number of observations with new features.
        """
        measured = dict(zip(table.candidates, table.frame.to_dict("records"), strict=True))
        values_of = {candidate.pair: {str(name): value for name, value in row.items()} for candidate, row in measured.items()}
        versions = {column.name: column.version for column in table.schema}
        with self._writing() as connection:
            describe(connection, self.shown, table.schema)
            changes = []
            for row in recorded(connection, self.shown, OBSERVATIONS.c.encoder.in_(set(table.encoders))):
                values = values_of.get(Pair(row.fields["source"], row.fields["target"]))
                own = table.provenance.encoder_of(row.fields["source"]) == row.fields["encoder"]
                if values is not None and own and _is_same_data(row, table.provenance):
                    changes.append(_refreshed(row, values, versions))
            if changes:
                changed = sa.update(OBSERVATIONS).where(OBSERVATIONS.c.run_key == sa.bindparam("key"))
                connection.execute(changed.values(features=sa.bindparam("filled"), versions=sa.bindparam("known")), changes)
        return len(changes)

    def note(self, training: TrainingRecord) -> None:
        """Record a training, with or without a score."""
        with self._writing() as connection:
            note(connection, training)

    def trainings(self, **values: str) -> list[TrainingRecord]:
        """Records of the trainings with the given field values, in the order in which they ended.

        Raises:
            ArtifactError: naming the training whose row is damaged.
        """
        with self._reading() as connection:
            return noted(connection, self.shown, *(TRAININGS.c[name] == value for name, value in values.items()))

    def latest_trainings(self, limit: int) -> list[TrainingRecord]:
        """Records of the trainings that ended last, the latest first.

        Raises:
            ArtifactError: naming the training whose row is damaged.
        """
        last = sa.select(TRAININGS.c.id).order_by(TRAININGS.c.id.desc()).limit(limit).scalar_subquery()
        with self._reading() as connection:
            return noted(connection, self.shown, TRAININGS.c.id.in_(last))[::-1]

    def listed(self, words: str = "", offset: int = 0, limit: int = 100) -> Listing:
        """A page of observations, the latest first; see `listing.listing`."""
        with self._reading() as connection:
            return listing(connection, words, offset, limit)

    def gains(self) -> list[dict[str, Any]]:
        """Mean gain of each source on each target; see `listing.gains`."""
        with self._reading() as connection:
            return gains(connection)

    def step_states(self) -> dict[str, dict[int, str]]:
        """State of each step of each plan; see `listing.step_states`."""
        with self._reading() as connection:
            return step_states(connection)

    def matching(self, **values: str) -> list[dict[str, Any]]:
        """Names and scores of the observations with the given field values, also if a row is damaged."""
        names = ("run_key", "source", "target", "recipe", "encoder", "seed", "split", "score")
        same = [OBSERVATIONS.c[name] == value for name, value in values.items()]
        query = sa.select(*(sa.type_coerce(OBSERVATIONS.c[name], sa.types.NullType()).label(name) for name in names)).where(
            *same
        )
        with self._reading() as connection:
            return [dict(row) for row in connection.execute(query.order_by(OBSERVATIONS.c.id)).mappings()]

    def remove(self, run_keys: Sequence[str]) -> int:
        """Remove observations permanently, and the records of their trainings.

        Returns:
            Number of removed observations.
        """
        removed = 0
        with self._writing() as connection:
            for part in _parts(run_keys):
                connection.execute(sa.delete(TRAININGS).where(TRAININGS.c.run_key.in_(part)))
                removed += connection.execute(sa.delete(OBSERVATIONS).where(OBSERVATIONS.c.run_key.in_(part))).rowcount
        return removed

    def import_file(self, path: str | Path, columns: Sequence[Column] = ()) -> int:
        """Add the rows of a CSV or Parquet file; see `importing` for its columns.

        Args:
            path: path of the file.
            columns: descriptions of its features; recorded only if all rows are correct.

        Returns:
            Number of new observations.

        Raises:
            InputError: naming file, row, column, value and remedy; then nothing is imported or described.

        Example:
            >>> import pandas as pd
            >>> import transfercast as tc
            >>> runs = pd.DataFrame({"source": ["news", "tweets"], "target": "reviews", "score": [0.81, 0.79]})
            >>> runs.to_csv("transfers.csv", index=False)
            >>> history = tc.History("history.db")
            >>> history.import_file("transfers.csv")
            2
            >>> [observation.source for observation in history.observations()]
            ['news', 'tweets']
        """
        return self.append(observations_of(Path(path), [column.name for column in columns]), columns)

    def export_file(self, path: str | Path) -> int:
        """Write all observations as CSV or Parquet, by the file's ending, for `import_file`; returns their number.

        Raises:
            InputError: if the file cannot be written, or its ending is another.

        Example:
            `history` holds thirty runs.

            >>> import transfercast as tc
            >>> history.export_file("transfers.csv")
            30
            >>> tc.History("copy.db").import_file("transfers.csv")
            30
        """
        return _write(table_of(self.frames()), Path(path), "observations")

    def export_curves(self, path: str | Path) -> int:
        """Write the learning curves of all trainings as CSV or Parquet, one row for each epoch; returns the number of rows.

        Raises:
            InputError: if the file cannot be written, or its ending is another.
        """
        return _write(curves_of(self.trainings()), Path(path), "curves")

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        self._follow_file()
        with self.engine.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        if self.read_only:
            raise InputError(f"{self.shown}: opened for reading, so nothing can be recorded.")
        before = self._follow_file()
        with writing(self.engine, self._wait) as connection:
            yield connection
        if _identity(self._file) != before:
            raise self._gone()

    def _follow_file(self) -> tuple[int, int] | None:
        """The file's present identity; a file that replaced it is opened, and a missing one is an error."""
        now = _identity(self._file)
        if now == self._identity:
            return now
        if now is None:
            raise self._gone()
        self.engine.dispose()
        if not self.read_only:
            migrate(self.engine, self.shown)
        self._identity = now
        return now

    def _gone(self) -> TransfercastError:
        return TransfercastError(
            f"{self.shown}: was deleted or replaced while this process had it open; nothing was recorded. Put it back, or "
            "start this process again."
        )


def opened(history: History | str | Path, known: Iterable[Column] = ()) -> History:
    """A history for reading; a CSV or Parquet file is read into memory.

    Args:
        history: a History, a database URL, an SQLite file, or a CSV or Parquet file.
        known: as for `History`; not used if `history` is one.

    Raises:
        InputError: if the file does not exist, or is not a history.
    """
    if isinstance(history, History):
        return history
    if not is_table(history):
        return History(history, read_only=True, known=known)
    table = History("sqlite://", known=known)
    table.import_file(history)
    return table


def _write(table: pd.DataFrame, path: Path, what: str) -> int:
    if not is_table(path):
        raise InputError(f"{path}: {what} are written as .csv or .parquet; {path.suffix!r} is neither.")
    with written_beside(path) as beside:
        if path.suffix.lower() == ".parquet":
            table.to_parquet(beside, index=False)
        else:
            table.to_csv(beside, index=False)
    return len(table)


def _parts(run_keys: Sequence[str]) -> Iterator[Sequence[str]]:
    return (run_keys[start : start + AT_ONCE] for start in range(0, len(run_keys), AT_ONCE))


def _identity(file: Path | None) -> tuple[int, int] | None:
    if file is None:
        return None
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _is_same_data(row: Recorded, about: Provenance) -> bool:
    """Whether source and target are those of a table, by their fingerprints as far as both are known."""
    facts = about.targets.get(row.fields["target"])
    pairs = (
        (row.fields["target_fingerprint"], "" if facts is None else facts.fingerprint),
        (row.fields["source_fingerprint"], about.sources.get(row.fields["source"], "")),
    )
    return not any(ours and theirs and ours != theirs for ours, theirs in pairs)


def _refreshed(row: Recorded, values: dict[str, float], versions: dict[str, int]) -> dict[str, Any]:
    features = {name: value for name, value in row.features.items() if name not in versions}
    known = {name: version for name, version in row.versions.items() if name in features}
    now = {name: value for name, value in values.items() if value == value}
    return {
        "key": row.fields["run_key"],
        "filled": {**features, **now},
        "known": {**known, **{name: versions[name] for name in now}},
    }


def _observation(row: Recorded) -> Observation:
    return Observation(**row.fields, features=row.features, versions=row.versions)
