"""Training of the transfers of a design, which may be interrupted and shared by several processes.

The folder of an atlas has `design.json`, the pool (`pool/`), measured evidence (`cache/`), the history (`history.db`), and
three files that are written after each batch: all observations as one table (`atlas.parquet`), the meaning of its feature
columns (`columns.json`) and the learning curves (`curves.parquet`). A finished training gives two observations, of its
validation and of its test score. A killed process loses only the training that it was running.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import torch

from transfercast.collection.design import FORMAT, Batch, Design, Run, Settings, draw, settings_of
from transfercast.core.cache import ArrayCache
from transfercast.core.errors import TransfercastError
from transfercast.core.files import check_place, reason, write_json
from transfercast.core.progress import progress
from transfercast.core.records import ALONE, Observation, Recipe, run_key_of
from transfercast.core.trainings import EpochRecord, TrainingRecord
from transfercast.execution import claims
from transfercast.features.extract import extract_features, same_data
from transfercast.history.store import History
from transfercast.sources.encoders import OFFLINE, checkpoint_folder, weights_fingerprint
from transfercast.sources.finetune import fine_tune
from transfercast.sources.models import pick_device
from transfercast.sources.pool import SourcePool, trained_alone
from transfercast.sources.source import Source, identity_of
from transfercast.tasks.family import Family, read_family, task_of
from transfercast.tasks.task import Task

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
SPLITS: tuple[Literal["validation", "test"], ...] = ("validation", "test")
FAILURES = (TransfercastError, RuntimeError, ValueError, OSError, MemoryError)
"""Errors that end one training and not the others: out of memory, a full disk, a loss that is not a number."""


@dataclass(frozen=True, slots=True)
class Collected:
    """State of an atlas.

    Attributes:
        runs: number of trainings in the design.
        done: number of observed trainings.
        failed: causes of failure of trainings in this process, by batch; the next start tries these again.
        table: file of all observations.
    """

    runs: int
    done: int
    failed: dict[str, str]
    table: Path


def collect(
    spec: str | Path,
    out: str | Path,
    *,
    encoder: str = OFFLINE,
    device: str | None = None,
    minutes: float | None = None,
) -> Collected:
    """Train a designed set of transfers between the tasks of a file, and measure the evidence of each pair.

    It may be started again after a kill, or in several processes at once: each training is run once.

    Args:
        spec: a tasks.toml with a [collect] table (see `collection.design.Settings`).
        out: folder of the atlas.
        encoder: base encoder that sources, and targets alone, are trained from.
        device: cpu, cuda or mps; None takes the fastest that is available.
        minutes: no training is started after this number of minutes; None continues until all are done.

    Raises:
        InputError: before any training, if the file, its tasks or the folder cannot be used, or if the folder has an
            atlas of another design.

    Example:
        `help.csv` and `storm.csv` hold the rows of two tasks, and `encoder` names a base encoder.

        >>> from pathlib import Path
        >>> import transfercast as tc
        >>> _ = Path("tasks.toml").write_text('''
        ... [collect]
        ... pairs = 2
        ... documents = 2
        ... recipe = "full/epochs=1"
        ...
        ... [[task]]
        ... name = "help"
        ... train = "help.csv"
        ...
        ... [[task]]
        ... name = "storm"
        ... train = "storm.csv"
        ... ''')
        >>> collected = tc.collect("tasks.toml", "atlas", encoder=encoder)
        >>> collected.runs, collected.done, collected.failed
        (4, 4, {})
        >>> tc.History("atlas/history.db").frame().query("split == 'test'")[["source", "target"]]
            source target
        1  (alone)   help
        3    storm   help
        5  (alone)  storm
        7     help  storm
    """
    settings, out = settings_of(Path(spec)), Path(out).resolve()
    check_place(out / "design.json")
    base = checkpoint_folder(encoder)
    family = read_family(spec)
    design = _design(family, settings)
    design.keep(out / "design.json")
    history = History(out / "history.db")
    collector = Collector(family, settings, out, history, encoder, base, pick_device(device))
    end = None if minutes is None else time.monotonic() + 60 * minutes
    failed = _run_all(collector, design, end)
    runs = [(batch, run) for batch in design.batches for run in batch.runs]
    known = history.find_all([collector.run_key(batch, run, "test") for batch, run in runs])
    collector.write()
    return Collected(design.runs, len(known), failed, out / "atlas.parquet")


def _design(family: Family, settings: Settings) -> Design:
    own = [
        (source.name, target.name)
        for source in family.sources
        for target in family.targets
        if source.name == target.name or same_data(source.spec, target.spec)
    ]
    return draw([task.name for task in family.sources], [task.name for task in family.targets], own, settings)


def _run_all(collector: Collector, design: Design, end: float | None) -> dict[str, str]:
    engine, failed = collector.history.engine, dict[str, str]()
    claims.enter(engine, design.id, range(len(design.batches)))
    for _ in progress(range(len(design.batches)), "batches of transfers"):
        while (position := claims.claim(engine, design.id)) is None:
            if claims.finished(engine, design.id):
                return failed
            time.sleep(POLL_SECONDS)
        state, batch = claims.PLANNED, design.batches[position]
        try:
            with claims.heartbeat(engine, design.id, position):
                failures = collector.run(batch, end)
            if failures:
                failed[batch.name], state = failures[0], claims.FAILED
            elif not collector.open_runs(batch):
                state = claims.DONE
        finally:
            claims.update(engine, design.id, position, state=state)
        if state == claims.PLANNED:  # out of time
            return failed
    return failed


class Collector:
    """Runs batches of a design.

    Args:
        family: tasks of the design.
        settings: settings that the design was drawn with.
        out: folder of the atlas.
        history: history that observations are added to.
        encoder, base: name and folder of the base encoder.
        device: device that models are trained on.
    """

    def __init__(
        self, family: Family, settings: Settings, out: Path, history: History, encoder: str, base: Path, device: torch.device
    ) -> None:
        self.settings, self.out, self.history = settings, out, history
        self.encoder, self.base, self.device = encoder, base, device
        self.sources = {task.name: task for task in family.sources}
        self._targets = {task.name: task for task in family.targets}
        self.recipe = Recipe.parse(settings.recipe)
        self.cache = ArrayCache(out / "cache")

    def run(self, batch: Batch, end: float | None) -> list[str]:
        """Measure and train the open runs of a batch, and return the causes of failed trainings.

        Args:
            batch: batch of the design.
            end: time (`time.monotonic`) after which no training is started; None for no limit.
        """
        failures: list[str] = []
        open_runs = self.open_runs(batch)
        try:
            task = self._task(batch)
            pool = self._pool(sorted({run.source for run in open_runs} - {ALONE}), end)
            if _is_past(end):
                return failures
            features = self._features(pool, task)
        except FAILURES as error:
            return [_noted(f"evidence for {batch.name}", error)]
        for run in progress(open_runs, f"to {task.name}"):
            if _is_past(end):
                break
            try:
                self._train(batch, run, task, pool, features.get(run.source, {}))
            except FAILURES as error:
                failures.append(_noted(f"{run.source} -> {task.name}", error))
        self.write()
        return failures

    def open_runs(self, batch: Batch) -> list[Run]:
        """Trainings of a batch that are not yet observed."""
        key_of = {run: self.run_key(batch, run, "test") for run in batch.runs}
        known = self.history.find_all(list(key_of.values()))
        return [run for run, key in key_of.items() if key not in known]

    def run_key(self, batch: Batch, run: Run, split: str) -> str:
        """Identity of a training, from its data and settings, so that an atlas can be continued without its models."""
        return run_key_of(**self._identity(batch, run, split))

    def _identity(self, batch: Batch, run: Run, split: str) -> dict[str, Any]:
        task = self._task(batch)
        if run.source == ALONE:
            origin = weights_fingerprint(self.base)
        else:
            origin = identity_of(self.sources[run.source], self.base, self.recipe, self.settings.seed)
        return {
            "source": run.source,
            "target": task.name,
            "recipe": run.recipe,
            "encoder": self.encoder,
            "seed": run.seed,
            "metric": task.metric,
            "split": split,
            "source_fingerprint": origin,
            "target_fingerprint": task.fingerprint,
        }

    def _task(self, batch: Batch) -> Task:
        if batch.name not in self._targets:
            spec = self._targets[batch.target].spec or {}
            rows = {**spec["rows"], "train": batch.rows}
            self._targets[batch.name] = task_of({**spec, "name": batch.name, "rows": rows})
        return self._targets[batch.name]

    def _pool(self, names: Sequence[str], end: float | None) -> SourcePool:
        """A pool of the named sources; missing ones are trained first, and those not reached before `end` are left out."""
        folder, held = self.out / "pool", {}
        for name in progress(names, "sources"):
            if _is_past(end):
                break
            self._source(name)
            held[name] = Source.read(folder / "sources" / name)
        return SourcePool(folder, held)

    def _source(self, name: str) -> None:
        """Train a source unless it exists; if another process is training it, wait for that process."""
        seed = self.settings.seed
        engine, key = self.history.engine, identity_of(self.sources[name], self.base, self.recipe, seed)
        claims.enter(engine, key, [0])
        while (position := claims.claim(engine, key)) is None and not claims.finished(engine, key):
            time.sleep(POLL_SECONDS)
        state = claims.PLANNED
        try:
            folder = self.out / "pool" / "sources" / name
            trained_alone(folder, self.sources[name], self.encoder, self.recipe, seed, str(self.device), splits=SPLITS)
            state = claims.DONE
        finally:
            if position is not None:
                claims.update(engine, key, position, state=state)

    def _features(self, pool: SourcePool, task: Task) -> dict[str, dict[str, float]]:
        """Evidence of each source for a target, by the source's name."""
        if not pool:
            return {}
        table = extract_features(
            pool, [task], recipe=self.recipe, seed=self.settings.seed,
            documents=self.settings.documents, device=str(self.device), cache=self.cache,
        )  # fmt: skip
        self.history.describe(table.schema)
        rows = table.frame.to_dict("records")
        known = zip(table.candidates, rows, strict=True)
        return {
            candidate.pair.source: {str(name): value for name, value in row.items() if value == value}
            for candidate, row in known
        }

    def _train(self, batch: Batch, run: Run, task: Task, pool: SourcePool, features: dict[str, float]) -> None:
        recipe = Recipe.parse(run.recipe)
        companion = self.sources[run.source] if recipe.adaptation == "multitask" else None
        from_base = run.source == ALONE or companion is not None
        checkpoint = checkpoint_folder(self.encoder) if from_base else pool[run.source].checkpoint
        curve: list[EpochRecord] = []
        started = time.perf_counter()
        try:
            trained = fine_tune(
                task, checkpoint, recipe, seed=run.seed, device=self.device, companion=companion,
                after_epoch=lambda _, record: curve.append(record),
            )  # fmt: skip
        except FAILURES as error:
            self._note(batch, run, curve, time.perf_counter() - started, ended="failed", why=reason(error))
            raise
        observations = [
            Observation(
                **self._identity(batch, run, split),
                score=trained.score(task, split, recipe.max_tokens),
                hours=trained.seconds / 3600,
                device=str(self.device),
                finished_at=_now(),
                features=features if split == "validation" else {},
            )
            for split in SPLITS
        ]
        self.history.append(observations)
        about = {"epoch": trained.epoch, "peak_mb": trained.peak_mb}
        self._note(batch, run, trained.curve, trained.seconds, ended="finished", **about)

    def _note(self, batch: Batch, run: Run, curve: Sequence[EpochRecord], seconds: float, **about: Any) -> None:
        """Add the record of a training to the history."""
        self.history.note(
            TrainingRecord(
                run_key=self.run_key(batch, run, "validation"),
                source=run.source,
                target=batch.name,
                recipe=run.recipe,
                encoder=self.encoder,
                seed=run.seed,
                curve=tuple(curve),
                seconds=seconds,
                device=str(self.device),
                finished_at=_now(),
                **about,
            )
        )

    def write(self) -> None:
        """Write all observations, the meaning of their features, and the learning curves of all trainings."""
        self.history.export_file(self.out / "atlas.parquet")
        columns = [column.model_dump() for column in self.history.schema()]
        write_json(self.out / "columns.json", {"format": FORMAT, "columns": columns})
        self.history.export_curves(self.out / "curves.parquet")


def _is_past(end: float | None) -> bool:
    return end is not None and time.monotonic() > end


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _noted(what: str, error: Exception) -> str:
    why = f"{what}: {type(error).__name__}: {reason(error)}"
    log.error("%s", why)
    return why
