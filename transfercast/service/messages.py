"""Models of requests and answers. They limit every size."""

from __future__ import annotations

import math
from collections import Counter
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import to_json

from transfercast.core.choices import Bounds
from transfercast.core.errors import InputError
from transfercast.core.forecast import Forecast
from transfercast.core.kinds import DEFAULT_METRIC, METRICS
from transfercast.core.plan import Budget
from transfercast.core.records import Candidate, Observation, Recipe
from transfercast.core.table import INDEX, Better, Column, FeatureTable, Group, Provenance, TargetFacts
from transfercast.history import rows
from transfercast.predictor.data import Candidates, candidates_of
from transfercast.predictor.fitting import FittedModel
from transfercast.service.jobs import State
from transfercast.service.limits import MOST_FEATURES, MOST_ROWS, MOST_TARGETS, MOST_TERM_LETTERS

OWN_SCORE = Column(name="target_score", measure="target_score", version=1, better="unknown", group="single-task scores")
"""Feature that is known without a description: the score of the target trained alone, if `targets` does not give it."""

_WRITTEN = r"^[^\x00-\x1f\x7f]+$"  # a database takes no NUL, and a terminal should see no control character

_WRITTEN_OR_EMPTY = _WRITTEN.replace("+", "*")

Name = Annotated[str, Field(max_length=100, pattern=_WRITTEN)]
ColumnName = Annotated[str, Field(max_length=200, pattern=_WRITTEN)]
Text = Annotated[str, Field(max_length=200, pattern=_WRITTEN)]
Features = dict[ColumnName, float | None]


