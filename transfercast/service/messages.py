"""What clients send and get. Every size is bounded here."""

from __future__ import annotations

import math
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, model_validator

from transfercast.core.forecast import Forecast
from transfercast.core.kinds import METRICS
from transfercast.core.plan import Budget
from transfercast.core.records import Recipe
from transfercast.core.table import INDEX, Column, FeatureTable, Provenance, TargetFacts
from transfercast.predictor.regressor import Fitted

MOST_ROWS = 10_000
MOST_FEATURES = 500

Name = Annotated[str, Field(min_length=1, max_length=100)]
Features = dict[Annotated[str, Field(max_length=200)], float | None]


class Row(BaseModel):
    """A candidate pair and its features by column name; null where a measure does not apply."""

    model_config = ConfigDict(extra="forbid")

    source: Name
    target: Name
    recipe: Annotated[str, Field(max_length=200)] = Recipe().key
    features: Annotated[Features, Field(max_length=MOST_FEATURES)]


class Target(BaseModel):
    """What is known of a target: its metric, its score when trained alone, and how long training takes."""

    model_config = ConfigDict(extra="forbid")

    metric: str = "positive_f1"
    score: Annotated[float, Field(ge=-1, le=1)] | None = None
    train_rows: Annotated[int, Field(ge=1)] = 1
    seconds_per_row_epoch: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _known_metric(self) -> Target:
        if self.metric not in METRICS:
            raise ValueError(f"metric {self.metric!r} is unknown; known are {', '.join(METRICS)}")
        return self


class ForecastRequest(BaseModel):
    """Candidates to forecast.

    `columns` says what features mean that the predictor was not fitted on (the prior ranks by them); features described
    by neither are passed over.
    """

    model_config = ConfigDict(extra="forbid")

    rows: Annotated[list[Row], Field(min_length=1, max_length=MOST_ROWS)]
    targets: Annotated[dict[Name, Target], Field(max_length=MOST_ROWS)] = {}
    columns: Annotated[list[Column], Field(max_length=MOST_FEATURES)] = []
    coverage: Annotated[float, Field(gt=0, lt=1)] = 0.9

    def table(self, fitted: Fitted) -> FeatureTable:
        """The rows as a feature table."""
        known = {column.name: column for column in (*self.columns, *fitted.schema)}
        names = sorted({name for row in self.rows for name in row.features})
        schema = tuple(known.get(name, _unknown(name)) for name in names)
        index = pd.MultiIndex.from_tuples([(r.source, r.target, r.recipe) for r in self.rows], names=INDEX)
        values = [[_value(row.features.get(name)) for name in names] for row in self.rows]
        frame = pd.DataFrame(values, index=index, columns=names, dtype=np.float64)
        facts = {name: TargetFacts(fingerprint="", **target.model_dump()) for name, target in self.targets.items()}
        return FeatureTable(frame, schema, Provenance(targets=facts))


class PlanRequest(ForecastRequest):
    """Candidates and a budget."""

    budget: Budget


class ForecastRow(BaseModel):
    """One forecast; `why` sums with `base` to `score`."""

    source: str
    target: str
    recipe: str
    score: float
    lower: float
    upper: float
    beats_baseline: float | None
    support: int
    prior_share: float
    base: float
    why: dict[str, float]


class ForecastAnswer(BaseModel):
    """Forecasts in the order of the request's rows."""

    predictor: str
    basis: str
    coverage: float
    forecasts: list[ForecastRow]


def answer_of(forecast: Forecast) -> ForecastAnswer:
    """A forecast as it is sent."""
    rows = []
    for row, candidate in enumerate(forecast.candidates):
        numbers: dict[str, Any] = {
            name: float(getattr(forecast, name)[row]) for name in ("score", "lower", "upper", "prior_share", "base")
        }
        beats = float(forecast.beats_baseline[row])
        rows.append(
            ForecastRow(
                **candidate._asdict(),
                **numbers,
                beats_baseline=None if math.isnan(beats) else beats,
                support=int(forecast.support[row]),
                why=dict(zip(forecast.groups, forecast.why[row].tolist(), strict=True)),
            )
        )
    return ForecastAnswer(predictor=forecast.predictor, basis=forecast.basis, coverage=forecast.coverage, forecasts=rows)


def _unknown(name: str) -> Column:
    return Column(name=name, measure=name, version=1, better="unknown", group="data")


def _value(value: float | None) -> float:
    return math.nan if value is None else value
