"""One observation as input: by HTTP, in a file, or from Python. Its limits are those of the SQL tables."""

from __future__ import annotations

import json
import math
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from transfercast.core.kinds import DEFAULT_METRIC
from transfercast.core.records import Observation, checked_feature
from transfercast.core.text import printable
from transfercast.core.validation import checked, shown

MOST_FEATURES = 500


def _shown_as_it_is(text: str) -> str:
    if printable(text) != text or set(text) & set("\t\n"):
        raise ValueError("holds control characters, which cannot be kept or shown")
    return text


Plain = AfterValidator(_shown_as_it_is)
Name = Annotated[str, Field(min_length=1, max_length=100), Plain]
Seed = Annotated[int, Field(ge=-(2**31), lt=2**31)]
Version = Annotated[int, Field(ge=1, lt=2**31)]


class ObservationRow(BaseModel):
    """One measured training; see `transfercast history import` for what the fields mean."""

    model_config = ConfigDict(extra="forbid")

    source: Name
    target: Name
    score: Annotated[float, Field(ge=-1, le=1)]
    metric: Annotated[str, Field(max_length=50), Plain] = DEFAULT_METRIC
    recipe: Annotated[str, Field(max_length=200), Plain] = "unknown"
    encoder: Annotated[str, Field(min_length=1, max_length=200), Plain] = "unknown"
    seed: Seed = 0
    split: Annotated[str, Field(max_length=20)] = "validation"
    hours: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    device: Annotated[str, Field(max_length=50), Plain] = "unknown"
    finished_at: Annotated[str, Field(max_length=40), Plain] = ""
    source_fingerprint: Annotated[str, Field(max_length=64), Plain] = ""
    target_fingerprint: Annotated[str, Field(max_length=64), Plain] = ""
    features: Annotated[dict[str, float | None], Field(max_length=MOST_FEATURES)] = {}

    @field_validator("features")
    @classmethod
    def _can_be_kept(cls, features: dict[str, float | None]) -> dict[str, float | None]:
        for name, value in features.items():
            checked_feature(name)
            if value is not None and math.isinf(value):
                raise ValueError(f"{name!r} is infinite; leave it out where the measure does not apply")
        return features

    def observation(self) -> Observation:
        """The observation for the history, without the features that were not measured.

        Raises:
            InputError: if the metric or split is unknown, or the score outside the metric's range.
        """
        values = self.model_dump()
        values["features"] = {name: value for name, value in self.features.items() if value is not None and value == value}
        return Observation(**values)


class RecordedRow(ObservationRow):
    """An observation as a row of a file, with the run's key and the versions of the measures, if they are known."""

    run_key: Annotated[str, Field(max_length=64), Plain] = ""
    versions: dict[str, Version] = {}

    @field_validator("versions", mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except (ValueError, RecursionError) as error:
            raise ValueError('versions are written as {"NAME": 2}') from error


def storable(observation: Observation) -> dict[str, Any]:
    """The fields of an observation for the SQL tables.

    Raises:
        InputError: if a name is too long, or a number too large, for one of the databases.
    """
    values = {name: getattr(observation, name) for name in RecordedRow.model_fields}
    values["features"] = {name: value for name, value in observation.features.items() if math.isfinite(value)}
    where = f"observation {shown(observation.source)} -> {shown(observation.target)}"
    return checked(RecordedRow, where, values).model_dump()
