"""A pool of sources on disk: pool/sources/NAME for sources, pool/targets/ENCODER/NAME for targets trained alone.

Its sources may have several base encoders; a target is trained alone from each of them. A source's folder
appears complete or not at all, so a command that was killed can continue where it stopped.
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
        folder: folder of the pool.
        sources: sources by name, in alphabetical order.
        left_out: reasons why sources cannot be read, by folder.

    Example:
        The folder `pool` holds two sources, which `SourcePool.fit` has trained.

        >>> import transfercast as tc
        >>> pool = tc.SourcePool.load("pool")
        >>> list(pool), len(pool)
        (['help', 'storm'], 2)
        >>> pool["help"].metric, pool["help"].train_rows
        ('positive_f1', 44)
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
        """The base encoder that all sources have.

        Raises:
            InputError: if no encoder is known, or there are several.
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

        Example:
            The folder `pool` holds two sources, which `SourcePool.fit` has trained.

            >>> import transfercast as tc
            >>> list(tc.SourcePool.load("pool"))
            ['help', 'storm']
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
        """Fine-tune the encoder on every task for which the pool has no source with the same encoder, recipe and seed.

        Args:
            folder: folder of the pool; made if needed. Existing sources of other tasks are kept.
            tasks: one source is made for each.
            encoder: `offline`, a folder, or a name on the hub.
            recipe, seed: the same for all.
            jobs: trainings at a time, in one process each, which share the cores (one core and one thread each with as many
                jobs as cores). By default what `joblib.parallel_config` sets, which also sets the backend, else one.
            device: cpu, cuda, mps; None takes the best, and with several GPUs takes them in turn.

        Raises:
            InputError: if the encoder cannot be read, or the pool cannot be written.
            TransfercastError: if a process was killed; finished sources are kept.

        Example:
            >>> import pandas as pd
            >>> import transfercast as tc
            >>> things = ("film", "book", "song", "play", "meal", "trip", "show", "game")
            >>> words = {"good": 1, "great": 1, "bad": 0, "poor": 0}
            >>> starts = ("a", "what a", "such a", "the", "one more")
            >>> rows = [(f"{start} {word} {thing}", words[word]) for start in starts for word in words for thing in things]
            >>> reviews = tc.Task.from_dataset(pd.DataFrame(rows, columns=["text", "label"]), name="reviews")
            >>> pool = tc.SourcePool.fit("pool", [reviews], encoder="offline", recipe=tc.Recipe(adaptation="features"))
            >>> pool["reviews"].scores
            {'validation': 1.0, 'test': 1.0}
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
        """The target trained alone with the same encoder, recipe and seed, if the pool has it as a target or a source."""
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
        """The target trained alone from an encoder (with `Recipe.alone`): the existing model, or one that is trained now.

        Its test rows are not read.

        Args:
            task, recipe, seed, device: of the training.
            encoder: by default that of the pool's sources, if they have the same.

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
        """Add an existing sequence- or token-classification model to the pool, without training.

        Args:
            name: its name in the pool. If the pool holds the same model under this name, nothing changes.
            checkpoint: a folder or a hub name; safetensors only.
            score: its own test score, if known (weighted span similarity needs it).
            encoder: the base encoder that it was fine-tuned from, as for `fit`; by default that of its model card, its
                configuration or its weights.
            max_tokens: number of tokens at which its texts are truncated.

        Raises:
            InputError: if it is not such a model, its base encoder is not found, or the name is that of another source.

        Example:
            The folder `pool` holds two sources, and `encoder` names the base encoder of one of these.

            >>> import transfercast as tc
            >>> pool = tc.SourcePool.load("pool")
            >>> adopted = pool.adopt("copy", str(pool["help"].checkpoint), score=0.8, encoder=encoder)
            >>> adopted.name, adopted.kind.value
            ('copy', 'binary')
            >>> list(tc.SourcePool.load("pool"))
            ['copy', 'help', 'storm']
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
    """The encoder fine-tuned on a task into `folder`; an existing model is read back. For `turn` see `pick_device`."""
    checked_seed(seed)
    base = checkpoint_folder(encoder)
    identity = identity_of(task, base, recipe, seed)
    if (folder / RECORD).is_file():
        found = Source.read(folder)
        if found.identity == identity:
            return found
    from transfercast.sources.batches import most_tokens  # torch is imported only if something is trained
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