class Request(BaseModel):
    """Base of all requests: unknown fields, NaN and infinities are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Description(Request):
    """Description of a feature column: its measure with version, its direction, and its group."""

    name: ColumnName
    measure: ColumnName
    version: Annotated[int, Field(ge=1, lt=2**31)]
    better: Better
    group: Group

    def column(self) -> Column:
        """The column of a feature table."""
        return Column(**self.model_dump())


class Row(Request):
    """A candidate pair and its features by column name; null where a measure does not apply."""

    source: Name
    target: Name
    recipe: Text = Recipe().key
    features: Annotated[Features, Field(max_length=MOST_FEATURES)]


class Alone(Request):
    """Result of training a target alone: its score on validation, and the seconds for each row and epoch."""

    score: Annotated[float, Field(ge=-1, le=1)] | None = None
    seconds_per_row_epoch: Annotated[float, Field(gt=0, le=1e6)] | None = None


class Target(Alone):
    """Facts on a target: its metric, and its score when trained alone; `alone` gives the score for each encoder."""

    metric: Annotated[str, Field(max_length=50)] = DEFAULT_METRIC
    train_rows: Annotated[int, Field(ge=1, le=10**12)] = 1
    alone: Annotated[dict[Text, Alone], Field(max_length=MOST_TARGETS)] = {}

    @model_validator(mode="after")
    def _known_metric(self) -> Target:
        if self.metric not in METRICS:
            raise ValueError(f"metric {self.metric!r} is unknown; known are {', '.join(METRICS)}")
        metric = METRICS[self.metric]
        for score in (self.score, *(one.score for one in self.alone.values())):
            if score is not None and not metric.lowest <= score <= metric.highest:
                raise ValueError(f"score {score:g} is outside [{metric.lowest:g}, {metric.highest:g}] of {self.metric}")
        return self


class ForecastRequest(Request):
    """Candidates to forecast, each once.

    `columns` describes features that the predictor was not fitted on (the prior uses them); features that are neither known
    nor described are ignored. `encoders` names the base encoder of each source that has another than `encoder`.
    """

    rows: Annotated[list[Row], Field(min_length=1, max_length=MOST_ROWS)]
    targets: Annotated[dict[Name, Target], Field(max_length=MOST_TARGETS)] = {}
    columns: Annotated[list[Description], Field(max_length=MOST_FEATURES)] = []
    encoder: Text = "unknown"
    encoders: Annotated[dict[Name, Text], Field(max_length=MOST_ROWS)] = {}
    coverage: Annotated[float, Field(gt=0, lt=1)] = 0.9
    bounds: Bounds | None = None
    explain: bool = False

    @field_validator("rows")
    @classmethod
    def _not_too_many_targets(cls, rows: list[Row]) -> list[Row]:
        targets = len({row.target for row in rows})
        if targets > MOST_TARGETS:
            raise ValueError(f"{targets} different targets; send at most {MOST_TARGETS} in a request")
        return rows

    def candidates_in(self, fitted: FittedModel) -> Candidates:
        """The rows as candidates of the predictor.

        Raises:
            InputError: if a candidate is there twice.
        """
        schema, values = self._measured(fitted)
        encoders = [self.encoders.get(row.source, self.encoder) for row in self.rows]
        return candidates_of(values, schema, self._candidates(), self._facts(), encoders)

    def table(self, fitted: FittedModel) -> FeatureTable:
        """The rows as a feature table.

        Raises:
            InputError: if a candidate is there twice.
        """
        schema, values = self._measured(fitted)
        index = pd.MultiIndex.from_tuples(self._candidates(), names=INDEX)
        frame = pd.DataFrame(values, index=index, columns=[column.name for column in schema])
        return FeatureTable(frame, schema, Provenance(targets=self._facts(), encoder=self.encoder, encoders=self.encoders))

    def _candidates(self) -> list[Candidate]:
        candidates = [Candidate(row.source, row.target, row.recipe) for row in self.rows]
        first, times = Counter(candidates).most_common(1)[0]
        if times > 1:
            raise InputError(f"candidate {tuple(first)} is there {'twice' if times == 2 else f'{times} times'}.")
        return candidates

    def _measured(self, fitted: FittedModel) -> tuple[tuple[Column, ...], np.ndarray]:
        """The columns that the rows have, and (n, f) values; features without a description take no time or memory."""
        known = {column.name: column for column in fitted.schema if column.group != "recipe"}
        known = {OWN_SCORE.name: OWN_SCORE} | {sent.name: sent.column() for sent in self.columns} | known
        names = sorted({name for row in self.rows for name in row.features if name in known})
        place = {name: number for number, name in enumerate(names)}
        values = np.full((len(self.rows), len(names)), np.nan)
        for number, row in enumerate(self.rows):
            for name, value in row.features.items():
                if value is not None and name in place:
                    values[number, place[name]] = value
        return tuple(known[name] for name in names), values

    def _facts(self) -> dict[str, TargetFacts]:
        return {name: TargetFacts(fingerprint="", **target.model_dump()) for name, target in self.targets.items()}


class PlanRequest(ForecastRequest):
    """Candidates and a budget."""

    budget: Budget


class ForecastRow(BaseModel):
    """One forecast; `why`, present if requested, sums with `base` to `score`."""

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


_NUMBERS = ("score", "lower", "upper", "prior_share", "base", "support")


def answer_of(forecast: Forecast) -> bytes:
    """A ForecastAnswer in JSON, written without checking it against the model again."""
    columns: dict[str, Any] = dict(zip(INDEX, zip(*forecast.candidates, strict=True), strict=True))
    columns |= {name: getattr(forecast, name).tolist() for name in _NUMBERS}
    columns["beats_baseline"] = [None if math.isnan(value) else value for value in forecast.beats_baseline.tolist()]
    columns["why"] = [dict(zip(forecast.groups, row, strict=True)) for row in forecast.why.tolist()]
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    about = {"predictor": forecast.predictor, "basis": forecast.basis, "coverage": forecast.coverage}
    return to_json({**about, "forecasts": rows})


class ObservationRow(rows.ObservationRow):
    """One measured training; see `transfercast history import` for what the fields mean."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Observations(Request):
    """Observations to append; sending them again changes nothing."""

    observations: Annotated[list[ObservationRow], Field(min_length=1, max_length=MOST_ROWS)]
    columns: Annotated[list[Description], Field(max_length=MOST_FEATURES)] = []

    def records(self) -> list[Observation]:
        """The observations for the history.

        Raises:
            InputError: naming the row that is wrong.
        """
        found = []
        for number, row in enumerate(self.observations):
            try:
                found.append(row.observation())
            except InputError as error:
                raise InputError(f"observations[{number}]: {error}") from error
        return found


class Appended(BaseModel):
    """Number of new observations, and of all that the history holds."""

    new: int
    total: int


