"""What was fitted, to and from the files of an artifact; every value is checked when it is read."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, RootModel

from transfercast.core.errors import ArtifactError
from transfercast.core.files import reason, replaced_folder
from transfercast.core.table import Column
from transfercast.core.validation import checked
from transfercast.predictor import artifact
from transfercast.predictor.boosters import read_booster
from transfercast.predictor.bounds import Residuals
from transfercast.predictor.inputs import Inputs
from transfercast.predictor.learner import PARTS, Model, Part, Ridge
from transfercast.predictor.past import Past
from transfercast.predictor.regressor import Choice, Fitted
from transfercast.predictor.scaling import Scaling
from transfercast.predictor.situations import Situation

MOST_CELLS = 2**28
"""Of the matrices that past.json describes: 2 GiB. A few names in it would otherwise take all memory."""

_REMEDY = "Roll back, or train anew."


class _Exact(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class _RidgeContent(_Exact):
    mean: list[float]
    scale: list[float]
    weights: list[float]
    intercept: float


class _ModelContent(_Exact):
    """model.json; each booster is a file, the situation it is for and the part of the learner it is."""

    choice: Choice
    columns: tuple[Column, ...] = Field(alias="schema")
    scaling: Scaling
    ridges: dict[Situation, _RidgeContent]
    boosters: list[tuple[str, Situation, Part]]


class _PastContent(_Exact):
    encoders: list[str]
    tasks: list[str]
    groups: list[str]
    scores: list[list[float]]
    alone: list[list[float]]
    views: list[list[float]]


class _ResidualsContent(RootModel[dict[str, list[float]]]):
    model_config = ConfigDict(allow_inf_nan=False)


def to_folder(
    folder: Path, fitted: Fitted, residuals: Residuals, manifest: dict[str, Any], report: dict[str, Any], card: str
) -> None:
    """Write what was fitted as a version folder; `manifest` holds the id and what it was fitted on."""
    boosters = [
        (situation, part, booster) for situation, model in fitted.models.items() for part, booster in model.boosters.items()
    ]
    files = [f"booster-{number}.json" for number in range(len(boosters))]
    past = None if fitted.inputs is None else fitted.inputs.past
    parts = {
        "model.json": {
            "choice": asdict(fitted.choice),
            "schema": [column.model_dump() for column in fitted.schema],
            "scaling": asdict(fitted.scaling),
            "ridges": {situation: _lists(model.ridge) for situation, model in fitted.models.items()},
            "boosters": [[file, situation, part] for file, (situation, part, _) in zip(files, boosters, strict=True)],
        },
        "past.json": {} if past is None else past.as_json(),
        "residuals.json": {name: values.tolist() for name, values in residuals.items()},
        "report.json": report,
    }
    with replaced_folder(folder) as new:
        saved = {file: bytes(booster.save_raw("json")) for file, (_, _, booster) in zip(files, boosters, strict=True)}
        artifact.write(new, manifest, saved, parts, card)


def from_folder(folder: Path) -> tuple[str, Fitted, Residuals]:
    """The id of a version, what was fitted, and its held-out residuals.

    Raises:
        InputError: if there is no version.
        ArtifactError: if it is damaged, tampered with or of another format.
    """
    manifest, contents, parts = artifact.read(folder)
    where = f"{folder}/model.json"
    content = checked(_ModelContent, where, parts["model.json"], ArtifactError, _REMEDY)
    inputs = Inputs(_past(parts["past.json"], f"{folder}/past.json"), content.columns, content.choice.goal)
    boosters: dict[Situation, dict[Part, Any]] = {situation: {} for situation in content.ridges}
    for file, situation, part in content.boosters:
        if file not in contents or situation not in boosters:
            raise ArtifactError(f"{where}: {file[:80]!r} is no booster of this version. {_REMEDY}")
        boosters[situation][part] = read_booster(contents[file], len(inputs.columns), f"{folder}/{file}")
    expected = set(PARTS[content.choice.learner] if inputs.columns else ())
    if "new target" not in boosters or any(set(parts_there) != expected for parts_there in boosters.values()):
        raise ArtifactError(f"{where}: not the models of {content.choice.learner!r}. {_REMEDY}")
    models = {
        situation: Model(_ridge(ridge, len(inputs.columns), where), boosters[situation])
        for situation, ridge in content.ridges.items()
    }
    residuals = checked(_ResidualsContent, f"{folder}/residuals.json", parts["residuals.json"], ArtifactError, _REMEDY)
    return (
        str(manifest.get("id", folder.name)),
        Fitted(content.choice, content.columns, inputs, models, content.scaling),
        {name: np.array(values, dtype=np.float64) for name, values in residuals.root.items()},
    )


def _past(fields: Any, where: str) -> Past | None:
    if fields == {}:
        return None
    content = checked(_PastContent, where, fields, ArtifactError, _REMEDY)
    cells = (len(content.encoders) + len(content.groups) + 1) * len(content.tasks) ** 2
    if cells > MOST_CELLS:
        raise ArtifactError(f"{where}: {len(content.tasks)} tasks take more memory than is given to a history. {_REMEDY}")
    try:
        return Past.from_json(content.model_dump())
    except ValueError as error:
        raise ArtifactError(f"{where}: damaged ({reason(error)}). {_REMEDY}") from error


def _lists(ridge: Ridge) -> dict[str, Any]:
    arrays = {name: getattr(ridge, name).tolist() for name in ("mean", "scale", "weights")}
    return {**arrays, "intercept": ridge.intercept}


def _ridge(content: _RidgeContent, columns: int, where: str) -> Ridge:
    if not len(content.mean) == len(content.scale) == len(content.weights) == columns:
        raise ArtifactError(f"{where}: a ridge that does not fit its {columns} columns. {_REMEDY}")
    mean, scale, weights = (np.array(values, dtype=np.float64) for values in (content.mean, content.scale, content.weights))
    return Ridge(mean, scale, weights, content.intercept)
