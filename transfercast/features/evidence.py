"""Evidence, the inputs of measures, by name. It is computed once and cached by fingerprint.

| name | meaning |
|---|---|
| source_score | the source's score on its own validation rows |
| source_test_f1 | its score on its own test rows, if that is an F1 of positives, labels or spans |
| target_score | the target trained alone from the source's base encoder, on its validation rows |
| source_embeddings, source_layers, source_cls | the target's rows in the source: last layer, all layers, first token |
| source_probabilities, source_predictions | its outputs for these rows |
| target_labels, target_values | the labels of these rows; there is one value for each row of source_embeddings |
| target_kind, target_metric | the target's kind and metric |
| target_embeddings | the same rows in the target trained alone from that encoder |
| target_base_embeddings, source_base_embeddings | the target's and the source's rows in the source's base encoder |
| mapped_embeddings | the target's rows in the source's base encoder, mapped into the source's space |
| source_own_embeddings | the source's own rows in the source |
| source_fisher, target_fisher | diagonal Fisher information of source and target trained alone, each on its own rows |
| source_unigrams, target_unigrams | counts of word pieces in their rows |
| source_sizes, target_sizes | training rows, classes, class balance, text length |
| shared_terms, shared_terms_l2 | (3, 14) ANSAT of raw and of L2-normalised activities, computed for all pairs at once |

A gatherer cannot read the target's test rows, because it gets only `Task.seen`. Evidence from the source's own rows is
missing (None) for adopted checkpoints, whose task is not known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from transfercast.core.cache import ArrayCache
from transfercast.core.errors import InputError
from transfercast.core.kinds import Kind
from transfercast.features.artifacts import Artifacts, unigrams
from transfercast.sources.inference import Reading
from transfercast.sources.source import Source
from transfercast.tasks.family import task_of
from transfercast.tasks.task import Examples, Task

OWN_ROWS = 1000
"""Largest number of a source's own rows that are embedded."""


