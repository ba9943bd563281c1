"""Embedding space maps: a linear map from the base encoder's embeddings to a fine-tuned encoder's, W x + b.

With it a source needs no forward pass on a target's rows: the base encoder's embeddings, taken once, are mapped. The paper
trains the map with Adam; the same model has a closed-form ridge solution, whose penalty is chosen here by its leave-one-out
error. Schulte, Hamborg, Akbik, "Less is More" (EMNLP 2024), arXiv:2410.15148.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transfercast.core.errors import ArtifactError, ShapeError
from transfercast.core.files import read_json, replaced_folder, write_json

FORMAT = 1
PENALTIES = np.logspace(-6, 2, 17)
"""Tried, relative to the mean squared singular value of the base embeddings."""


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

    def save(self, folder: str | Path) -> None:
        """Write config.json and map.safetensors into a new folder, or replace it whole."""
        from safetensors.numpy import save_file

        with replaced_folder(Path(folder)) as new:
            save_file({"weight": self.weight, "bias": self.bias}, new / "map.safetensors")
            shape = {"embedding_dim": self.weight.shape[1], "output_dim": self.weight.shape[0]}
            write_json(new / "config.json", {"format": FORMAT, **shape})

    @classmethod
    def load(cls, folder: str | Path) -> SpaceMap:
        """Read a map.

        Raises:
            ArtifactError: if there is none, or it is not what its config says.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        folder = Path(folder)
        config = read_json(folder / "config.json", "embedding space map", FORMAT)
        try:
            tensors = load_file(folder / "map.safetensors")
            found = cls(tensors["weight"], tensors["bias"])
        except (OSError, SafetensorError, KeyError) as error:
            raise ArtifactError(f"{folder}/map.safetensors cannot be read: {error}. Fit the map again.") from error
        if found.weight.shape != (config.get("output_dim"), config.get("embedding_dim")) or len(found.bias) != len(
            found.weight
        ):
            raise ArtifactError(f"{folder}: the map is not of the shape that its config tells. Fit it again.")
        return found


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
    """Mean squared error of each row, left out of the fit (the mean counts as a fitted direction)."""
    leverage = (left**2 * kept).sum(1) + 1 / len(left)
    residual = wanted - left @ (kept[:, None] * inside)
    return float(((residual / np.maximum(1 - leverage, 1e-6)[:, None]) ** 2).mean())


def fit_adam(
    base: np.ndarray, tuned: np.ndarray, *, epochs: int = 10, learning_rate: float = 1e-3, weight_decay: float = 0.01,
    batch_size: int = 32, seed: int = 0,
) -> SpaceMap:  # fmt: skip
    """The map by the paper's recipe: Adam on the mean squared error. For comparison; `fit_ridge` is better and faster."""
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
