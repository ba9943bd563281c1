"""From a pool and targets to a table of features: every measure for every pair."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd

from transfercast.core.cache import ArrayCache
from transfercast.core.errors import InputError
from transfercast.core.progress import progress
from transfercast.core.records import Recipe
from transfercast.core.table import INDEX, FeatureTable, Provenance, TargetFacts
from transfercast.core.version import VERSION
from transfercast.features.active_terms import PoolAnsat, pool_ansat
from transfercast.features.evidence import Gatherer
from transfercast.features.parallel import in_parallel
from transfercast.features.registry import Measure, measures
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
    """Measure every source of the pool against every target; a source is not paired with its own task.

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
        jobs: sources at a time. By default as `joblib.parallel_config` says, which also picks the backend (processes
            unless told otherwise), else one.
        device: cpu, cuda, mps; None takes the best there is.
        cache: where evidence is kept; by default the user's cache folder.

    Raises:
        InputError: if there is no target, a measure is not known, or every source failed.
    """
    if not targets:
        raise InputError("no targets. Name at least one task to transfer to.")
    if documents < 1:
        raise InputError(f"documents is {documents}; attribution needs at least 1.")
    chosen = _chosen(only)
    if not any(source.name != task.name for task in targets for source in pool.values()):
        raise InputError(f"{pool.folder}: no source besides the target itself. Fit or adopt more sources.")
    _tell_what_does_not_apply(chosen if only is not None else [], pool, targets)
    gatherer = Gatherer(cache or ArrayCache(), pick_device(device), documents, TOLERANCE, pool.encoder)
    alone = {task.name: pool.target_model(task, recipe, seed, device) for task in progress(targets, "targets alone")}
    rows: dict[tuple[str, str, str], np.ndarray] = {}
    failed: dict[str, str] = {}
    ansat = _ansat(gatherer, chosen, pool, targets, alone, jobs)
    work = [
        (replace(gatherer, ansat=ansat.values.get(name, {})), [one.name for one in chosen], source, targets, alone)
        for name, source in pool.items()
        if name not in ansat.failed
    ]
    rows_of_sources = in_parallel(_rows_of, work, jobs)
    for name, found in chain(ansat.failed.items(), progress(rows_of_sources, "sources", total=len(work))):
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


def _chosen(only: Sequence[str] | None) -> list[Measure]:
    known = measures()
    unknown = [name for name in only or () if name not in known]
    if unknown:
        raise InputError(f"no measure {unknown[0]!r}; there are {', '.join(known)}.")
    return [one for name, one in known.items() if only is None or name in only]


def _tell_what_does_not_apply(asked: list[Measure], pool: SourcePool, targets: Sequence[Task]) -> None:
    pairs = [(source, task) for task in targets for source in pool.values() if source.name != task.name]
    for one in asked:
        missing = [(source, task, one.why_not(source.kind, task.kind)) for source, task in pairs]
        for reason in dict.fromkeys(why for *_, why in missing if why is not None):
            first = next(f"{source.name} to {task.name}" for source, task, why in missing if why == reason)
            log.warning("%s; its columns stay empty, first for %s", reason, first)


def _ansat(
    gatherer: Gatherer, chosen: list[Measure], pool: SourcePool, targets: Sequence[Task], alone: dict[str, Source],
    jobs: int | None,
) -> PoolAnsat:  # fmt: skip
    """ANSAT of all pairs, where a measure needs it; it is told on how many inaccurate readings it rests."""
    wanted = any({"shared_terms", "shared_terms_l2"} & set(one.needs) for one in chosen)
    pairs = [(source, task) for task in targets for source in pool.values() if source.name != task.name]
    ansat = pool_ansat(gatherer, pairs if wanted else [], alone, jobs)
    if ansat.missed:
        log.warning(
            "ansat: %d of %d readings of documents miss the tolerance of %g; they count all the same.",
            ansat.missed, ansat.readings, gatherer.tolerance,
        )  # fmt: skip
    return ansat


def _rows_of(
    gatherer: Gatherer, names: list[str], source: Source, targets: Sequence[Task], alone: dict[str, Source]
) -> tuple[str, dict[str, np.ndarray] | str]:
    """One source against all targets; what went wrong, where something did."""
    chosen = [measures()[name] for name in names]
    try:
        return source.name, {
            task.name: _row(gatherer, chosen, source, task, alone[task.name]) for task in targets if task.name != source.name
        }
    except (
        Exception
    ) as error:  # own measures and hub checkpoints may raise anything; it is reported in `failed`, the others go on
        return source.name, f"{type(error).__name__}: {error}"


def _row(gatherer: Gatherer, chosen: list[Measure], source: Source, target: Task, alone: Source) -> np.ndarray:
    defined = [one for one in chosen if one.why_not(source.kind, target.kind) is None]
    evidence = gatherer.gather({name for one in defined for name in one.needs}, source, target, alone)
    parts = []
    for one in chosen:
        given = {name: evidence[name] for name in one.needs} if one in defined else {}
        missing = one not in defined or any(value is None for value in given.values())
        parts.append(np.full(len(one.columns), np.nan) if missing else np.atleast_1d(one.function(**given)))
    return np.concatenate(parts).astype(np.float64)


def _provenance(
    pool: SourcePool, targets: Sequence[Task], alone: dict[str, Source], seed: int, failed: dict[str, str]
) -> Provenance:
    facts = {}
    for task in targets:
        model = alone[task.name]
        rows = len(task.splits["train"])
        epochs = Recipe.parse(model.recipe).epochs if model.recipe else 1
        facts[task.name] = TargetFacts(
            fingerprint=task.fingerprint,
            metric=task.metric,
            train_rows=rows,
            score=model.scores["validation"],
            seconds_per_row_epoch=model.seconds / (rows * epochs),
            spec=task.spec,
        )
    return Provenance(
        pool=str(Path(pool.folder).resolve()),
        encoder=pool.encoder,
        seed=seed,
        sources={source.name: source.fingerprint for source in pool.values()},
        targets=facts,
        failed=failed,
        version=VERSION,
    )
