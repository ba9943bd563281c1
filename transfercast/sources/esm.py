"""Embedding space maps: a linear map from the base encoder's embeddings to a fine-tuned encoder's, W x + b.

With a map a source needs no forward pass on a target's rows: the base encoder's embeddings are computed once, and mapped. The
paper trains the map with Adam; the same model has a closed-form ridge solution, whose penalty is chosen here by its
leave-one-out error.

The files have the format of hf-dataset-selector, so that its published maps can be used here and ours there. Its maps are
fitted on the pooler's output (BERT), on the first token (RoBERTa, DistilBERT) or, for sentence-transformers, on the mean over
tokens; config.json of our maps names the pooling that they were fitted on.
Schulte, Hamborg, Akbik, "Less is More" (EMNLP 2024), arXiv:2410.15148.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel

from transfercast.core.errors import ArtifactError, InputError, ShapeError
from transfercast.core.files import parse_json, reason, replaced_folder, write_json
from transfercast.core.poolings import Pooling
from transfercast.core.validation import checked

_WEIGHTS = "model.safetensors"
_POOLING = "transfercast_pooling"
_NAMES = {"model.weight": "weight", "model.bias": "bias", "sequential.0.weight": "weight", "sequential.0.bias": "bias"}
"""Tensors as hf-dataset-selector names them, now and (`sequential`) in its version 0.1.0."""

PENALTIES = np.logspace(-6, 2, 17)
"""Penalties that are tried, relative to the mean squared singular value of the base embeddings."""


@dataclass(frozen=True, slots=True)
class SpaceMap:
    """An embedding space map.

    Attributes:
        weight: (e, d) float32.
        bias: (e,) float32.
    """

    weight: np.ndarray
    bias: np.ndarray

    def __call__(self, base: np.ndarray) -> np.ndarray:
        """(n, e) mapped embeddings of (n, d) base embeddings."""
        return np.asarray(base @ self.weight.T + self.bias)

    def save(self, folder: str | Path, *, base_model: str, task: str, pooling: Pooling) -> None:
        """Write config.json and model.safetensors into a folder; an existing one is replaced completely.

        Args:
            folder: to write.
            base_model: name of the base encoder.
            task: name of the source's task.
            pooling: pooling of the embeddings that it maps.

        Raises:
            InputError: if it cannot be written, as on a full disk.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import save_file

        about = {
            "base_model_name": base_model,
            "task_id": task,
            "esm_architecture": "linear",
            "esm_embedding_dim": self.weight.shape[1],
            "version": "0.2.1",
            _POOLING: pooling,
        }
        with replaced_folder(Path(folder)) as new:
            write_json(new / "config.json", about)
            try:
                save_file({"model.weight": self.weight, "model.bias": self.bias}, new / _WEIGHTS)
            except (OSError, SafetensorError) as error:
                raise InputError(
                    f"{folder}: the map cannot be written ({reason(error)}). Make room, and start again."
                ) from error
            shutil.copymode(new / "config.json", new / _WEIGHTS)  # safetensors makes files that only their user can read

    @classmethod
    def load(cls, folder: str | Path) -> SpaceMap:
        """Read a map that was written by transfercast or by hf-dataset-selector.

        Raises:
            ArtifactError: if there is none, it is not a linear map, or its weights are not finite.
        """
        from safetensors.numpy import load_file

        file = Path(folder) / _WEIGHTS
        try:
            tensors = {_NAMES.get(name, name): values for name, values in load_file(file).items()}
        except Exception as error:  # of safetensors, of numpy for types that it lacks, of the file system
            raise ArtifactError(f"{file} cannot be read: {reason(error)}. Fit the map again.") from error
        shapes = {name: values.shape for name, values in tensors.items()}
        if set(shapes) != {"weight", "bias"} or len(shapes["weight"]) != 2 or shapes["bias"] != shapes["weight"][:1]:
            raise ArtifactError(f"{file}: {_listed(shapes)} are not weight and bias of a linear map. Fit the map again.")
        weight, bias = (tensors[name].astype(np.float32) for name in ("weight", "bias"))
        if not weight.size or not np.isfinite(weight).all() or not np.isfinite(bias).all():
            raise ArtifactError(f"{file}: its weights are empty, NaN or infinite. Fit the map again.")
        return cls(weight, bias)


