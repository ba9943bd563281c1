"""A source: one fine-tuned model with its scores, and the record of it beside its weights (source.json, format 1)."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from transfercast.core.cache import fingerprint
from transfercast.core.errors import ArtifactError, InputError
from transfercast.core.files import read_json, reason, write_json
from transfercast.core.kinds import METRIC_OF, METRICS, Kind, MetricName, metrics_of
from transfercast.core.records import Recipe, checked_name, checked_seed
from transfercast.core.trainings import EpochRecord
from transfercast.core.validation import checked
from transfercast.sources.encoders import quiet_transformers, weights_fingerprint
from transfercast.tasks.task import Task

if TYPE_CHECKING:  # so that a pool can be read, and a wrong path reported, without torch
    from transfercast.sources.finetune import Trained

FORMAT = 1
RECORD = "source.json"


def _checked_by(check: Callable[[Any], Any]) -> AfterValidator:
    def validate(value: Any) -> Any:
        try:
            check(value)
        except InputError as error:
            raise ValueError(str(error)) from error
        return value

    return AfterValidator(validate)


class Source(BaseModel):
    """A fine-tuned model that other trainings may start from.

    Attributes:
        name: unique in its pool; for a trained source its task's name.
        kind, label_names: those of the task that it was trained on.
        checkpoint: folder with safetensors, config and tokenizer: the source's own, or for adopted ones any.
        encoder: name of the base encoder; "unknown" for checkpoints that were adopted by versions that did not ask for it.
        metric: metric of `scores`, which has `validation` and `test` if they are known.
        recipe, seed, seconds, train_rows: of the training; None or 0 for adopted checkpoints.
        curve, epoch, peak_mb, chance: of the training, see `Trained`; empty or None for adopted checkpoints.
        max_tokens: number of tokens at which its texts are truncated; at most the number of its encoder's positions.
        task: the task's fingerprint, or "" for adopted checkpoints.
        identity: fingerprint of what was trained (task, encoder weights, recipe, seed).
        spec: how to read its task again; None for adopted checkpoints.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, _checked_by(lambda name: checked_name(name, "source"))]
    kind: Kind
    label_names: tuple[str, ...]
    checkpoint: Path
    encoder: str
    metric: MetricName
    scores: dict[Literal["validation", "test"], float] = {}
    recipe: Annotated[str, _checked_by(Recipe.parse)] | None = None
    seed: Annotated[int, _checked_by(checked_seed)] | None = None
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    train_rows: Annotated[int, Field(ge=0)] = 0
    curve: tuple[EpochRecord, ...] = ()
    epoch: Annotated[int, Field(ge=0)] | None = None
    peak_mb: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    chance: Annotated[float, Field(ge=0, le=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] = 128
    device: str = "cpu"
    task: str = ""
    identity: str = ""
    spec: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _is_consistent(self) -> Source:
        if self.epoch is not None and self.epoch >= len(self.curve):
            raise ValueError(f"there is no epoch {self.epoch} in its curve of {len(self.curve)}")
        metric = METRICS[self.metric]
        if self.kind not in metric.kinds:
            raise ValueError(
                f"metric {self.metric!r} does not judge {self.kind} tasks; those that do are {', '.join(metrics_of(self.kind))}"
            )
        for split, score in self.scores.items():
            if not metric.lowest <= score <= metric.highest:
                raise ValueError(
                    f"its {split} score {score} is outside [{metric.lowest:g}, {metric.highest:g}] of {self.metric}"
                )
        return self

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the weights that are on disk now."""
        return weights_fingerprint(self.checkpoint)

    @property
    def warning(self) -> str | None:
        """The reason why its scores are unreliable, and what to do; None if they are not."""
        from transfercast.sources.scores import chance_warning, warning_of  # imports scikit-learn, which a pool does not need

        judged = self.average_precision if self.kind is Kind.BINARY else self.scores.get("validation")
        if judged is not None and self.chance is not None:
            wrong = chance_warning(judged, self.metric, self.kind, self.chance)
            if wrong is not None:
                return f"on validation, {wrong}"
        for split, score in self.scores.items():
            if (wrong := warning_of(score, self.metric)) is not None:
                return f"on {split}, {wrong}"
        return None

    @property
    def average_precision(self) -> float | None:
        """Average precision on validation for a binary task; None if it is not known."""
        return None if self.epoch is None or not self.curve else self.curve[self.epoch].average_precision

    @property
    def mark(self) -> str:
        """A word for a column of a table: empty, unless there is a warning."""
        return "" if self.warning is None else "nothing learned"

    def write(self, folder: Path) -> None:
        """Write the record into a folder; it is written last, so its presence means that the folder is complete."""
        about = self.model_dump(mode="json")
        if self.checkpoint == folder:
            about["checkpoint"] = "."
        write_json(folder / RECORD, {"format": FORMAT, **about})

    @classmethod
    def read(cls, folder: Path) -> Source:
        """Read the record of POOL/sources/NAME or POOL/targets/ENCODER/NAME.

        A pool may come from somebody else, so paths in it must not lead out of it: names must be those of their folders, and
        links are not followed. Only the checkpoint of an adopted source is outside, at the absolute path where it was adopted.

        Raises:
            ArtifactError: if the record is damaged or of a newer format, or leads out of the pool.
        """
        record = folder / RECORD
        _refuse_links_out(folder)
        about = read_json(record, "a source's record", FORMAT)
        del about["format"]
        source = checked(cls, f"{record}, damaged", about, ArtifactError, "Delete the folder and fit it again.")
        if source.name != folder.name:
            raise ArtifactError(
                f"{record}: the name {source.name!r} is not that of its folder. Name the folder so, or delete it."
            )
        adopted = source.checkpoint.is_absolute() and source.recipe is None
        place = (folder / source.checkpoint).resolve()
        if not adopted and not place.is_relative_to(_pool_of(folder)):
            raise ArtifactError(f"{record}: checkpoint {str(source.checkpoint)!r} leads out of the pool. Adopt it by its path.")
        if not place.is_dir():
            raise ArtifactError(
                f"{record}: no folder at checkpoint {str(source.checkpoint)!r}. Put it back, or adopt it again."
            )
        return source.model_copy(update={"checkpoint": source.checkpoint if adopted else place})


def _pool_of(folder: Path) -> Path:
    return folder.parent.parent.resolve()


def _refuse_links_out(folder: Path) -> None:
    for path in (folder, *folder.iterdir()):
        if not path.resolve().is_relative_to(_pool_of(folder)):
            raise ArtifactError(f"{path}: a link that leads out of the pool, which is not followed. Copy there what it names.")


def identity_of(task: Task, encoder: Path, recipe: Recipe, seed: int) -> str:
    """Fingerprint of a training: task, encoder weights, recipe, seed, and a metric that is not the default of its kind."""
    judged = {} if task.metric == METRIC_OF[task.kind] else {"metric": task.metric}  # as in older versions
    return fingerprint(task=task.fingerprint, encoder=weights_fingerprint(encoder), recipe=recipe.key, seed=seed, **judged)


def save_trained(trained: Trained, folder: Path) -> None:
    """Write weights (safetensors), configuration and tokenizer of a fine-tuned model.

    Raises:
        InputError: if they cannot be written, as on a full disk.
    """
    from safetensors import SafetensorError

    try:
        with quiet_transformers():
            trained.model.save_pretrained(folder, safe_serialization=True)
        trained.tokenizer.save_pretrained(folder)
        for weights in folder.glob("*.safetensors"):  # safetensors makes files that only their user can read
            shutil.copymode(folder / "config.json", weights)
    except Exception as error:
        if not isinstance(error, OSError | SafetensorError) and "os error" not in str(error):  # tokenizers has no class for it
            raise
        raise InputError(
            f"{folder.parent}: the model cannot be written ({reason(error)}). Make room, and start again."
        ) from error
