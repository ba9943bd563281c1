"""From a pool and targets to a table of features: every measure for every pair."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from transfercast.core.cache import ArrayCache
from transfercast.core.errors import InputError, TransfercastError
from transfercast.core.files import reason
from transfercast.core.parallel import in_parallel
from transfercast.core.progress import progress
from transfercast.core.records import Recipe, checked_seed
from transfercast.core.table import INDEX, FeatureTable, Provenance, TargetFacts
from transfercast.core.version import VERSION
from transfercast.features.active_terms import PoolAnsat, pool_ansat
from transfercast.features.evidence import Gatherer
from transfercast.features.registry import Measure, measures
from transfercast.features.rows import useless
from transfercast.sources.models import pick_device
from transfercast.sources.pool import DEFAULT_RECIPE, SourcePool
from transfercast.sources.source import Source
from transfercast.tasks.task import Task

log = logging.getLogger(__name__)

DOCUMENTS = 64
TOLERANCE = 0.02


def extract_features(
    pool: SourcePool,
    targets: Sequence[Task],
    *,
    recipe: Recipe = DEFAULT_RECIPE,
    seed: int = 0,
    documents: int = DOCUMENTS,
    only: Sequence[str] | None = None,
    jobs: int | None = None,
    device: str | None = None,
    cache: ArrayCache | None = None,
) -> FeatureTable:
    """Measure every source of the pool against every target; a source is not paired with its own task, whatever its name.

    Each target is first trained alone with `recipe` (once; the pool keeps it), for its own score and its activities.
    What a source says of a target's rows is taken once, for all measures, and kept: a run that was killed goes on. A
    source that fails is left out with a warning; `table.provenance.failed` says why.

    Args:
        pool: the sources.
        targets: tasks; their test rows are not read.
        recipe: how targets will be trained.
        seed: of the targets' training.
        documents: at most so many positive documents of each set are attributed; more is steadier and slower.
        only: names of the measures to take, by default all; why one of these does not apply to a pair is logged.
        jobs: trainings of targets, then sources, at a time. By default as `joblib.parallel_config` says, which also picks
            the backend (processes unless told otherwise), else one.
        device: cpu, cuda, mps; None takes the best there is.
        cache: where evidence is kept; by default the user's cache folder.

    Raises:
        InputError: if there is no target, a measure is not known, or every source failed.
    """
    if not targets:
        raise InputError("no targets. Name at least one task to transfer to.")
    if documents < 1:
        raise InputError(f"documents is {documents}; attribution needs at least 1.")
    checked_seed(seed)
    chosen = _chosen(only)
    if not any(not is_own_task(source, task) for task in targets for source in pool.values()):
        raise InputError(f"{pool.folder}: no source besides the target itself. Fit or adopt more sources.")
    _tell_what_does_not_apply(chosen if only is not None else [], pool, targets)
    gatherer = Gatherer(cache or ArrayCache(), pick_device(device), documents, TOLERANCE, pool.encoder)
    alone = _trained_alone(pool, targets, recipe, seed, device, jobs)
    _warn_of_scores(pool, alone)
    rows: dict[tuple[str, str, str], np.ndarray] = {}
    ansat = _ansat(gatherer, chosen, pool, targets, alone, jobs)
    failed = {**pool.left_out, **ansat.failed}
    for name, why in ansat.failed.items():
        log.warning("source %s is left out: %s", name, why)
    work = [
        (replace(gatherer, ansat=ansat.values.get(name, {})), [one.name for one in chosen], source, targets, alone)
        for name, source in pool.items()
        if name not in ansat.failed
    ]
    for name, found, notes in progress(in_parallel(_rows_of, work, jobs), "sources", total=len(work)):
        for note in notes:
            log.warning("source %s: %s", name, note)
        if isinstance(found, str):
            log.warning("source %s is left out: %s", name, found)
            failed[name] = found
        else:
            rows |= {(name, target, recipe.key): values for target, values in found.items()}
    if not rows:
        raise InputError(f"every source failed; the first: {next(iter(failed.values()))}")
    schema = tuple(column for one in chosen for column in one.schema())
    order = [(source, task.name, recipe.key) for task in targets for source in pool]
    index = pd.MultiIndex.from_tuples([key for key in order if key in rows], names=INDEX)
    frame = pd.DataFrame([rows[key] for key in index], index=index, columns=[column.name for column in schema])
    return FeatureTable(frame, schema, _provenance(pool, targets, alone, seed, failed))


_DATA = ("format", "train", "validation", "test", "hub", "hub_config", "text", "text_pair", "label", "positive")
"""Of a task's description: which rows and labels it has, whatever it is called and however many of them it keeps."""


def is_own_task(source: Source, task: Task) -> bool:
    """Whether a source was trained on a task's data: by its name, its contents, or its files and columns."""
    if source.name == task.name or source.task == task.fingerprint:
        return True
    return same_data(source.spec, task.spec)


def same_data(one: dict[str, Any] | None, other: dict[str, Any] | None) -> bool:
    """Whether two descriptions of tasks name the same files, columns and labels."""
    return one is not None and other is not None and all(one.get(key) == other.get(key) for key in _DATA)