def _listed(shapes: dict[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "no tensors"


class _MapConfig(BaseModel):
    """A map's config.json, ours or hf-dataset-selector's, which has more keys."""

    base_model_name: str
    task_id: str
    task_subset: str | None = None
    esm_architecture: Literal["linear"]
    transfercast_pooling: Pooling | None = None


def config_files(folder: Path) -> list[Path]:
    """The config.json of each map in a folder of maps, by name.

    Raises:
        InputError: if there is none.
    """
    files = sorted(path for path in folder.glob("*/config.json") if not path.parent.name.startswith("."))
    if not files:
        raise InputError(f"{folder}: no maps. Make some with: transfercast fit-maps POOL --out {folder}")
    return files


@dataclass(frozen=True, slots=True)
class MapCard:
    """The content of a map's config.json.

    Attributes:
        folder: folder of the map.
        base_model: name of the encoder whose embeddings it maps.
        task: task of the source.
        pooling: pooling of the embeddings; None for a map of hf-dataset-selector, which chooses it by the encoder's type.
    """

    folder: Path
    base_model: str
    task: str
    pooling: Pooling | None

    @classmethod
    def read(cls, folder: Path) -> MapCard:
        """Read a map's config.json.

        Raises:
            ArtifactError: if it cannot be read, or describes a map that is not linear.
        """
        path = folder / "config.json"
        where = f"{path}, not the config of an embedding space map"
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ArtifactError(f"{where}: cannot be read ({reason(error)}).") from error
        about = checked(_MapConfig, where, parse_json(content, where), ArtifactError, "Only linear maps can be read.")
        task = f"{about.task_id}/{about.task_subset}" if about.task_subset else about.task_id
        return cls(folder, about.base_model_name, task, about.transfercast_pooling)

    def pooling_for(self, config: Any) -> Pooling:
        """The pooling of its embeddings, given the base encoder's configuration.

        Raises:
            ArtifactError: if neither the map nor the encoder's type determines it.
        """
        if self.pooling is not None:
            return self.pooling
        if "sentence-transformers" in self.base_model and config.model_type == "bert":
            return "mean"
        known: dict[str, Pooling] = {"bert": "pooler", "roberta": "cls", "distilbert": "cls"}
        if config.model_type not in known:
            raise ArtifactError(f"{self.folder}: hf-dataset-selector knows no pooling for {config.model_type} encoders.")
        return known[config.model_type]


def fit_ridge(base: np.ndarray, tuned: np.ndarray) -> SpaceMap:
    """The map with the least leave-one-out error over PENALTIES.

    Args:
        base: (n, d) texts in the base encoder.
        tuned: (n, e) the same texts in the fine-tuned encoder.

    Raises:
        ShapeError: if the rows differ, or there are fewer than two.
    """
    if len(base) != len(tuned) or len(base) < 2:
        raise ShapeError(f"a map needs the same texts in both encoders, at least two: {len(base)} and {len(tuned)} rows.")
    x, y = (np.asarray(rows, dtype=np.float64) for rows in (base, tuned))
    x_mean, y_mean = x.mean(0), y.mean(0)
    left, singular, right = np.linalg.svd(x - x_mean, full_matrices=False)
    inside = left.T @ (y - y_mean)  # (r, e)
    squares = singular**2
    penalties = PENALTIES * max(squares.mean(), np.finfo(float).tiny)
    errors = [_left_out(left, inside, y - y_mean, squares / (squares + penalty)) for penalty in penalties]
    penalty = penalties[int(np.argmin(errors))]
    weight = ((inside * (singular / (squares + penalty))[:, None]).T @ right).astype(np.float32)
    return SpaceMap(weight, (y_mean - weight @ x_mean).astype(np.float32))


def _left_out(left: np.ndarray, inside: np.ndarray, wanted: np.ndarray, kept: np.ndarray) -> float:
    """Mean squared leave-one-out error of each row (the mean counts as a fitted direction)."""
    leverage = (left**2 * kept).sum(1) + 1 / len(left)
    residual = wanted - left @ (kept[:, None] * inside)
    return float(((residual / np.maximum(1 - leverage, 1e-6)[:, None]) ** 2).mean())


def fit_adam(
    base: np.ndarray, tuned: np.ndarray, *, epochs: int = 10, learning_rate: float = 1e-3, weight_decay: float = 0.01,
    batch_size: int = 32, seed: int = 0,
) -> SpaceMap:  # fmt: skip
    """The map by the paper's method: Adam on the mean squared error. For comparison; `fit_ridge` is better and faster."""
    import torch

    torch.manual_seed(seed)
    x, y = torch.as_tensor(base, dtype=torch.float32), torch.as_tensor(tuned, dtype=torch.float32)
    layer = torch.nn.Linear(x.shape[1], y.shape[1])
    optimizer = torch.optim.Adam(layer.parameters(), lr=learning_rate, weight_decay=weight_decay)
    for _ in range(epochs):
        for rows in torch.split(torch.randperm(len(x)), batch_size):
            optimizer.zero_grad()
            torch.autograd.backward(torch.nn.functional.mse_loss(layer(x[rows]), y[rows]))
            optimizer.step()
    return SpaceMap(layer.weight.detach().numpy(), layer.bias.detach().numpy())