@dataclass(frozen=True, slots=True)
class Gatherer:
    """Gathers evidence of pairs.

    Attributes:
        cache: cache of arrays.
        device: device of the models.
        documents: largest number of positive documents of each set to attribute, and of rows for Fisher information.
        tolerance: tolerance of the attribution.
        ansat: of the present source, by target: (2, 3, 14) as in `active_terms.PoolAnsat`.
    """

    cache: ArrayCache
    device: torch.device
    documents: int
    tolerance: float
    ansat: Mapping[str, np.ndarray] = field(default_factory=dict)
    _tasks: dict[str, Task | None] = field(default_factory=dict)

    @property
    def artifacts(self) -> Artifacts:
        """Outputs of models for rows."""
        return Artifacts(self.cache, self.device)

    def gather(self, names: set[str], source: Source, target: Task, alone: Source) -> dict[str, Any]:
        """The named evidence of one pair; None if it needs a task that is not known.

        Args:
            names: names of the module's table.
            source, target: the pair.
            alone: the model of the target trained alone.
        """
        makers = self._of_target_rows(source, target, alone)
        if names - set(makers):
            makers |= self._of_own_rows(source, target)
        return {name: makers[name]() for name in names}

    def _of_target_rows(self, source: Source, target: Task, alone: Source) -> dict[str, Callable[[], Any]]:
        seen, split = target.seen, target.kind is Kind.SEQUENCE

        kept: dict[str, Reading] = {}  # read from the cache once for each pair

        def reading(model: Source = source) -> Reading:
            if model.name not in kept:
                kept[model.name] = self.artifacts.reading(model, seen.texts, split=split)
            return kept[model.name]

        return {
            "source_score": lambda: source.scores.get("validation", source.scores.get("test", np.nan)),
            "source_test_f1": lambda: source.scores.get("test", np.nan) if _is_f1(source) else np.nan,
            "target_score": lambda: alone.scores["validation"],
            "target_kind": lambda: target.kind,
            "target_metric": lambda: target.metric,
            "target_labels": lambda: seen.labels,
            "target_values": lambda: values_of(target, reading()) if split else np.asarray(seen.labels),
            "source_predictions": lambda: predictions_of(source, reading()),
            "source_probabilities": lambda: reading().outputs,
            "source_embeddings": lambda: reading().embeddings,
            "source_layers": lambda: reading().layers,
            "source_cls": lambda: reading().firsts[-1],
            "target_embeddings": lambda: reading(alone).embeddings,
            "target_base_embeddings": lambda: self._base(source, seen, split),
            "target_unigrams": lambda: unigrams(alone.encoder, seen, alone.max_tokens, split=split),
            "target_sizes": lambda: self._sizes(target, alone),
            "target_fisher": lambda: self.artifacts.fisher(alone, some(target.splits["train"], self.documents)),
            "shared_terms": lambda: self._ansat_of(target, 0),
            "shared_terms_l2": lambda: self._ansat_of(target, 1),
        }

    def _of_own_rows(self, source: Source, target: Task) -> dict[str, Callable[[], Any]]:
        task, split = self.own_task(source), target.kind is Kind.SEQUENCE
        if task is None:
            names = ("base_embeddings", "own_embeddings", "unigrams", "fisher")
            return {f"source_{name}": lambda: None for name in names} | {
                "mapped_embeddings": lambda: None,
                "source_sizes": lambda: None,
            }
        own, own_split = some(task.seen, OWN_ROWS), task.kind is Kind.SEQUENCE

        def mapped() -> np.ndarray:
            return self.artifacts.space_map(source, source.encoder, own.texts, "mean")(self._base(source, target.seen, split))

        return {
            "mapped_embeddings": mapped,
            "source_base_embeddings": lambda: self._base(source, own, own_split),
            "source_own_embeddings": lambda: self.artifacts.reading(source, own.texts, split=own_split).embeddings,
            "source_unigrams": lambda: unigrams(source.encoder, task.seen, source.max_tokens, split=own_split),
            "source_sizes": lambda: self._sizes(task, source),
            "source_fisher": lambda: self.artifacts.fisher(source, some(task.splits["train"], self.documents)),
        }

    def _ansat_of(self, target: Task, normalisation: int) -> np.ndarray | None:
        """(3, 14) ANSAT; None if the source's architecture cannot be attributed."""
        return self.ansat[target.name][normalisation] if target.name in self.ansat else None

    def _base(self, source: Source, examples: Examples, split: bool) -> np.ndarray:
        """Rows in the base encoder of a source."""
        return self.artifacts.base_reading(source.encoder, examples.texts, source.max_tokens, split=split).embeddings

    def _sizes(self, task: Task, model: Source) -> np.ndarray:
        """(4,) training rows, classes, balance, and mean number of word pieces of a text by the base encoder's tokenizer."""
        train, split = task.splits["train"], task.kind is Kind.SEQUENCE
        length = unigrams(model.encoder, train, model.max_tokens, split=split).sum() / len(train)
        if task.kind is Kind.REGRESSION:
            return np.array([len(train), np.nan, np.nan, length])
        if task.kind is Kind.MULTILABEL:
            shares = train.labels.sum(axis=0) / max(train.labels.sum(), 1)
            return np.array([len(train), len(task.label_names), _balance(shares, len(task.label_names)), length])
        labels = [tag for tags in train.labels for tag in tags] if task.kind is Kind.SEQUENCE else list(train.labels)
        shares = np.unique(labels, return_counts=True)[1] / len(labels)
        classes = len(task.label_names)
        return np.array([len(train), classes, _balance(shares, classes), length])

    def own_task(self, source: Source) -> Task | None:
        """The same as the function of this name, read once."""
        if source.name not in self._tasks:
            self._tasks[source.name] = own_task(source)
        return self._tasks[source.name]


def _is_f1(source: Source) -> bool:
    """Whether a source's metric is an F1 of positives, labels or spans."""
    return source.metric in ("positive_f1", "span_f1") or source.kind is Kind.MULTILABEL


def _balance(shares: np.ndarray, classes: int) -> float:
    """The entropy of classes with these shares (some may be 0), divided by its largest value."""
    there = shares[shares > 0]
    return float(-(there * np.log(there)).sum() / np.log(classes)) if classes > 1 else float("nan")


def predictions_of(source: Source, reading: Reading) -> Any:
    """A source's predictions for rows; None if its probabilities are NaN, which would give class 0."""
    return reading.predictions(source.kind, source.label_names) if np.isfinite(reading.outputs).all() else None


def own_task(source: Source) -> Task | None:
    """The task that a source was trained on, read again; None for adopted checkpoints.

    Raises:
        InputError: if the files have changed since the source was trained.
    """
    if source.spec is None:
        return None
    task = task_of(source.spec)
    if task.fingerprint != source.task:
        raise InputError(
            f"{source.spec.get('train')}: changed since source {source.name!r} was trained on it. "
            f"Run 'transfercast fit-sources' again."
        )
    return task


def some(examples: Examples, most: int) -> Examples:
    """A fixed random sample of rows, at most so many, by the hash of their text."""
    return examples.take(sorted(range(len(examples)), key=lambda row: examples.ids[row])[:most])


def values_of(target: Task, reading: Reading) -> np.ndarray:
    """(m,) class numbers or values of a task's training and validation rows; for sentences, of the words that were read."""
    if target.kind is not Kind.SEQUENCE:
        return np.asarray(target.seen.labels)
    number = {name: i for i, name in enumerate(target.label_names)}
    return np.array([number[t] for tags, n in zip(target.seen.labels, reading.words, strict=True) for t in tags[:n]])
