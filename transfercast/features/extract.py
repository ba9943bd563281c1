"""Compute the table of features from a pool and targets: every measure for every pair."""

from __future__ import annotations

import itertools
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
from transfercast.core.table import INDEX, AloneFacts, FeatureTable, Provenance, TargetFacts
from transfercast.core.version import VERSION
from transfercast.features.active_terms import pool_ansat
from transfercast.features.evidence import Gatherer
from transfercast.features.registry import Measure, measures
from transfercast.features.rows import useless
from transfercast.sources.bases import UNKNOWN
from transfercast.sources.encoders import is_encoder_decoder
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

    Each target is first trained alone with `recipe` from each base encoder of the sources (once; the pool keeps it), for its
    own score and its activities: a source is measured against the target trained from the source's own encoder. The outputs
    of a source for a target's rows are computed once for all measures, and cached, so that a run that was killed continues.
    A source that fails is left out with a warning; `table.provenance.failed` gives the reason.

    Args:
        pool: the sources.
        targets: tasks; their test rows are not read.
        recipe: how targets will be trained.
        seed: seed of the targets' training.
        documents: largest number of positive documents of each set to attribute; more are more stable and slower.
        only: names of the measures to compute, by default all; if one of these does not apply to a pair, the reason is logged.
        jobs: trainings of targets, then sources, at a time. By default what `joblib.parallel_config` sets, which also sets
            the backend (processes by default), else one.
        device: cpu, cuda, mps; None takes the best.
        cache: folder of cached evidence; by default the user's cache folder.

    Raises:
        InputError: if there is no target, a measure is not known, or every source failed.

    Example:
        `pool` is a pool of two sources, and `reviews` a task.

        >>> import transfercast as tc
        >>> table = tc.extract_features(pool, [reviews], only=["logme", "vocabulary"])
        >>> table
        <FeatureTable of 2 candidates, 1 targets, 4 columns>
        >>> list(table.frame)
        ['logme', 'vocabulary_overlap', 'unigram_kl', 'unigram_js']
    """
    if not targets:
        raise InputError("no targets. Name at least one task to transfer to.")
    if documents < 1:
        raise InputError(f"documents is {documents}; attribution needs at least 1.")
    checked_seed(seed)
    chosen = _chosen(only)
    if not any(not is_own_task(source, task) for task in targets for source in pool.values()):
        raise InputError(f"{pool.folder}: no source besides the target itself. Fit or adopt more sources.")
    gatherer = Gatherer(cache or ArrayCache(), pick_device(device), documents, TOLERANCE)
    failed = dict(pool.left_out)
    sources = _of_known_encoders(pool, failed)
    alone = _all_alone(pool, targets, (recipe, seed, device), sources, failed, jobs)
    sources = {name: source for name, source in sources.items() if source.encoder in alone}
    _tell_what_does_not_apply(chosen if only is not None else [], sources, targets)
    _warn_of_scores(sources, alone)
    ansat: dict[str, dict[str, np.ndarray]] = {}
    for encoder, models in alone.items():
        ansat |= _ansat(
            gatherer, chosen, [one for one in sources.values() if one.encoder == encoder], models, targets, jobs, failed
        )
    work = [
        (replace(gatherer, ansat=ansat.get(name, {})), [one.name for one in chosen], source, targets, alone[source.encoder])
        for name, source in sources.items()
        if name not in failed
    ]
    rows: dict[tuple[str, str, str], np.ndarray] = {}
    for name, found, notes in progress(in_parallel(_rows_of, work, jobs), "sources", total=len(work)):
        for note in notes:
            log.warning("source %s: %s", name, note)
        if isinstance(found, str):
            failed[name] = found
        else:
            rows |= {(name, target, recipe.key): values for target, values in found.items()}
    for name in [name for name in failed if name not in pool.left_out]:  # the pool has already logged the others
        log.warning("source %s is left out: %s", name, failed[name])
    if not rows:
        raise InputError(f"every source failed; the first: {next(iter(failed.values()))}")
    schema = tuple(column for one in chosen for column in one.schema())
    order = [(source, task.name, recipe.key) for task in targets for source in pool]
    index = pd.MultiIndex.from_tuples([key for key in order if key in rows], names=INDEX)
    frame = pd.DataFrame([rows[key] for key in index], index=index, columns=[column.name for column in schema])
    measured = [source for source in sources.values() if source.name not in failed]
    return FeatureTable(frame, schema, _provenance(pool, measured, targets, alone, seed, failed))


_ROWS = ("format", "train", "validation", "test", "hub", "hub_config", "text", "text_pair")
"""Keys of a task's description that determine its rows, without its name and the number of rows that it keeps."""


