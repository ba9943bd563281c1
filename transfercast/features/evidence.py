"""What measures feed on, by name: each kind of evidence of a pair is gathered once, and kept by fingerprint.

| name | what it is |
|---|---|
| source_score, source_test_score | the source's score on its own validation and test rows |
| target_score | the target trained alone, on its validation rows |
| source_embeddings | the source's embeddings of the target's training and validation rows |
| source_predictions | its predictions on these rows |
| target_labels, target_values | their labels; the latter one a row of source_embeddings |
| activities_on_a, _b, _ab | activities of both models on the source's, the target's, their common positive documents |

No gatherer can reach the target's test rows: they are handed `Task.seen`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from transfercast.attribution.activity import activities
from transfercast.attribution.words import term_of, words_of
from transfercast.core.cache import ArrayCache, fingerprint
from transfercast.core.errors import InputError
from transfercast.core.kinds import Kind
from transfercast.sources.encoders import load_tokenizer
from transfercast.sources.inference import Reading, read
from transfercast.sources.models import load_model
from transfercast.sources.source import Source
from transfercast.tasks.family import task_of
from transfercast.tasks.task import Examples, Task

READING_VERSION = 1  # raise it when the same model and texts would be read differently


@dataclass(frozen=True, slots=True)
class Gatherer:
    """Gathers evidence of pairs.

    Attributes:
        cache: where arrays are kept.
        device: where models run.
        documents: at most so many positive documents of each set are attributed.
        tolerance: of the attribution.
    """

    cache: ArrayCache
    device: torch.device
    documents: int
    tolerance: float
    _tasks: dict[str, Examples | None] = field(default_factory=dict)

    def gather(self, names: set[str], source: Source, target: Task, alone: Source) -> dict[str, Any]:
        """The evidence named, of one pair.

        Args:
            names: see the module's table.
            source, target: the pair.
            alone: the target's model trained alone.
        """
        makers: dict[str, Callable[[], Any]] = {
            "source_score": lambda: source.scores.get("validation", source.scores.get("test", np.nan)),
            "source_test_score": lambda: source.scores.get("test", np.nan),
            "target_score": lambda: alone.scores["validation"],
            "target_labels": lambda: target.seen.labels,
            "source_predictions": lambda: self._reading(source, target).predictions(source.kind, source.label_names),
            "source_embeddings": lambda: self._reading(source, target).embeddings,
            "target_values": lambda: self._values(source, target),
        }
        evidence = {name: makers[name]() for name in names if name in makers}
        if any(name.startswith("activities_on_") for name in names):
            evidence |= self._activities(source, target, alone)
        return {name: evidence[name] for name in names}

    def _reading(self, source: Source, target: Task) -> Reading:
        split = target.kind is Kind.SEQUENCE
        texts = target.seen.texts
        key = fingerprint(
            version=READING_VERSION,
            weights=source.fingerprint,
            texts=list(texts),
            max_tokens=source.max_tokens,
            split=split,
        )

        def compute() -> tuple[np.ndarray, ...]:
            model, tokenizer = self._load(source)
            reading = read(model, tokenizer, texts, source.max_tokens, split=split)
            return reading.embeddings, reading.outputs, reading.words

        return Reading(*self.cache.get("reading", key, compute))

    def _values(self, source: Source, target: Task) -> np.ndarray:
        if target.kind is not Kind.SEQUENCE:
            return np.asarray(target.seen.labels)
        number = {name: i for i, name in enumerate(target.label_names)}
        words = self._reading(source, target).words
        return np.array([number[t] for tags, n in zip(target.seen.labels, words, strict=True) for t in tags[:n]])

    def _load(self, source: Source) -> tuple[Any, Any]:
        return load_model(source.checkpoint, source.kind).to(self.device), load_tokenizer(source.checkpoint)

    def own_rows(self, source: Source) -> Examples | None:
        """The source task's training and validation rows, read again; None for adopted checkpoints.

        Raises:
            InputError: if the files are no longer what the source was trained on.
        """
        if source.name not in self._tasks:
            if source.spec is None:
                self._tasks[source.name] = None
            else:
                task = task_of(source.spec)
                if task.fingerprint != source.task:
                    raise InputError(
                        f"{source.spec.get('train')}: changed since source {source.name!r} was trained on it. "
                        f"Run 'transfercast fit-sources' again."
                    )
                self._tasks[source.name] = task.seen
        return self._tasks[source.name]

    def document_sets(self, source: Source, target: Task) -> dict[str, dict[str, tuple[Any, Any]]]:
        """For a, b and ab: documents by id, each with its text and what conductance is taken towards."""
        own = self.own_rows(source)
        on_b = _positives(target, target.seen)
        on_a = _positives(target, own) if own is not None and source.kind is target.kind else {}
        both = {name: on_b[name] for name in on_b if name in on_a}
        return {name: self._few(found) for name, found in (("a", on_a), ("b", on_b), ("ab", both))}

    def _few(self, found: dict[str, tuple[Any, Any]]) -> dict[str, tuple[Any, Any]]:
        return {name: found[name] for name in sorted(found)[: self.documents]}  # ids are hashes: a fixed random sample

    def _activities(self, source: Source, target: Task, alone: Source) -> dict[str, Any]:
        sets = self.document_sets(source, target)
        by_model = [
            {name: self.activity(model, documents, target.kind) for name, documents in sets.items()}
            for model in (source, alone)
        ]
        return {f"activities_on_{name}": tuple([found[name][d] for d in sets[name]] for found in by_model) for name in sets}

    def activity(self, model: Source, documents: dict[str, tuple[Any, Any]], kind: Kind) -> dict[str, np.ndarray]:
        """(words,) activities of each document in one model, by the document's id."""
        return activities(
            lambda: self._load(model),
            model.fingerprint,
            documents,
            cache=self.cache,
            tolerance=self.tolerance,
            max_tokens=model.max_tokens,
            split=kind is Kind.SEQUENCE,
        )

    def terms(self, documents: dict[str, tuple[Any, Any]], kind: Kind) -> list[list[str]]:
        """The terms of each document, aligned with its activities."""
        return [[term_of(word) for word in words_of(text, kind is Kind.SEQUENCE)] for text, _ in documents.values()]


def _positives(target: Task, examples: Examples) -> dict[str, tuple[Any, Any]]:
    """Positive documents by id, with the class (binary) or the words of spans (sequence) that F looks at."""
    found: dict[str, tuple[Any, Any]] = {}
    for row in target.positives(examples):
        tags = examples.labels[row]
        wanted: Any = 1
        if target.kind is Kind.SEQUENCE:
            wanted = [position for position, tag in enumerate(tags) if tag != "O"]
        found[examples.ids[row]] = (examples.texts[row], wanted)
    return found
