"""A source: one fine-tuned model with its scores, and the record of it beside its weights (source.json, format 1)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from transfercast.core.cache import fingerprint
from transfercast.core.errors import ArtifactError
from transfercast.core.files import read_json, write_json
from transfercast.core.kinds import Kind
from transfercast.core.records import Recipe
from transfercast.sources.encoders import quiet_transformers, weights_fingerprint
from transfercast.sources.finetune import Trained
from transfercast.tasks.task import Task

FORMAT = 1
RECORD = "source.json"


@dataclass(frozen=True, slots=True)
class Source:
    """A fine-tuned model that others may start from.

    Attributes:
        name: unique in its pool; for a trained source its task's name.
        kind, label_names: of the task it was trained on.
        checkpoint: folder with safetensors, config and tokenizer.
        encoder: name of the base encoder; "unknown" for adopted checkpoints.
        metric: by which `scores` are measured; scores has `validation` and `test` where they are known.
        recipe, seed, seconds, train_rows: of the training; None or 0 for adopted checkpoints.
        task: the task's fingerprint, or "" for adopted checkpoints.
        identity: fingerprint of what was trained (task, encoder weights, recipe, seed).
        spec: how to read its task again; None for adopted checkpoints.
    """

    name: str
    kind: Kind
    label_names: tuple[str, ...]
    checkpoint: Path
    encoder: str
    metric: str
    scores: dict[str, float] = field(default_factory=dict)
    recipe: str | None = None
    seed: int | None = None
    seconds: float = 0.0
    train_rows: int = 0
    max_tokens: int = 128
    device: str = "cpu"
    task: str = ""
    identity: str = ""
    spec: dict[str, Any] | None = None

    @property
    def fingerprint(self) -> str:
        """Of the weights as they are on disk now."""
        return weights_fingerprint(self.checkpoint)

    def write(self, folder: Path) -> None:
        """Write the record into a folder; it comes last, so its presence means that all else is there."""
        about = asdict(self)
        about["checkpoint"] = "." if self.checkpoint == folder else str(self.checkpoint)
        write_json(folder / RECORD, {"format": FORMAT, **about})

    @classmethod
    def read(cls, folder: Path) -> Source:
        """Read the record of a folder.

        Raises:
            ArtifactError: if the record is damaged or of a newer format.
        """
        about = read_json(folder / RECORD, "a source's record", FORMAT)
        del about["format"]
        try:
            about["checkpoint"] = folder / about["checkpoint"]
            about["kind"] = Kind(about["kind"])
            about["label_names"] = tuple(about["label_names"])
            return cls(**about)
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"{folder / RECORD}: damaged ({error}). Delete the folder and fit it again.") from error


def identity_of(task: Task, encoder: Path, recipe: Recipe, seed: int) -> str:
    """Fingerprint of a training: what it learns, from which weights, how."""
    return fingerprint(task=task.fingerprint, encoder=weights_fingerprint(encoder), recipe=recipe.key, seed=seed)


def save_trained(trained: Trained, folder: Path) -> None:
    """Write weights (safetensors), configuration and tokenizer of a fine-tuned model."""
    with quiet_transformers():
        trained.model.save_pretrained(folder, safe_serialization=True)
    trained.tokenizer.save_pretrained(folder)
