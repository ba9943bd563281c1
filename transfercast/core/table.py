"""The table of features: the only data that passes from measuring to deciding.

Stored as Parquet with the schema and provenance as JSON in the file's own metadata. Raise FORMAT when an older
version would misread the file; keep a file of the old format in tests/artifacts and a test that still loads it.
Format 2 added the encoder of each source, and the scores of each target with each encoder; files of format 1 have one encoder.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, model_validator

from transfercast.core.errors import ArtifactError, InputError, ShapeError
from transfercast.core.files import parse_json, reason, written_beside
from transfercast.core.kinds import METRICS, MetricName
from transfercast.core.notebook import MOST_ROWS, table_html
from transfercast.core.records import HIGHEST_SEED, MOST_LETTERS, Candidate, Recipe, checked_name
from transfercast.core.validation import checked, shown

FORMAT = 2
INDEX = ["source", "target", "recipe"]
_METADATA_KEY = b"transfercast"
_REMEDY = "Make it anew with 'transfercast features'."

Better = Literal["higher", "lower", "unknown"]
Group = Literal["single-task scores", "attribution", "label space", "embeddings", "data", "history", "recipe"]


class Column(BaseModel):
    """One column of a FeatureTable: which measure made it, in which version, and which direction is better."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=MOST_LETTERS)]
    measure: Annotated[str, Field(min_length=1, max_length=MOST_LETTERS)]
    version: Annotated[int, Field(ge=1, lt=2**31)]
    better: Better
    group: Group


class AloneFacts(BaseModel):
    """Result of training a target alone from one encoder: its score on validation, and the seconds for each row and epoch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    score: float | None = None
    seconds_per_row_epoch: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None


class TargetFacts(AloneFacts):
    """Facts on a target that planning and search need besides its features.

    `spec` describes how to read the task again; `score` is that of the target trained alone, on validation, in the range of
    `metric`; `seconds_per_row_epoch` was measured in that training. With several encoders, `alone` has both values for each,
    and the target's own are those of the encoder with the best score.
    """

    fingerprint: str
    metric: MetricName
    train_rows: Annotated[int, Field(ge=1)]
    alone: dict[str, AloneFacts] = {}
    spec: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _in_range(self) -> TargetFacts:
        metric = METRICS[self.metric]
        for score in (self.score, *(one.score for one in self.alone.values())):
            if score is not None and not metric.lowest <= score <= metric.highest:
                raise ValueError(f"score {score:g} is outside [{metric.lowest:g}, {metric.highest:g}] of {self.metric}")
        return self

    def with_encoder(self, encoder: str) -> AloneFacts:
        """The facts on the target trained alone from an encoder."""
        if not self.alone:
            return self
        return self.alone.get(encoder, AloneFacts())


class Provenance(BaseModel):
    """Origin of a table, the sources that failed with their reasons, and the facts that a search needs to train its pairs.

    `encoders` names the base encoder of each source; that of a source that is not in it is `encoder`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pool: str | None = None
    encoder: str = "unknown"
    encoders: dict[str, str] = {}
    seed: Annotated[int, Field(ge=0, le=HIGHEST_SEED)] = 0
    sources: dict[str, str] = {}
    targets: dict[str, TargetFacts] = {}
    failed: dict[str, str] = {}
    version: str = ""

    def encoder_of(self, source: str) -> str:
        """The base encoder of a source."""
        return self.encoders.get(source, self.encoder)