def is_own_task(source: Source, task: Task) -> bool:
    """Whether a source was trained on a task's data: by its name, its contents, or its files and columns."""
    if source.name == task.name or source.task == task.fingerprint:
        return True
    return same_data(source.spec, task.spec)


def same_data(one: dict[str, Any] | None, other: dict[str, Any] | None) -> bool:
    """Whether two descriptions of tasks name the same files and texts, and the same label, or one of several labels."""
    if one is None or other is None or any(one.get(key) != other.get(key) for key in _ROWS):
        return False
    if one.get("joint") or other.get("joint"):
        return not _columns_of_labels(one).isdisjoint(_columns_of_labels(other))
    lists = any(spec.get("kind") == "multilabel" and not spec.get("labels") for spec in (one, other))
    return one.get("label") == other.get("label") and (lists or one.get("positive") == other.get("positive"))


def _columns_of_labels(spec: dict[str, Any]) -> set[str]:
    return set(spec["labels"] if spec.get("joint") else [spec["label"]])


Alone = dict[str, dict[str, Source]]
"""Models of the targets trained alone, by base encoder and the target's name."""


def _of_known_encoders(pool: SourcePool, failed: dict[str, str]) -> dict[str, Source]:
    """Sources whose base encoder is known."""
    for source in pool.values():
        if source.encoder == UNKNOWN:
            failed[source.name] = (
                "its base encoder is not known. Adopt it again under the same name, with --encoder NAME_OR_FOLDER"
            )
    return {name: source for name, source in pool.items() if name not in failed}


def _all_alone(
    pool: SourcePool, targets: Sequence[Task], how: tuple[Recipe, int, str | None], sources: dict[str, Source],
    failed: dict[str, str], jobs: int | None,
) -> Alone:  # fmt: skip
    """Every target trained alone from every encoder; if that fails with an encoder, its sources are left out.

    Raises:
        TransfercastError: with the reason, if it fails with every encoder.
    """
    encoders = list(dict.fromkeys(source.encoder for source in sources.values()))
    recipe, seed, device = how
    work = [
        (pool, task, recipe, seed, str(pick_device(device, turn)), encoder)
        for turn, (encoder, task) in enumerate(itertools.product(encoders, targets))
    ]
    by_name: dict[tuple[str, str], Source | TransfercastError] = {}
    for encoder, target, model in progress(in_parallel(_one_alone, work, jobs), "targets alone", total=len(work)):
        by_name[encoder, target] = model
    alone: Alone = {}
    for encoder in encoders:
        models = {task.name: by_name[encoder, task.name] for task in targets}
        error = next((one for one in models.values() if isinstance(one, TransfercastError)), None)
        if error is None:
            alone[encoder] = {name: model for name, model in models.items() if isinstance(model, Source)}
            continue
        if len(encoders) == 1:
            raise error
        for source in sources.values():
            if source.encoder == encoder:
                failed[source.name] = f"no target can be trained alone from its encoder {encoder}: {error}"
    return alone


def _one_alone(
    pool: SourcePool, task: Task, recipe: Recipe, seed: int, device: str | None, encoder: str
) -> tuple[str, str, Source | TransfercastError]:
    """A target trained alone from an encoder, with the names of both; or the reason of the failure."""
    try:
        return encoder, task.name, pool.target_model(task, recipe, seed, device, encoder=encoder)
    except TransfercastError as error:
        return encoder, task.name, error
    except Exception as error:  # encoders of others may raise any error; sources of other encoders are still measured
        return encoder, task.name, TransfercastError(f"{type(error).__name__}: {reason(error)}")


