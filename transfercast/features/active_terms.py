"""ANSAT of a whole pool: each model is attributed on its documents once; all pairs are computed from packed active terms.

A source is attributed on the positive documents of its own task and of every target, a target's model on those of its own
task and of every source, and both on documents that are positive for both. The formula is in transfercast.attribution.ansat.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from transfercast.attribution.activity import NORMALISATIONS, Activity, activities
from transfercast.attribution.ansat import DocumentSet, ansat_of_pairs, pack
from transfercast.core.kinds import Kind
from transfercast.core.parallel import in_parallel
from transfercast.core.progress import progress
from transfercast.features.evidence import Gatherer
from transfercast.sources.encoders import load_tokenizer, model_fingerprint
from transfercast.sources.models import load_model
from transfercast.sources.source import Source
from transfercast.tasks.task import Examples, Task

ATTRIBUTED = frozenset({Kind.BINARY, Kind.SEQUENCE})
"""Kinds of task that have positive documents."""

Documents = dict[str, tuple[Any, Any]]
"""By id: the text, and the target of the attribution (class, or words of spans)."""


@dataclass(frozen=True, slots=True)
class PoolAnsat:
    """ANSAT of the pairs of a pool.

    Attributes:
        values: by source and target: (2, 3, 14), by normalisation, set of documents (the source's, the target's, those of
            both), and threshold.
        failed: sources that could not be read, with the reason.
        missed: number of attributions whose error exceeds the tolerance; they are used all the same.
        readings: number of all attributions.
    """

    values: dict[str, dict[str, np.ndarray]]
    failed: dict[str, str]
    missed: int
    readings: int


def pool_ansat(
    gatherer: Gatherer, pairs: Sequence[tuple[Source, Task]], alone: dict[str, Source], jobs: int | None
) -> PoolAnsat:
    """ANSAT of the pairs whose tasks are both binary or both sequences; other pairs have none.

    Args:
        gatherer: it has the number of documents, the tolerance, the device, and the cache.
        pairs: pairs of a source and a target.
        alone: models of the targets trained alone, by the targets' names.
        jobs: number of models at a time.
    """
    pairs = [(source, task) for source, task in pairs if source.kind is task.kind and task.kind in ATTRIBUTED]
    sources = {source.name: source for source, _ in pairs}
    tasks = {task.name: task for _, task in pairs}
    failed: dict[str, str] = {}
    own: dict[str, tuple[Documents, frozenset[str]]] = {}
    reading_tasks = in_parallel(_own_positives, [(gatherer, source) for source in sources.values()], jobs)
    for name, positive in progress(reading_tasks, "documents", len(sources)):
        if isinstance(positive, str):
            failed[name] = positive
        else:
            own[name] = positive
    names = [(source.name, task.name) for source, task in pairs if source.name in own]
    sets = _document_sets(names, own, {name: positives(task, task.seen) for name, task in tasks.items()}, gatherer.documents)
    models = {("source", name): (sources[name], sources[name].kind) for name, _ in names}
    models |= {("target", name): (alone[name], tasks[name].kind) for _, name in names}
    work = [(gatherer, reader, *models[reader], chosen) for reader, chosen in _sets_read(names, sets).items()]
    rows: dict[str, dict[str, dict[DocumentSet, np.ndarray]]] = {"source": {}, "target": {}}
    missed = readings = 0
    for (role, name), packed in progress(in_parallel(_packed_rows, work, jobs), "activities", len(work)):
        if isinstance(packed, str):
            failed[name] = packed
        else:
            rows[role][name], missed, readings = packed.bits, missed + packed.missed, readings + packed.readings
    names = [pair for pair in names if pair[0] not in failed]
    return PoolAnsat(_values(names, sets, rows), failed, missed, readings)


def _own_positives(gatherer: Gatherer, source: Source) -> tuple[str, tuple[Documents, frozenset[str]] | str]:
    """A source's positive documents: those to attribute, and the ids of all; or the reason why its task cannot be read."""
    try:
        task = gatherer.own_task(source)
        documents = {} if task is None else positives(task, task.seen)
    except Exception as error:  # readers of other formats may raise any error; only this source is left out
        return source.name, f"{type(error).__name__}: {error}"
    return source.name, (few(documents, gatherer.documents), frozenset(documents))


def _document_sets(
    names: Sequence[tuple[str, str]],
    own: dict[str, tuple[Documents, frozenset[str]]],
    of_targets: dict[str, Documents],
    most: int,
) -> dict[DocumentSet, Documents]:
    """All sets that have documents. Documents that are positive for both are attributed to the class or words of the target."""
    sets: dict[DocumentSet, Documents] = {}
    for source, target in names:
        sets[source, None] = own[source][0]
        sets[None, target] = few(of_targets[target], most)
        of_target = of_targets[target]
        sets[source, target] = few({name: of_target[name] for name in own[source][1] & of_target.keys()}, most)
    return {key: documents for key, documents in sets.items() if documents}


