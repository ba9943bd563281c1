"""Reading and writing of a fitted model as the files of an artifact; every value is checked when it is read.

The files have the performance matrix, trees, weights and calibration; the process is solved again after reading.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, RootModel
from safetensors import SafetensorError
from safetensors.numpy import load, save

from transfercast.core.errors import ArtifactError
from transfercast.core.files import reason, replaced_folder
from transfercast.core.table import Column
from transfercast.core.validation import checked
from transfercast.predictor import artifact
from transfercast.predictor.base_models import MODELS, BaseModels
from transfercast.predictor.boosters import read_booster
from transfercast.predictor.calibration import Calibration
from transfercast.predictor.difficulty import Difficulty
from transfercast.predictor.feature_sets import uses_history
from transfercast.predictor.fitting import FittedModel
from transfercast.predictor.performance import PerformanceMatrix, Rows, TargetProfiles
from transfercast.predictor.process import PairProcess
from transfercast.predictor.relative import OUTCOMES

MOST_CELLS = 2**27
"""Largest number of cells of a matrix whose size follows from numbers of names in the file: 1 GiB."""

LARGEST_VALUE = 1e6
"""Largest absolute value of a matrix: its values are z-scores, at most the square root of the number of rows."""

_REMEDY = "Roll back, or train anew."
_MATRIX, _REGRESSOR = "matrix.safetensors", "regressor.json"
_CELLS, _PROFILES = ("encoder", "target", "source", "evidence", "named", "outcomes"), ("measures",)


class _Exact(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class _MatrixContent(_Exact):
    encoders: tuple[str, ...]
    tasks: tuple[str, ...]
    targets: tuple[str, ...]
    columns: tuple[Column, ...]


class _ModelContent(_Exact):
    """Content of model.json; `matrix` is None without base models."""

    features: str
    columns: tuple[Column, ...] = Field(alias="schema")
    deviations: list[float] = Field(min_length=len(MODELS), max_length=len(MODELS))
    shares: list[float] = Field(min_length=len(MODELS), max_length=len(MODELS))
    calibration: Calibration
    difficulty: Difficulty
    matrix: _MatrixContent | None


class _ResidualsContent(RootModel[dict[str, list[float]]]):
    model_config = ConfigDict(allow_inf_nan=False)


def to_folder(folder: Path, fitted: FittedModel, manifest: dict[str, Any], report: dict[str, Any], card: str) -> None:
    """Write a fitted model as a version folder; `manifest` has the id and a description of its data."""
    models = fitted.models
    binary: dict[str, bytes] = {}
    names = None
    if models is not None:
        matrix, profiles = models.matrix, models.matrix.profiles
        arrays = {name: getattr(matrix.rows, name) for name in _CELLS[:-1]} | {"outcomes": matrix.outcomes}
        arrays |= {name: getattr(profiles, name) for name in _PROFILES}
        binary[_MATRIX] = save({name: np.ascontiguousarray(values) for name, values in arrays.items()})
        if models.regressor is not None:
            binary[_REGRESSOR] = bytes(models.regressor.save_raw("json"))
        names = {
            "encoders": matrix.encoders, "tasks": matrix.tasks, "targets": profiles.names,
            "columns": [column.model_dump() for column in matrix.columns],
        }  # fmt: skip
    parts = {
        "model.json": {
            "features": fitted.features,
            "schema": [column.model_dump() for column in fitted.schema],
            "deviations": fitted.deviations.tolist(),
            "shares": fitted.shares.tolist(),
            "calibration": asdict(fitted.calibration),
            "difficulty": asdict(fitted.difficulty),
            "matrix": names,
        },
        "residuals.json": {name: values.tolist() for name, values in fitted.residuals.items()},
        "report.json": report,
    }
    with replaced_folder(folder) as new:
        artifact.write(new, manifest, binary, parts, card)


def from_folder(folder: Path) -> tuple[str, FittedModel]:
    """The id of a version, and its fitted model.

    Raises:
        InputError: if there is no version.
        ArtifactError: if it is damaged, was tampered with, or has another format.
    """
    manifest, contents, parts = artifact.read(folder)
    where = f"{folder}/model.json"
    content = checked(_ModelContent, where, parts["model.json"], ArtifactError, _REMEDY)
    if min(content.deviations) <= 0 or min(content.shares) < 0:
        raise ArtifactError(f"{where}: deviations must be above 0, and shares not below 0. {_REMEDY}")
    residuals = checked(_ResidualsContent, f"{folder}/residuals.json", parts["residuals.json"], ArtifactError, _REMEDY)
    models = None if content.matrix is None else _models(content, content.matrix, contents, folder)
    return str(manifest.get("id", folder.name)), FittedModel(
        content.features,
        content.columns,
        models,
        np.array(content.deviations),
        np.array(content.shares),
        content.calibration,
        {name: np.array(values, dtype=np.float64) for name, values in residuals.root.items()},
        content.difficulty,
    )


def _models(content: _ModelContent, names: _MatrixContent, contents: dict[str, bytes], folder: Path) -> BaseModels:
    where = f"{folder}/{_MATRIX}"
    for file in (_MATRIX, _REGRESSOR):
        if file not in contents:
            raise ArtifactError(f"{folder}/{file}: missing, but model.json has base models. {_REMEDY}")
    try:
        matrix = _matrix(names, load(contents[_MATRIX]))
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{where}: damaged ({reason(error)}). {_REMEDY}") from error
    models = BaseModels(PairProcess(matrix, uses_history(content.features)), content.columns)
    return replace(models, regressor=read_booster(contents[_REGRESSOR], len(models.input_columns), f"{folder}/{_REGRESSOR}"))


def _matrix(names: _MatrixContent, arrays: dict[str, np.ndarray]) -> PerformanceMatrix:
    """The performance matrix from its arrays.

    Raises:
        ValueError: if these do not fit together.
    """
    cells, encoders, tasks = len(arrays["outcomes"]), len(names.encoders), len(names.tasks)
    targets, columns = len(names.targets), len(names.columns)
    shapes = {
        "encoder": (cells,), "target": (cells,), "source": (cells,), "evidence": (cells, columns),
        "named": (cells,), "outcomes": (cells, len(OUTCOMES)),
        "measures": (targets, columns, tasks),
    }  # fmt: skip
    for name, shape in shapes.items():
        is_number = name in _CELLS[:3]
        if arrays[name].shape != shape or arrays[name].dtype != (np.int64 if is_number else np.float64):
            raise ValueError(f"{name} has shape {arrays[name].shape} of {arrays[name].dtype}")
        if name in _CELLS and not np.isfinite(arrays[name]).all():
            raise ValueError(f"{name} has values that are not finite numbers")
        if not is_number and np.nanmax(np.abs(arrays[name]), initial=0.0) > LARGEST_VALUE:
            raise ValueError(f"{name} has values above {LARGEST_VALUE:.0f}")
    for name, size in (("encoder", encoders), ("target", targets), ("source", tasks)):
        if cells == 0 or arrays[name].min() < 0 or arrays[name].max() >= size:
            raise ValueError(f"{name} has numbers outside 0 to {size - 1}")
    keys = np.stack([arrays[name] for name in _CELLS[:3]], axis=1)
    if len(np.unique(keys, axis=0)) < cells or len(set(names.tasks)) < tasks or set(names.targets) - set(names.tasks):
        raise ValueError("a cell or a task occurs twice, or a target is not a task")
    if (
        max(len(OUTCOMES) * encoders * targets * tasks, int(np.bincount(arrays["source"]).max()) ** 2, targets * tasks)
        > MOST_CELLS
    ):
        raise ValueError(f"{tasks} tasks and {cells} cells need more memory than is allowed")
    profiles = TargetProfiles(names.targets, *(arrays[name] for name in _PROFILES))
    rows = Rows(profiles=profiles, **{name: arrays[name] for name in _CELLS[:-1]})
    return PerformanceMatrix(names.encoders, names.tasks, names.columns, rows, arrays["outcomes"])