class _About(BaseModel):
    """The metadata in the file of a table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int
    columns: Annotated[tuple[Column, ...], Field(alias="schema")]
    provenance: Provenance


@dataclass(frozen=True, slots=True, repr=False)
class FeatureTable:
    """Features of candidate pairs.

    Attributes:
        frame: (n, f) float64, indexed by (source, target, recipe); NaN where a measure does not apply.
        schema: f columns, in the frame's order.
        provenance: pool, encoder, tasks.

    Example:
        >>> import pandas as pd
        >>> import transfercast as tc
        >>> from transfercast.core.table import Column
        >>> logme = Column(name="logme", measure="logme", version=1, better="higher", group="embeddings")
        >>> candidates = [("news", "reviews", "full"), ("tweets", "reviews", "full")]
        >>> index = pd.MultiIndex.from_tuples(candidates, names=["source", "target", "recipe"])
        >>> table = tc.FeatureTable(pd.DataFrame({"logme": [0.1, 0.4]}, index=index), (logme,))
        >>> table
        <FeatureTable of 2 candidates, 1 targets, 1 columns>
        >>> table.candidates[1]
        Candidate(source='tweets', target='reviews', recipe='full')
    """

    frame: pd.DataFrame
    schema: tuple[Column, ...]
    provenance: Provenance = field(default_factory=Provenance)

    def __post_init__(self) -> None:
        """Refuse a frame that does not fit its schema."""
        if list(self.frame.columns) != [column.name for column in self.schema]:
            raise ShapeError("a FeatureTable's columns must be those of its schema, in the same order.")
        if list(self.frame.index.names) != INDEX:
            raise ShapeError(f"a FeatureTable is indexed by {INDEX}, found {list(self.frame.index.names)}.")
        if not self.frame.index.is_unique:
            doubled = self.frame.index[self.frame.index.duplicated()][0]
            raise ShapeError(f"a FeatureTable holds each candidate once; {tuple(doubled)} is there twice.")

    def __repr__(self) -> str:
        """Number of candidates, targets and columns."""
        targets = self.frame.index.get_level_values("target").nunique()
        return f"<FeatureTable of {len(self.frame)} candidates, {targets} targets, {len(self.schema)} columns>"

    def _repr_html_(self) -> str:
        """The first rows in a notebook, and the first columns of each measure."""
        first = {column.measure: column.name for column in reversed(self.schema)}
        part = self.frame.loc[:, [column.name for column in self.schema if first[column.measure] == column.name]]
        rows = [
            {str(name): value for name, value in row.items()} for row in part.reset_index().head(MOST_ROWS).to_dict("records")
        ]
        return table_html(f"{self!r}".strip("<>") + "; of each measure the first column", rows, len(self.frame))

    @property
    def candidates(self) -> list[Candidate]:
        """The rows' (source, target, recipe), in order."""
        return [Candidate(*row) for row in self.frame.index]

    @property
    def encoders(self) -> list[str]:
        """The base encoder of each row's source."""
        return [self.provenance.encoder_of(candidate.source) for candidate in self.candidates]

    def with_recipes(self, recipes: list[Recipe]) -> FeatureTable:
        """Every pair once for every recipe: candidates are then pairs x recipes.

        Example:
            `table` holds the features of four sources for one target.

            >>> import transfercast as tc
            >>> table.with_recipes([tc.Recipe(), tc.Recipe(adaptation="features")])
            <FeatureTable of 8 candidates, 1 targets, 1 columns>
        """
        pairs = self.frame.droplevel("recipe")
        pairs = pairs[~pairs.index.duplicated()]
        crossed = pd.concat({recipe.key: pairs for recipe in recipes}, names=["recipe"])
        return replace(self, frame=crossed.reorder_levels(INDEX))

    def save(self, path: str | Path) -> None:
        """Write the table to a Parquet file.

        Example:
            `table` holds the features of four sources for one target.

            >>> import transfercast as tc
            >>> table.save("features.parquet")
            >>> tc.FeatureTable.load("features.parquet").frame.equals(table.frame)
            True
        """
        path = Path(path)
        about = {
            "format": FORMAT,
            "schema": [column.model_dump() for column in self.schema],
            "provenance": self.provenance.model_dump(),
        }
        table = pa.Table.from_pandas(self.frame.reset_index(), preserve_index=False)
        table = table.replace_schema_metadata({_METADATA_KEY: json.dumps(about).encode()})
        with written_beside(path) as beside:
            pq.write_table(table, beside)

    @classmethod
    def load(cls, path: str | Path) -> FeatureTable:
        """Read a table back.

        Raises:
            InputError: if the file is not there.
            ArtifactError: if it is no feature table, or of a newer format.

        Example:
            `table` holds the features of four sources for one target.

            >>> import transfercast as tc
            >>> table.save("features.parquet")
            >>> tc.FeatureTable.load("features.parquet")
            <FeatureTable of 4 candidates, 1 targets, 1 columns>
        """
        path = Path(path)
        if not path.is_file():
            raise InputError(f"{path}: no such file; expected a feature table ('transfercast features' makes one).")
        table = _arrow_table(path)
        about = _about(path, table)
        names = [column.name for column in about.columns]
        _check_columns(path, table, names)
        try:
            frame = table.select([*INDEX, *names]).replace_schema_metadata(None).to_pandas()
            frame = frame.set_index(INDEX).astype(np.float64)
        except (pa.ArrowException, ValueError, TypeError) as error:
            raise ArtifactError(f"{path}: not a feature table ({reason(error)}). {_REMEDY}") from error
        _check_candidates(path, frame.index)
        try:
            return cls(frame, about.columns, about.provenance)
        except ShapeError as error:
            raise ArtifactError(f"{path}: {error} {_REMEDY}") from error


