"""The terms that drive the decisions of two models, on the positive documents of both their tasks."""

from __future__ import annotations

from transfercast.attribution.ansat import SharedTerm, shared_terms
from transfercast.core.errors import InputError
from transfercast.core.kinds import Kind
from transfercast.features.evidence import Gatherer
from transfercast.sources.source import Source
from transfercast.tasks.task import Task


def terms_shared(
    gatherer: Gatherer, source: Source, model: Source, task: Task, threshold: float
) -> tuple[list[SharedTerm], int]:
    """Terms that are active in both models, the heaviest first, and on how many documents that rests.

    Args:
        gatherer: takes the activities.
        source: one model, with its own task.
        model: the other, trained on `task`.
        task: its positive documents are read, and the source's own.
        threshold: activity that both must reach.

    Raises:
        InputError: if the two are of different kinds, or of one that has no positive documents.
    """
    if source.kind is not task.kind or task.kind not in (Kind.BINARY, Kind.SEQUENCE):
        raise InputError(
            f"{source.name} is {source.kind} and {task.name} {task.kind}; terms are shared by two binary or two sequence tasks."
        )
    sets = gatherer.document_sets(source, task)
    documents = sets["a"] | sets["b"]
    by_model = [gatherer.activity(one, documents, task.kind) for one in (source, model)]
    first, second = ([found[name] for name in documents] for found in by_model)
    return shared_terms(gatherer.terms(documents, task.kind), first, second, threshold), len(documents)
