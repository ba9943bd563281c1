"""A pool of sources on disk: pool/sources/NAME for sources, pool/targets/ENCODER/NAME for targets trained alone.

Its sources may have been made from several base encoders; a target is trained alone from each of these. A source's folder
appears whole or not at all, so a pool run that was killed goes on where it stopped.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from transfercast.core.errors import InputError, TransfercastError
from transfercast.core.files import check_place, replaced_folder
from transfercast.core.parallel import RANDOM_STATE, in_parallel
from transfercast.core.progress import progress
from transfercast.core.records import Recipe, checked_seed
from transfercast.sources.adoption import adopt, encoders_in
from transfercast.sources.bases import UNKNOWN, name_of
from transfercast.sources.encoders import (
    OFFLINE,
    checkpoint_folder,
    weights_fingerprint,
)
from transfercast.sources.source import RECORD, Source, identity_of, save_trained
from transfercast.tasks.task import Task

log = logging.getLogger(__name__)

DEFAULT_RECIPE = Recipe()


@dataclass(frozen=True, slots=True)
class SourcePool(Mapping[str, Source]):
    """Sources by name.

    Attributes:
        folder: where the pool lies.
        sources: by name, in alphabetical order.
        left_out: what is wrong with those that cannot be read, by folder.
    """

    folder: Path
    sources: dict[str, Source]
    left_out: dict[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Source:
        return self.sources[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.sources)

    def __len__(self) -> int:
        return len(self.sources)

    @property
    def encoders(self) -> tuple[str, ...]:
        """The base encoders of the sources, as far as they are known, in alphabetical order."""
        return tuple(sorted({source.encoder for source in self.sources.values()} - {UNKNOWN}))

    @property
    def encoder(self) -> str:
        """The base encoder of the sources, where they have one.

        Raises:
            InputError: if they have none that is known, or several.
        """
        if len(self.encoders) != 1:
            raise InputError(f"{self.folder}: sources of {len(self.encoders)} encoders ({', '.join(self.encoders)}). Name one.")
        return self.encoders[0]

    @classmethod
    def load(cls, folder: str | Path) -> SourcePool:
        """Read a pool; unfinished sources are not in it, and one whose record cannot be read is left out with a warning.

        Raises:
            InputError: if the folder holds no source.
            ArtifactError: if the record of every source is damaged.
        """
        folder = Path(folder).resolve()
        records = sorted((folder / "sources").glob(f"*/{RECORD}"))
        if not records:
            raise InputError(
                f"{folder}: no sources. Make some with: transfercast fit-sources TASKS.toml --pool {folder} "
                f"(or --adopt NAME=MODEL)"
            )
        sources: dict[str, Source] = {}
        errors: dict[str, TransfercastError] = {}
        for path in (record.parent for record in records if not record.parent.name.startswith(".")):
            try:
                sources[path.name] = Source.read(path)
            except TransfercastError as error:
                errors[path.name] = error
        if errors and not sources:
            raise next(iter(errors.values()))
        left_out = {name: str(error) for name, error in errors.items()}
        for name, why in left_out.items():
            log.warning("source %s is left out: %s", name, why)
        return cls(folder, sources, left_out)

    @classmethod
    def fit(
        cls,
        folder: str | Path,
        tasks: Sequence[Task],
        *,
        encoder: str = OFFLINE,
        recipe: Recipe = DEFAULT_RECIPE,
        seed: int = 0,
        jobs: int | None = None,
        device: str | None = None,
    ) -> SourcePool:
        """Fine-tune the encoder on every task that the pool does not hold yet in just this way.

        Args:
            folder: of the pool; made where needed. Sources that are there already, of other tasks, stay.
            tasks: one source each.
            encoder: `offline`, a folder, or a name on the hub.
            recipe, seed: the same for all.
            jobs: trainings at a time, a process each, which share the cores (a core and a thread each where there are as many
                jobs as cores). By default as `joblib.parallel_config` says, which also picks the backend, else one.
            device: cpu, cuda, mps; None takes the best there is, and where there are several GPUs one after another.

        Raises:
            InputError: if the encoder cannot be read, or the pool cannot be written.
            TransfercastError: if a process was killed; finished sources are kept.
        """
        folder = Path(folder).resolve()
        check_place(folder / "sources" / RECORD)
        encoder = name_of(encoder, encoders_in(folder / "sources"))
        splits = ("validation", "test")
        work = [
            (folder / "sources" / task.name, task, encoder, recipe, seed, device, splits, turn)
            for turn, task in enumerate(tasks)
        ]
        for _ in progress(in_parallel(trained_alone, work, jobs), "sources", total=len(work)):
            pass
        pool = cls.load(folder)
        for name in (task.name for task in tasks if pool[task.name].warning is not None):
            log.warning("source %s: %s", name, pool[name].warning)
        return pool

    def found_alone(self, task: Task, encoder: str, recipe: Recipe, seed: int) -> Source | None:
        """The target trained alone in just this way, if the pool has it: among its targets, or as a source."""
        base = checkpoint_folder(encoder)
        identity = identity_of(task, base, recipe, seed)
        for folder in (self._alone_folder(task, base), self.folder / "sources" / task.name):
            if (folder / RECORD).is_file() and (found := Source.read(folder)).identity == identity:
                return found
        return None

    def target_model(
        self,
        task: Task,
        recipe: Recipe = DEFAULT_RECIPE,
        seed: int = 0,
        device: str | None = None,
        *,
        encoder: str | None = None,
    ) -> Source:
        """The target trained alone from an encoder (as `Recipe.alone` says): found as it was trained before, or trained now.

        Its test rows stay untouched.

        Args:
            task, recipe, seed, device: of the training.
            encoder: by default that of the pool's sources, where they have one.

        Raises:
            InputError: if the pool has several encoders and none was named, or it cannot be read.
        """
        base, recipe = encoder or self.encoder, recipe.alone
        return self.found_alone(task, base, recipe, seed) or trained_alone(
            self._alone_folder(task, checkpoint_folder(base)), task, base, recipe, seed, device, splits=("validation",)
        )

    def _alone_folder(self, task: Task, base: Path) -> Path:
        return self.folder / "targets" / weights_fingerprint(base)[:12] / task.name

    def adopt(
        self, name: str, checkpoint: str, *, score: float | None = None, encoder: str | None = None, max_tokens: int = 128
    ) -> Source:
        """Let an existing sequence- or token-classification model join the pool, without training.

        Args:
            name: under which it joins. A model that the pool holds under this name in just this way stays as it is.
            checkpoint: a folder or a hub name; safetensors only.
            score: its own test score, where known (weighted span similarity needs it).
            encoder: the base encoder that it was fine-tuned from, as for `fit`; by default as its model card, its configuration
                or its weights tell.
            max_tokens: at which its texts are cut.

        Raises:
            InputError: if it is no such model, nothing tells its base encoder, or the name is that of another source.
        """
        return adopt(self.folder, name, checkpoint, score=score, encoder=encoder, max_tokens=max_tokens)


def trained_alone(
    folder: Path,
    task: Task,
    encoder: str,
    recipe: Recipe,
    seed: int,
    device: str | None,
    splits: tuple[Literal["validation", "test"], ...],
    turn: int = 0,
) -> Source:
    """The encoder fine-tuned on a task into `folder`; read back where it is there already. For `turn` see `pick_device`."""
    checked_seed(seed)
    base = checkpoint_folder(encoder)
    identity = identity_of(task, base, recipe, seed)
    if (folder / RECORD).is_file():
        found = Source.read(folder)
        if found.identity == identity:
            return found
    from transfercast.sources.batches import most_tokens  # torch only where something is trained
    from transfercast.sources.finetune import fine_tune
    from transfercast.sources.models import pick_device

    where = pick_device(device, turn)
    with RANDOM_STATE:
        trained = fine_tune(task, base, recipe, seed=seed, device=where)
    with replaced_folder(folder) as new:
        save_trained(trained, new)
        Source(
            name=task.name,
            kind=task.kind,
            label_names=task.label_names,
            checkpoint=new,
            encoder=encoder,
            metric=task.metric,
            scores={split: trained.score(task, split, recipe.max_tokens) for split in splits},
            recipe=recipe.key,
            seed=seed,
            seconds=trained.seconds,
            curve=trained.curve,
            epoch=trained.epoch,
            peak_mb=trained.peak_mb,
            chance=trained.chance,
            train_rows=len(task.splits["train"]),
            max_tokens=min(recipe.max_tokens, most_tokens(trained.model)),
            device=str(where),
            task=task.fingerprint,
            identity=identity,
            spec=task.spec,
        ).write(new)
    return Source.read(folder)