def _sets_read(
    names: Sequence[tuple[str, str]], sets: dict[DocumentSet, Documents]
) -> dict[tuple[str, str], dict[DocumentSet, Documents]]:
    """The documents that each model, by its role and name, is attributed on."""
    chosen: defaultdict[tuple[str, str], dict[DocumentSet, Documents]] = defaultdict(dict)
    for source, target in names:
        keys: tuple[DocumentSet, ...] = ((source, None), (None, target), (source, target))
        for reader in (("source", source), ("target", target)):
            chosen[reader] |= {key: sets[key] for key in keys if key in sets}
    return chosen


@dataclass(frozen=True, slots=True)
class _Packed:
    """Active terms of one model: (2, 14, W) bits of each set of documents, and how many attributions miss the tolerance."""

    bits: dict[DocumentSet, np.ndarray]
    missed: int
    readings: int


def _packed_rows(
    gatherer: Gatherer, reader: tuple[str, str], model: Source, kind: Kind, sets: dict[DocumentSet, Documents]
) -> tuple[tuple[str, str], _Packed | str]:
    """One model's active terms, or the reason of the failure if it is a source and failed."""
    try:
        return reader, _packed(gatherer, model, kind, sets)
    except Exception as error:  # checkpoints of others may raise any error; only this source is left out
        if reader[0] == "target":
            raise
        return reader, f"{type(error).__name__}: {error}"


def _packed(gatherer: Gatherer, model: Source, kind: Kind, sets: dict[DocumentSet, Documents]) -> _Packed:
    load = loader(gatherer, model)
    known: dict[str, Activity] = {}
    for key in sorted(sets, key=lambda key: None not in key):  # most of these are in the cache by then
        fresh = {name: what for name, what in sets[key].items() if None in key or _reading(name, what) not in known}
        taken = activities_of(gatherer, model, fresh, kind, load)
        known |= {_reading(name, fresh[name]): activity for name, activity in taken.items()}
    bits = {
        key: pack(np.concatenate([known[_reading(*document)].values for document in documents.items()], axis=1))
        for key, documents in sets.items()
    }
    return _Packed(bits, sum(not activity.within_tolerance for activity in known.values()), len(known))


def _reading(name: str, document: tuple[Any, Any]) -> str:
    """Key of a document together with its target of the attribution, which may differ between two tasks."""
    return f"{name} {document[1]}"


def _values(
    names: Sequence[tuple[str, str]],
    sets: dict[DocumentSet, Documents],
    rows: dict[str, dict[str, dict[DocumentSet, np.ndarray]]],
) -> dict[str, dict[str, np.ndarray]]:
    sizes = {key: len(documents) for key, documents in sets.items()}
    by_norm = []
    for number in range(len(NORMALISATIONS)):
        firsts, seconds = (
            {name: {key: bits[number] for key, bits in of_model.items()} for name, of_model in rows[role].items()}
            for role in ("source", "target")
        )
        by_norm.append(ansat_of_pairs(names, sizes, firsts, seconds))
    values: defaultdict[str, dict[str, np.ndarray]] = defaultdict(dict)
    for source, target in names:
        values[source][target] = np.stack([of_pairs[source, target] for of_pairs in by_norm])
    return values


def loader(gatherer: Gatherer, model: Source) -> Callable[[], tuple[Any, Any]]:
    """A function that returns model and tokenizer; they are loaded at its first call."""
    return cache(lambda: (load_model(model.checkpoint, model.kind).to(gatherer.device), load_tokenizer(model.checkpoint)))


def activities_of(
    gatherer: Gatherer, model: Source, documents: Documents, kind: Kind, load: Callable[[], tuple[Any, Any]]
) -> dict[str, Activity]:
    """Activities of each document in one model, by the document's id; `load` is called if some are not in the cache."""
    return activities(
        load, model_fingerprint(model.checkpoint), documents,
        cache=gatherer.cache, tolerance=gatherer.tolerance, max_tokens=model.max_tokens, split=kind is Kind.SEQUENCE,
    )  # fmt: skip


def few(documents: Documents, most: int) -> Documents:
    """The first documents by id, at most so many; ids are hashes, so this is a fixed random sample."""
    return {name: documents[name] for name in sorted(documents)[:most]}


def positives(task: Task, examples: Examples) -> Documents:
    """Positive documents by id, with the class (binary) or the words of spans (sequence) that are attributed."""
    documents: Documents = {}
    for row in task.positives(examples):
        wanted: Any = 1
        if task.kind is Kind.SEQUENCE:
            wanted = [position for position, tag in enumerate(examples.labels[row]) if tag != "O"]
        documents[examples.ids[row]] = (examples.texts[row], wanted)
    return documents
