"""What clients send and get. Every size is bounded here."""

from __future__ import annotations

import math
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import to_json

from transfercast.core.choices import Bounds
from transfercast.core.errors import InputError
from transfercast.core.forecast import Forecast
from transfercast.core.kinds import METRICS
from transfercast.core.plan import Budget
from transfercast.core.records import Candidate, Observation, Recipe
from transfercast.core.table import INDEX, Column, FeatureTable, Provenance, TargetFacts
from transfercast.predictor.design import Design, design_of
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
    encoder: Name = "unknown"
    coverage: Annotated[float, Field(gt=0, lt=1)] = 0.9
    bounds: Bounds = "grouped"
    explain: bool = False

    def design(self, fitted: Fitted) -> Design:
        """The rows as the regressor takes them.

        Raises:
            InputError: if a candidate is there twice.
        """
        schema, values = self._measured(fitted)
        candidates = [(row.source, row.target, row.recipe) for row in self.rows]
        if len(set(candidates)) < len(candidates):
            doubled = next(one for one in candidates if candidates.count(one) > 1)
            raise InputError(f"candidate {doubled} is there twice.")
        return design_of(values, schema, [Candidate(*one) for one in candidates], self._facts(), self.encoder)

    def table(self, fitted: Fitted) -> FeatureTable:
        """The rows as a feature table."""
        schema, values = self._measured(fitted)
        index = pd.MultiIndex.from_tuples([(r.source, r.target, r.recipe) for r in self.rows], names=INDEX)
        frame = pd.DataFrame(values, index=index, columns=[column.name for column in schema])
        return FeatureTable(frame, schema, Provenance(targets=self._facts(), encoder=self.encoder))

    def _measured(self, fitted: Fitted) -> tuple[tuple[Column, ...], np.ndarray]:
        known = {column.name: column for column in (*self.columns, *fitted.schema)}
        names = sorted({name for row in self.rows for name in row.features})
        values = np.array([[_value(row.features.get(name)) for name in names] for row in self.rows], dtype=np.float64)
        return tuple(known.get(name, _unknown(name)) for name in names), values.reshape(len(self.rows), len(names))

    def _facts(self) -> dict[str, TargetFacts]:
        return {name: TargetFacts(fingerprint="", **target.model_dump()) for name, target in self.targets.items()}


class PlanRequest(ForecastRequest):
    """Candidates and a budget."""

    budget: Budget


class ForecastRow(BaseModel):
    """One forecast; `why`, there when it was asked for, sums with `base` to `score`."""

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


def answer_of(forecast: Forecast) -> bytes:
    """A forecast as it is sent: a ForecastAnswer in JSON, written without checking it against the model again."""
    names = ("source", "target", "recipe", "score", "lower", "upper", "prior_share", "base", "support", "beats_baseline", "why")
    numbers = (getattr(forecast, name).tolist() for name in names[3:9])
    beats = (None if math.isnan(value) else value for value in forecast.beats_baseline.tolist())
    why = (dict(zip(forecast.groups, row, strict=True)) for row in forecast.why.tolist())
    candidates = zip(*forecast.candidates, strict=True)
    rows = [dict(zip(names, row, strict=True)) for row in zip(*candidates, *numbers, beats, why, strict=True)]
    about = {"predictor": forecast.predictor, "basis": forecast.basis, "coverage": forecast.coverage}
    return to_json({**about, "forecasts": rows})


class ObservationRow(BaseModel):
    """One measured training; see `transfercast history import` for what the fields mean."""

    model_config = ConfigDict(extra="forbid")

    source: Name
    target: Name
    score: Annotated[float, Field(ge=-1, le=1)]
    metric: Annotated[str, Field(max_length=50)] = "positive_f1"
    recipe: Annotated[str, Field(max_length=200)] = "unknown"
    encoder: Annotated[str, Field(max_length=200)] = "unknown"
    seed: Annotated[int, Field(ge=-(2**31), lt=2**31)] = 0
    split: str = "validation"
    hours: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    device: Annotated[str, Field(max_length=50)] = "unknown"
    finished_at: Annotated[str, Field(max_length=40)] = ""
    source_fingerprint: Annotated[str, Field(max_length=64)] = ""
    target_fingerprint: Annotated[str, Field(max_length=64)] = ""
    features: Annotated[Features, Field(max_length=MOST_FEATURES)] = {}


class Observations(BaseModel):
    """Observations to append; sent again they change nothing."""

    model_config = ConfigDict(extra="forbid")

    observations: Annotated[list[ObservationRow], Field(min_length=1, max_length=MOST_ROWS)]
    columns: Annotated[list[Column], Field(max_length=MOST_FEATURES)] = []

    def records(self) -> list[Observation]:
        """As the history keeps them.

        Raises:
            InputError: naming the row that is wrong.
        """
        found = []
        for number, row in enumerate(self.observations):
            features = {name: value for name, value in row.features.items() if value is not None}
            try:
                found.append(Observation(**{**row.model_dump(), "features": features}))
            except InputError as error:
                raise InputError(f"observations[{number}]: {error}") from error
        return found


class Appended(BaseModel):
    """How many observations were new, and how many the history holds."""

    new: int
    total: int


class ModelRow(BaseModel):
    """A version of the predictor; `promoted` says whether it ever was, and can be rolled back to."""

    id: str
    in_force: bool
    promoted: bool
    observations: int | None
    reason: str


class Retrain(BaseModel):
    """How to retrain."""

    model_config = ConfigDict(extra="forbid")

    minutes: Annotated[float, Field(ge=0, le=24 * 60)] = 1.0
    margin: Annotated[float, Field(ge=0, le=100)] = 0.5


class JobRow(BaseModel):
    """A retraining: running, done or failed; `message` is its verdict or error."""

    id: str
    state: str
    started: float
    seconds: float
    message: str
    rows: list[dict[str, Any]]


def _unknown(name: str) -> Column:
    return Column(name=name, measure=name, version=1, better="unknown", group="data")


def _value(value: float | None) -> float:
    return math.nan if value is None else value
