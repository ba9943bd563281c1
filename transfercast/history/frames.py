"""Recorded observations as data frames; each value is checked, because others may have written to the database."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa
from pydantic import TypeAdapter, ValidationError

from transfercast.core.errors import ArtifactError
from transfercast.core.kinds import METRICS
from transfercast.core.records import ALONE, RESERVED
from transfercast.history.tables import OBSERVATIONS

log = logging.getLogger(__name__)

NUMBERS: dict[str, type] = {"seed": int, "score": float, "hours": float}
FIELDS = tuple(column.name for column in OBSERVATIONS.columns if column.name not in ("id", "features", "versions"))
_SELECTED = (
    *(OBSERVATIONS.c[name] for name in FIELDS),
    sa.cast(OBSERVATIONS.c.features, sa.Text).label("features"),
    sa.cast(OBSERVATIONS.c.versions, sa.Text).label("versions"),
)
_FEATURES = TypeAdapter(dict[str, float | None])
_VERSIONS = TypeAdapter(dict[str, int])


@dataclass(frozen=True)
class Frames:
    """n observations in the order of their recording, and their features in a frame of their own.

    Attributes:
        records: n rows; the fields of an observation and `baseline`, the mean score of the target trained alone with the
            same encoder, metric, split and data; NaN if there is none.
        features: (n, f) float64 by column name, NaN where a measure does not apply.
        versions: (n, f) version of the measure that made each feature; NaN if there is no feature, or its version is not
            known.
    """

    records: pd.DataFrame
    features: pd.DataFrame
    versions: pd.DataFrame


@dataclass(frozen=True, slots=True)
class Recorded:
    """One row of the table: the fields of an observation, its features, and the versions of their measures."""

    fields: dict[str, Any]
    features: dict[str, float]
    versions: dict[str, int]


def recorded(connection: sa.Connection, shown: str, *where: sa.ColumnElement[bool]) -> list[Recorded]:
    """Observations in the order of their recording.

    Args:
        connection: to the history.
        shown: the history's name in messages.
        where: condition on the observations; None takes all.

    Raises:
        ArtifactError: naming the observation whose row is damaged.
    """
    query = sa.select(*_SELECTED).where(*where).order_by(OBSERVATIONS.c.id)
    versions_in = cache(_VERSIONS.validate_json)  # nearly all rows hold the same text
    rows = []
    reserved = 0
    for *values, features_text, versions_text in connection.execute(query):
        fields = dict(zip(FIELDS, values, strict=True))
        _check(fields, shown)
        try:
            features = _FEATURES.validate_json(features_text)
            versions = versions_in(versions_text)
        except (ValidationError, ValueError) as error:
            raise _damaged(shown, fields, "its features are no JSON object of numbers") from error
        if not RESERVED.isdisjoint(features):
            reserved += 1
        kept = {name: value for name, value in features.items() if name not in RESERVED and value is not None}
        rows.append(Recorded(fields, kept, {name: versions[name] for name in kept if name in versions}))
    if reserved:
        log.warning(
            "%s: %d observations have a feature named like a field of the observation itself (such as 'score'); "
            "it is passed over.",
            shown, reserved,
        )  # fmt: skip
    return rows


def frames_of(rows: Sequence[Recorded], described: Mapping[str, int]) -> Frames:
    """Rows as frames.

    Args:
        rows: n observations.
        described: versions of columns for rows that do not name them.
    """
    names = list(dict.fromkeys(name for row in rows for name in row.features))
    place = {name: number for number, name in enumerate(names)}
    features = np.full((len(rows), len(names)), np.nan)
    versions = np.full((len(rows), len(names)), np.nan)
    for number, row in enumerate(rows):
        for name, value in row.features.items():
            features[number, place[name]] = value
            versions[number, place[name]] = row.versions.get(name) or described.get(name) or np.nan
    records = pd.DataFrame([row.fields for row in rows], columns=list(FIELDS))
    return Frames(_with_baseline(records), pd.DataFrame(features, columns=names), pd.DataFrame(versions, columns=names))


def _with_baseline(records: pd.DataFrame) -> pd.DataFrame:
    if records.empty:
        return records.assign(baseline=np.empty(0))
    same = ["target", "target_fingerprint", "encoder", "metric", "split"]
    alone = records[records.source == ALONE].groupby(same).score.mean().rename("baseline")
    return records.join(alone, on=same)


def summary(records: pd.DataFrame) -> list[dict[str, Any]]:
    """One row for each target, encoder, metric and split: sources, runs, score of the target alone, best, and noise of seeds.

    `noise` is the standard deviation between seeds of the same run, pooled over sources; NaN with one seed each. Data sets
    with the same target name have separate rows, distinguished by `data`, the start of their fingerprints.
    """
    keys = ["target", "target_fingerprint", "encoder", "metric", "split"]
    is_shared = bool((records.groupby("target").target_fingerprint.nunique() > 1).any())
    rows = []
    for names, part in records.groupby(keys, sort=True):
        target, fingerprint, *rest = map(str, names)
        about = {"target": target, **({"data": fingerprint[:8] or "-"} if is_shared else {})}
        rows.append({**about, **dict(zip(keys[2:], rest, strict=True)), **_figures(part)})
    return rows


def _figures(part: pd.DataFrame) -> dict[str, Any]:
    transfers = part[part.source != ALONE]
    seeds = part.groupby(["source", "source_fingerprint", "recipe"]).score
    squares, freedom = ((part.score - seeds.transform("mean")) ** 2).sum(), len(part) - seeds.ngroups
    return {
        "sources": transfers.source.nunique(),
        "runs": len(transfers),
        "alone": float(part[part.source == ALONE].score.mean()),
        "best": float(transfers.score.max()),
        "best source": "-" if transfers.empty else str(transfers.source.iloc[int(transfers.score.argmax())]),
        "noise": math.sqrt(squares / freedom) if freedom else math.nan,
        "hours": float(part.hours.sum()),
    }


def table_of(frames: Frames) -> pd.DataFrame:
    """Frames as one table that `importing` reads: fields, versions as JSON where any are known, then features."""
    table = frames.records.drop(columns="baseline")
    versions = [
        json.dumps({name: int(value) for name, value in row.items() if value == value})
        for row in frames.versions.to_dict("records")
    ]
    if any(text != "{}" for text in versions):
        table = table.assign(versions=versions)
    return pd.concat([table, frames.features], axis=1)


def _check(fields: dict[str, Any], shown: str) -> None:
    for name, value in fields.items():
        kind = NUMBERS.get(name, str)
        if type(value) is not kind and not (kind is float and type(value) is int):
            raise _damaged(shown, fields, f"{name} is {value!r}, not {'a number' if name in NUMBERS else 'text'}")
    metric = METRICS.get(fields["metric"])  # an unknown metric is refused in learning
    lowest, highest = (-math.inf, math.inf) if metric is None else (metric.lowest, metric.highest)
    if not (lowest <= fields["score"] <= highest and math.isfinite(fields["score"])):
        raise _damaged(shown, fields, f"score is {fields['score']}, outside [{lowest:g}, {highest:g}] of {fields['metric']}")
    if not 0 <= fields["hours"] < math.inf:
        raise _damaged(shown, fields, f"hours is {fields['hours']}, not a duration")


def _damaged(shown: str, fields: dict[str, Any], what: str) -> ArtifactError:
    return ArtifactError(
        f"{shown}: the observation with run key {fields['run_key']}: {what}. Remove it: "
        f"transfercast history remove --run-key {fields['run_key']} --history ..."
    )
