"""From a pool and targets to a table of features: every measure for every pair."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from transfercast.core.cache import ArrayCache
from transfercast.core.errors import InputError
from transfercast.core.progress import progress
from transfercast.core.records import Recipe
from transfercast.core.table import INDEX, FeatureTable, Provenance, TargetFacts
from transfercast.core.version import VERSION
from transfercast.features.evidence import Gatherer
from transfercast.features.registry import Measure, measures
from transfercast.sources.models import pick_device
from transfercast.sources.pool import DEFAULT_RECIPE, SourcePool
from transfercast.sources.source import Source
from transfercast.tasks.task import Task

DOCUMENTS = 64
TOLERANCE = 0.02


def extract_features(
    pool: SourcePool,
    targets: Sequence[Task],
    *,
    recipe: Recipe = DEFAULT_RECIPE,
    seed: int = 0,
    documents: int = DOCUMENTS,
    device: str | None = None,
    cache: ArrayCache | None = None,
) -> FeatureTable:
    """Measure every source of the pool against every target; a source is not paired with its own task.

    Each target is first trained alone with `recipe` (once; the pool keeps it), for its own score and its activities.

    Args:
        pool: the sources.
        targets: tasks; their test rows are not read.
        recipe: how targets will be trained.
        seed: of the targets' training.
        documents: at most so many positive documents of each set are attributed; more is steadier and slower.
        device: cpu, cuda, mps; None takes the best there is.
        cache: where evidence is kept; by default the user's cache folder.

    Raises:
        InputError: if there is no target, or a source's data have changed.
    """
    if not targets:
        raise InputError("no targets. Name at least one task to transfer to.")
    if documents < 1:
        raise InputError(f"documents is {documents}; attribution needs at least 1.")
    gatherer = Gatherer(cache or ArrayCache(), pick_device(device), documents, TOLERANCE)
    listed = list(measures().values())
    alone = {task.name: pool.target_model(task, recipe, seed, device) for task in progress(targets, "targets alone")}
    pairs = [(source, task) for task in targets for source in pool.values() if source.name != task.name]
    if not pairs:
        raise InputError(f"{pool.folder}: no source besides the target itself. Fit or adopt more sources.")
    rows = {}
    for source, task in progress(pairs, "pairs"):
        rows[source.name, task.name, recipe.key] = _row(gatherer, listed, source, task, alone[task.name])
    schema = tuple(column for one in listed for column in one.schema())
    index = pd.MultiIndex.from_tuples(list(rows), names=INDEX)
    frame = pd.DataFrame(list(rows.values()), index=index, columns=[column.name for column in schema])
    return FeatureTable(frame, schema, _provenance(pool, targets, alone, seed))


def _row(gatherer: Gatherer, listed: list[Measure], source: Source, target: Task, alone: Source) -> np.ndarray:
    defined = [m for m in listed if target.kind in m.kinds and (not m.same_kind or source.kind is target.kind)]
    evidence = gatherer.gather({name for m in defined for name in m.needs}, source, target, alone)
    parts = []
    for one in listed:
        if one in defined:
            parts.append(np.atleast_1d(one.function(**{name: evidence[name] for name in one.needs})))
        else:
            parts.append(np.full(len(one.columns), np.nan))
    return np.concatenate(parts).astype(np.float64)


def _provenance(pool: SourcePool, targets: Sequence[Task], alone: dict[str, Source], seed: int) -> Provenance:
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
        version=VERSION,
    )
