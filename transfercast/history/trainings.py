"""Records of trainings: one row each in a table beside the observations, also for those without a score."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, fields
from typing import Any

import pandas as pd
import sqlalchemy as sa
from pydantic import TypeAdapter, ValidationError

from transfercast.core.errors import ArtifactError
from transfercast.core.text import duration, megabytes, printable
from transfercast.core.trainings import EpochRecord, TrainingRecord
from transfercast.history.tables import TRAININGS

MOST_WHY = 500
"""Largest number of characters of a reason that are kept."""

_FIELDS = tuple(one.name for one in fields(TrainingRecord) if one.name != "curve")
_WITHOUT_PRECISION = tuple[float, float | None, float]
_CURVE = TypeAdapter(list[tuple[float, float | None, float, float | None] | _WITHOUT_PRECISION])
_RECORD = TypeAdapter(TrainingRecord)


def note(connection: sa.Connection, record: TrainingRecord) -> None:
    """Record a training; a training that is tried again has one row for each attempt."""
    values: dict[str, Any] = {name: getattr(record, name) for name in _FIELDS}
    values["why"] = printable(record.why)[:MOST_WHY]
    values["curve"] = [[one.score, one.loss, one.seconds, one.average_precision] for one in record.curve]
    connection.execute(sa.insert(TRAININGS), values)


def noted(connection: sa.Connection, shown: str, *where: sa.ColumnElement[bool]) -> list[TrainingRecord]:
    """Records of trainings in the order in which they ended.

    Raises:
        ArtifactError: naming the training whose row is damaged.
    """
    columns = (*(TRAININGS.c[name] for name in _FIELDS), sa.cast(TRAININGS.c.curve, sa.Text).label("curve"))
    records = []
    for row in connection.execute(sa.select(*columns).where(*where).order_by(TRAININGS.c.id)).mappings():
        try:
            curve = tuple(EpochRecord(*epoch) for epoch in _CURVE.validate_json(row["curve"]))
            record = _RECORD.validate_python({**row, "curve": curve})
            if record.epoch is not None and not 0 <= record.epoch < len(curve):
                raise ValueError(f"no epoch {record.epoch}")
            records.append(record)
        except (ValidationError, ValueError) as error:
            raise ArtifactError(
                f"{shown}: the record of the training {str(row['source'])!r} -> {str(row['target'])!r} is damaged. Remove it: "
                f"transfercast history remove --run-key {row['run_key']} --history ..."
            ) from error
    return records


def curves_of(records: Iterable[TrainingRecord]) -> pd.DataFrame:
    """One row for each epoch: the run, how it ended, the number of the epoch (from 0), and the fields of its record."""
    rows = [
        {"run_key": one.run_key, "ended": one.ended, "epoch": number, **asdict(epoch)}
        for one in records
        for number, epoch in enumerate(one.curve)
    ]
    numbers = dict.fromkeys(("score", "loss", "seconds", "average_precision"), float)
    columns: dict[str, Any] = {"run_key": str, "ended": str, "epoch": int, **numbers}
    return pd.DataFrame(rows, columns=list(columns)).astype(columns)


def table_row(record: TrainingRecord) -> dict[str, Any]:
    """A record as a row of a table to be printed: scores of the epochs in one cell, the best marked."""
    scores = [f"{one.score:.3f}{'*' if number == record.epoch else ''}" for number, one in enumerate(record.curve)]
    return {
        "source": record.source,
        "target": record.target,
        "recipe": record.recipe,
        "seed": record.seed,
        "ended": record.ended,
        "scores": " ".join(scores),
        "AP": None if record.epoch is None else record.curve[record.epoch].average_precision,
        "time": duration(record.seconds / 3600),
        "peak memory": None if record.peak_mb is None else megabytes(int(record.peak_mb * 2**20)),
        "why": record.why,
    }