def _arrow_table(path: Path) -> pa.Table:
    try:
        with pq.ParquetFile(path) as file:
            return file.read()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ArtifactError(f"{path}: not a feature table ({reason(error)}). {_REMEDY}") from error


def _about(path: Path, table: pa.Table) -> _About:
    written = (table.schema.metadata or {}).get(_METADATA_KEY)
    if written is None:
        raise ArtifactError(f"{path}: not a feature table: it does not say what its columns mean. {_REMEDY}")
    about = parse_json(written, f"{path}, expected a feature table")
    number = about.get("format") if isinstance(about, dict) else None
    if type(number) is not int or number < 1:
        raise ArtifactError(f"{path}: not a feature table: it has no format number. {_REMEDY}")
    if number > FORMAT:
        raise ArtifactError(f"{path} has format {number}, this version reads up to {FORMAT}. Upgrade transfercast.")
    return checked(_About, f"{path}: damaged", about, raises=ArtifactError, remedy=_REMEDY)


def _check_columns(path: Path, table: pa.Table, measured: list[str]) -> None:
    for names in (table.column_names, [*INDEX, *measured]):
        if doubled := [name for name, times in Counter(names).items() if times > 1]:
            raise ArtifactError(f"{path}: column {doubled[0]!r} is there twice. {_REMEDY}")
    if absent := sorted({*INDEX, *measured} - set(table.column_names)):
        raise ArtifactError(f"{path}: column {absent[0]!r} is not there. {_REMEDY}")
    for name in measured:
        kind = table.schema.field(name).type
        if not any(fits(kind) for fits in (pa.types.is_floating, pa.types.is_integer, pa.types.is_boolean, pa.types.is_null)):
            raise ArtifactError(f"{path}: column {name!r} holds {kind}, not numbers. {_REMEDY}")


def _check_candidates(path: Path, index: pd.Index) -> None:
    if index.empty:
        raise ArtifactError(f"{path}: holds no candidate. {_REMEDY}")
    for level in INDEX:
        for value in index.unique(level):
            try:
                if not isinstance(value, str):
                    raise InputError(f"{shown(value)} is not a text.")
                _ = Recipe.parse(value) if level == "recipe" else checked_name(value, level)
            except InputError as error:
                values = index.get_level_values(level)
                row = next(row for row, there in enumerate(values, start=1) if there is value or there == value)
                raise ArtifactError(f"{path}, row {row}, column {level!r}: {error} {_REMEDY}") from error
