"""The table of features: the only thing that crosses from measuring to deciding.

Stored as Parquet with the schema and provenance as JSON in the file's own metadata. Raise FORMAT when an older
version would misread the file; keep a file of the old format in tests/artifacts and a test that still loads it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from transfercast.core.errors import ArtifactError, InputError, ShapeError
from transfercast.core.files import written_beside
from transfercast.core.records import Candidate, Recipe

FORMAT = 1
INDEX = ["source", "target", "recipe"]
_METADATA_KEY = b"transfercast"

Better = Literal["higher", "lower", "unknown"]
Group = Literal["single-task scores", "attribution", "label space", "embeddings", "data", "history", "recipe"]


class Column(BaseModel):
    """One column of a FeatureTable: which measure made it, in which version, and which direction is better."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    measure: str
    version: int
    better: Better
    group: Group


class TargetFacts(BaseModel):
    """What planning and search must know of a target besides its features.

    `spec` says how to read the task again; `score` is the target trained alone, on validation;
    `seconds_per_row_epoch` was measured in that training.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    fingerprint: str
    metric: str
    train_rows: int
    score: float | None = None
    seconds_per_row_epoch: float | None = None
    spec: dict[str, Any] | None = None


class Provenance(BaseModel):
    """Where a table comes from, which sources failed and why, and what a search needs to train its pairs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pool: str | None = None
    encoder: str = "unknown"
    seed: int = 0
    sources: dict[str, str] = {}
    targets: dict[str, TargetFacts] = {}
    failed: dict[str, str] = {}
    version: str = ""


@dataclass(frozen=True, slots=True)
class FeatureTable:
    """Features of candidate pairs.

    Attributes:
        frame: (n, f) float64, indexed by (source, target, recipe); NaN where a measure does not apply.
        schema: f columns, in the frame's order.
        provenance: pool, encoder, tasks.
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

    @property
    def candidates(self) -> list[Candidate]:
        """The rows' (source, target, recipe), in order."""
        return [Candidate(*row) for row in self.frame.index]

    def with_recipes(self, recipes: list[Recipe]) -> FeatureTable:
        """Every pair once for every recipe: candidates are then pairs x recipes."""
        pairs = self.frame.droplevel("recipe")
        pairs = pairs[~pairs.index.duplicated()]
        crossed = pd.concat({recipe.key: pairs for recipe in recipes}, names=["recipe"])
        return replace(self, frame=crossed.reorder_levels(INDEX))

    def save(self, path: str | Path) -> None:
        """Write the table to a Parquet file."""
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
        """
        path = Path(path)
        if not path.is_file():
            raise InputError(f"{path}: no such file; expected a feature table ('transfercast features' makes one).")
        try:
            table = pq.read_table(path)
            about = json.loads((table.schema.metadata or {})[_METADATA_KEY])
        except (pa.ArrowInvalid, KeyError, json.JSONDecodeError) as error:
            raise ArtifactError(f"{path}: not a feature table. Make one with 'transfercast features'.") from error
        if about["format"] > FORMAT:
            raise ArtifactError(
                f"{path} has format {about['format']}, this version reads up to {FORMAT}. Upgrade transfercast."
            )
        try:
            schema = tuple(Column(**column) for column in about["schema"])
            provenance = Provenance(**about["provenance"])
        except ValidationError as error:
            raise ArtifactError(f"{path}: damaged schema ({error.errors()[0]['msg']}). Make it anew.") from error
        frame = table.to_pandas().set_index(INDEX)[[column.name for column in schema]].astype(np.float64)
        return cls(frame, schema, provenance)