def _warn_of_scores(sources: dict[str, Source], alone: Alone) -> None:
    for source in sources.values():
        if source.warning is not None:
            log.warning("source %s: %s", source.name, source.warning)
    for encoder, models in alone.items():
        for target, model in models.items():
            if model.warning is not None:
                of_several = f" from {encoder}" if len(alone) > 1 else ""
                log.warning("target %s trained alone%s: %s", target, of_several, model.warning)


def _chosen(only: Sequence[str] | None) -> list[Measure]:
    known = measures()
    unknown = [name for name in only or () if name not in known]
    if unknown:
        raise InputError(f"no measure {unknown[0]!r}; there are {', '.join(known)}.")
    return [one for name, one in known.items() if only is None or name in only]


def _tell_what_does_not_apply(asked: list[Measure], sources: dict[str, Source], targets: Sequence[Task]) -> None:
    pairs = [(source, task) for task in targets for source in sources.values() if not is_own_task(source, task)]
    for one in asked:
        missing = [(source, task, one.why_not(source.kind, task.kind)) for source, task in pairs]
        for why_not in dict.fromkeys(why for *_, why in missing if why is not None):
            first = next(f"{source.name} to {task.name}" for source, task, why in missing if why == why_not)
            log.warning("%s; its columns stay empty, first for %s", why_not, first)


Rows = tuple[str, dict[str, np.ndarray] | str, list[str]]
"""A source's name, its row for each target or the reason of its failure, and reasons why measures are NaN."""


def _ansat(
    gatherer: Gatherer, chosen: list[Measure], sources: Sequence[Source], alone: dict[str, Source], targets: Sequence[Task],
    jobs: int | None, failed: dict[str, str],
) -> dict[str, dict[str, np.ndarray]]:  # fmt: skip
    """ANSAT of all pairs of one encoder, if a measure needs it; the number of inaccurate attributions is logged."""
    if not any({"shared_terms", "shared_terms_l2"} & set(one.needs) for one in chosen):
        return {}
    attributed = [source for source in sources if not is_encoder_decoder(source.checkpoint)]
    for source in sources:
        if source not in attributed:
            log.warning("source %s: ansat is NaN: encoder-decoders are not attributed", source.name)
    pairs = [(source, task) for task in targets for source in attributed if not is_own_task(source, task)]
    ansat = pool_ansat(gatherer, pairs, alone, jobs)
    failed |= ansat.failed
    if ansat.missed:
        log.warning(
            "ansat: %d of %d attributions of documents miss the tolerance of %g; they count all the same.",
            ansat.missed, ansat.readings, gatherer.tolerance,
        )  # fmt: skip
    return ansat.values


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
    except Exception as error:  # users' measures and hub checkpoints may raise any error; it is reported for this source
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
    pool: SourcePool, measured: Sequence[Source], targets: Sequence[Task], alone: Alone, seed: int, failed: dict[str, str]
) -> Provenance:
    encoders = {source.name: source.encoder for source in measured}
    return Provenance(
        pool=str(Path(pool.folder).resolve()),
        encoder=next(iter(alone)) if len(alone) == 1 else UNKNOWN,
        encoders=encoders,
        seed=seed,
        sources={source.name: source.fingerprint for source in measured},
        targets={
            task.name: _facts(task, {encoder: models[task.name] for encoder, models in alone.items()}) for task in targets
        },
        failed=failed,
        version=VERSION,
    )


def _facts(task: Task, models: dict[str, Source]) -> TargetFacts:
    """Facts on a target from its models trained alone from each encoder; its own values are those of the best model."""
    rows, alone = len(task.splits["train"]), {}
    for encoder, model in models.items():
        passes = Recipe.parse(model.recipe).passes(rows) if model.recipe else 1
        seconds = model.seconds / (rows * passes)
        alone[encoder] = AloneFacts(score=model.scores["validation"], seconds_per_row_epoch=seconds)
    best = max(alone, key=lambda encoder: models[encoder].scores["validation"])
    return TargetFacts(
        fingerprint=task.fingerprint,
        metric=task.metric,
        train_rows=rows,
        spec=task.spec,
        alone=alone,
        **alone[best].model_dump(),
    )