class ModelRow(BaseModel):
    """A version of the predictor; `promoted` says whether it ever was, and can be rolled back to."""

    id: str
    in_force: bool
    promoted: bool
    observations: int | None
    reason: str


class Quality(BaseModel):
    """Quality of forecasts of held-out targets with one set of features; regrets in percent of the best score."""

    name: str
    rmse: float
    coverage: float
    ndcg: float
    regret: dict[str, float]
    time_share: float


class ModelReport(BaseModel):
    """A version's observations and evaluation; `curves` has the best score so far at even shares of all hours, by order."""

    id: str
    observations: int
    targets: int
    features: str
    reason: str
    rows: list[Quality]
    curves: dict[str, list[float]]


class Retrain(Request):
    """Options of a retraining; an empty body takes the defaults."""

    minutes: Annotated[float, Field(ge=0, le=24 * 60)] = 1.0
    margin: Annotated[float, Field(ge=0, le=100)] = 0.5


class JobRow(BaseModel):
    """A retraining: running, done (promoted or not), failed, or cancelled; `message` is its verdict or error."""

    id: str
    state: State
    started: float
    seconds: float
    version: str | None
    promoted: bool | None
    message: str
    rows: list[dict[str, Any]]


class TableNames(BaseModel):
    """Feature tables to choose from."""

    tables: list[str]


class TableRows(BaseModel):
    """A feature table; with a budget added, it is a body of POST /v1/plans."""

    rows: list[dict[str, Any]]
    targets: dict[str, dict[str, Any]]
    columns: list[dict[str, Any]]
    encoder: str
    encoders: dict[str, str]


class About(BaseModel):
    """The features that this service offers."""

    version: str
    predictor: str
    history: bool
    versions: bool
    retrains: bool


class HistoryRow(BaseModel):
    """An observation, without its features; `baseline` is the target trained alone, `gain` the difference."""

    source: str
    target: str
    recipe: str
    encoder: str
    seed: int
    metric: str
    split: str
    score: float
    hours: float
    finished_at: str
    baseline: float | None
    gain: float | None


class HistoryRows(BaseModel):
    """A page of observations, the latest first, and the number of all."""

    total: int
    rows: list[HistoryRow]


class TrainingRow(BaseModel):
    """A training; `curve` holds its score after each epoch."""

    source: str
    target: str
    recipe: str
    encoder: str
    ended: str
    why: str
    curve: list[float]
    epoch: int | None
    seconds: float
    finished_at: str


class GainRow(BaseModel):
    """Mean gain of a source on a target, over so many trainings."""

    source: str
    target: str
    gain: float
    trainings: int


class SearchStep(BaseModel):
    """A training of a plan: its forecast and its result."""

    position: int
    source: str
    target: str
    recipe: str
    encoder: str
    state: str
    forecast: float | None
    lower: float | None
    upper: float | None
    score: float | None
    why: str


class SearchRow(BaseModel):
    """A plan of the folder and the progress of its search."""

    name: str
    id: str
    budget: str
    basis: str
    steps: list[SearchStep]


class Terms(Request):
    """Either a source and a text, whose words are explained; or two sources, whose shared terms are listed."""

    source: Name
    text: Annotated[str, Field(min_length=1, max_length=MOST_TERM_LETTERS, pattern=r"^[^\x00]+$")] | None = None
    second: Name | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Terms:
        if (self.text is None) == (self.second is None):
            raise ValueError("give either text or second")
        return self


class TermRow(BaseModel):
    """A word of a text and its activity; or a term that two sources share, its weight, and in how many documents."""

    term: str
    value: float
    documents: int | None = None


class TermAnswer(BaseModel):
    """Words in the order of the text, or terms by weight; `about` is a summary in one sentence."""

    about: str
    terms: list[TermRow]


class TermSources(BaseModel):
    """Sources whose words can be explained; if there are none, `needs` says what is missing."""

    sources: list[str]
    needs: str


class Mistake(BaseModel):
    """One mistake in a request: its place, a message, and the value found there."""

    type: str
    loc: list[str | int]
    msg: str
    input: str


class Refusal(BaseModel):
    """The answer to a request that is refused."""

    detail: str | list[Mistake]