def _trained_alone(
    pool: SourcePool, targets: Sequence[Task], recipe: Recipe, seed: int, device: str | None, jobs: int | None
) -> dict[str, Source]:
    work = [(task, recipe, seed, device) for task in targets]
    found = progress(in_parallel(pool.target_model, work, jobs), "targets alone", total=len(work))
    by_name = {source.name: source for source in found}
    return {task.name: by_name[task.name] for task in targets}


def _warn_of_scores(pool: SourcePool, alone: dict[str, Source]) -> None:
    for source in pool.values():
        if source.warning is not None:
            log.warning("source %s: %s", source.name, source.warning)
    for target, model in alone.items():
        if model.warning is not None:
            log.warning("target %s trained alone: %s", target, model.warning)


def _chosen(only: Sequence[str] | None) -> list[Measure]:
    known = measures()
    unknown = [name for name in only or () if name not in known]
    if unknown:
        raise InputError(f"no measure {unknown[0]!r}; there are {', '.join(known)}.")
    return [one for name, one in known.items() if only is None or name in only]


def _tell_what_does_not_apply(asked: list[Measure], pool: SourcePool, targets: Sequence[Task]) -> None:
    pairs = [(source, task) for task in targets for source in pool.values() if not is_own_task(source, task)]
    for one in asked:
        missing = [(source, task, one.why_not(source.kind, task.kind)) for source, task in pairs]
        for why_not in dict.fromkeys(why for *_, why in missing if why is not None):
            first = next(f"{source.name} to {task.name}" for source, task, why in missing if why == why_not)
            log.warning("%s; its columns stay empty, first for %s", why_not, first)


Rows = tuple[str, dict[str, np.ndarray] | str, list[str]]
"""A source's name, its row for each target or what went wrong, and why some of its measures are NaN."""


def _ansat(
    gatherer: Gatherer, chosen: list[Measure], pool: SourcePool, targets: Sequence[Task], alone: dict[str, Source],
    jobs: int | None,
) -> PoolAnsat:  # fmt: skip
    """ANSAT of all pairs, where a measure needs it; it is told on how many inaccurate readings it rests."""
    wanted = any({"shared_terms", "shared_terms_l2"} & set(one.needs) for one in chosen)
    pairs = [(source, task) for task in targets for source in pool.values() if not is_own_task(source, task)]
    ansat = pool_ansat(gatherer, pairs if wanted else [], alone, jobs)
    if ansat.missed:
        log.warning(
            "ansat: %d of %d readings of documents miss the tolerance of %g; they count all the same.",
            ansat.missed, ansat.readings, gatherer.tolerance,
        )  # fmt: skip
    return ansat


def _rows_of(gatherer: Gatherer, names: list[str], source: Source, targets: Sequence[Task], alone: dict[str, Source]) -> Rows:
    """One source against all targets."""
    chosen = [measures()[name] for name in names]
    notes: dict[str, None] = {}  # a set in order
    try:
        rows = {
            task.name: _row(gatherer, chosen, source, task, alone[task.name], notes)
            for task in targets
            if not is_own_task(source, task)
        }
        return source.name, rows, list(notes)
    except Exception as error:  # own measures and hub checkpoints may raise anything; it is reported, the others go on
        what = reason(error) if isinstance(error, TransfercastError) else f"{type(error).__name__}: {reason(error)}"
        return source.name, what, list(notes)


def _row(
    gatherer: Gatherer, chosen: list[Measure], source: Source, target: Task, alone: Source, notes: dict[str, None]
) -> np.ndarray:
    defined = [one for one in chosen if one.why_not(source.kind, target.kind) is None]
    evidence = gatherer.gather({name for one in defined for name in one.needs}, source, target, alone)
    parts = []
    for one in chosen:
        given = {name: evidence[name] for name in one.needs} if one in defined else {}
        missing = one not in defined or any(value is None for value in given.values())
        part = np.full(len(one.columns), np.nan) if missing else np.atleast_1d(one.function(**given))
        parts.append(part)
        if not missing and np.isnan(part).all() and (why := _why_nan(given)) is not None:
            notes[f"{one.name} is NaN: {why}"] = None
    return np.concatenate(parts).astype(np.float64)


def _why_nan(given: dict[str, Any]) -> str | None:
    arrays = [value for value in given.values() if isinstance(value, np.ndarray) and value.ndim > 1]
    return next((why for rows in arrays if (why := useless(rows.reshape(-1, rows.shape[-1]))) is not None), None)


def _provenance(
    pool: SourcePool, targets: Sequence[Task], alone: dict[str, Source], seed: int, failed: dict[str, str]
) -> Provenance:
    facts = {}
    for task in targets:
        model = alone[task.name]
        rows = len(task.splits["train"])
        passes = Recipe.parse(model.recipe).passes(rows) if model.recipe else 1
        facts[task.name] = TargetFacts(
            fingerprint=task.fingerprint,
            metric=task.metric,
            train_rows=rows,
            score=model.scores["validation"],
            seconds_per_row_epoch=model.seconds / (rows * passes),
            spec=task.spec,
        )
    return Provenance(
        pool=str(Path(pool.folder).resolve()),
        encoder=pool.encoder,
        seed=seed,
        sources={source.name: source.fingerprint for source in pool.values() if source.name not in failed},
        targets=facts,
        failed=failed,
        version=VERSION,
    )
