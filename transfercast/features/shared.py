"""The terms that drive the decisions of two models, on the positive documents of both their tasks."""

from __future__ import annotations

from transfercast.attribution.ansat import SharedTerm, shared_terms
from transfercast.attribution.words import term_of, words_of
from transfercast.core.errors import InputError
from transfercast.core.kinds import Kind
from transfercast.features.active_terms import ATTRIBUTED, activities_of, few, loader, positives
from transfercast.features.evidence import Gatherer
from transfercast.sources.source import Source
from transfercast.tasks.task import Task


def terms_shared(
    gatherer: Gatherer, source: Source, model: Source, task: Task, threshold: float
) -> tuple[list[SharedTerm], int]:
    """Terms that are active in both models, those of largest weight first, and the number of documents.

    Args:
        gatherer: computes the activities.
        source: one model, with its own task.
        model: the other model, trained on `task`.
        task: the documents are its positive ones, and those of the source's own task.
        threshold: activity that both must reach, in units of F.

    Raises:
        InputError: if the two are of different kinds, or of one that has no positive documents.
    """
    if source.kind is not task.kind or task.kind not in ATTRIBUTED:
        raise InputError(
            f"{source.name} is {source.kind} and {task.name} {task.kind}; terms are shared by two binary or two sequence tasks."
        )
    own = gatherer.own_task(source)
    documents = {} if own is None else few(positives(own, own.seen), gatherer.documents)
    documents |= few(positives(task, task.seen), gatherer.documents)
    of_models = [activities_of(gatherer, each, documents, task.kind, loader(gatherer, each)) for each in (source, model)]
    first, second = ([by_id[name].values[0] for name in documents] for by_id in of_models)
    terms = [[term_of(word) for word in words_of(text, task.kind is Kind.SEQUENCE)] for text, _ in documents.values()]
    return shared_terms(terms, first, second, threshold), len(documents)
