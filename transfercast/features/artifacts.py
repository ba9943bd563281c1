"""Outputs of models for rows, computed once and cached by fingerprint: embeddings, Fisher information, unigrams, space maps.

One forward pass of a model over a set of texts serves every measure that uses its embeddings, layers or predictions.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from transfercast.core.cache import ArrayCache, fingerprint
from transfercast.core.kinds import Kind
from transfercast.core.poolings import Pooling
from transfercast.sources.batches import tokenized
from transfercast.sources.encoders import checkpoint_folder, load_tokenizer, model_fingerprint
from transfercast.sources.esm import SpaceMap, fit_ridge
from transfercast.sources.fisher import fisher
from transfercast.sources.inference import Reading, read
from transfercast.sources.models import load_encoder, load_model
from transfercast.sources.source import Source
from transfercast.tasks.task import Examples

READING_VERSION = 3  # raise these when the same models and texts would give other results
FISHER_VERSION = 1
MAP_VERSION = 1


@dataclass(frozen=True, slots=True)
class Artifacts:
    """Computes and caches the inputs of measures.

    Attributes:
        cache: cache of arrays.
        device: device of the models.
    """

    cache: ArrayCache
    device: torch.device

    def reading(self, source: Source, texts: tuple[Any, ...], *, split: bool) -> Reading:
        """Outputs of a source for texts."""
        return self._read(source.checkpoint, source.kind, texts, source.max_tokens, split)

    def base_reading(self, encoder: str, texts: tuple[Any, ...], max_tokens: int, *, split: bool) -> Reading:
        """Outputs of an encoder, or of the encoder of a checkpoint, for texts."""
        return self._read(checkpoint_folder(encoder), None, texts, max_tokens, split)

    def _read(self, checkpoint: Path, head: Kind | None, texts: tuple[Any, ...], max_tokens: int, split: bool) -> Reading:
        key = fingerprint(
            version=READING_VERSION,
            model=model_fingerprint(checkpoint),
            head=head,
            texts=list(texts),
            max_tokens=max_tokens,
            split=split,
        )

        def compute() -> tuple[np.ndarray, ...]:
            model = load_encoder(checkpoint) if head is None else load_model(checkpoint, head)
            found = read(model.to(self.device), load_tokenizer(checkpoint), texts, max_tokens, split=split)
            return found.layers, found.firsts, found.outputs, found.words

        return Reading(*self.cache.get("reading", key, compute))

    def fisher(self, source: Source, examples: Examples) -> list[np.ndarray]:
        """The diagonal of a source's Fisher information on rows of its own task, block by block."""
        key = fingerprint(
            version=FISHER_VERSION,
            model=model_fingerprint(source.checkpoint),
            texts=list(examples.texts),
            labels=[_plain(label) for label in examples.labels],
            max_tokens=source.max_tokens,
        )

        def compute() -> list[np.ndarray]:
            model, tokenizer = load_model(source.checkpoint, source.kind).to(self.device), load_tokenizer(source.checkpoint)
            return fisher(model, tokenizer, examples, source.kind, source.label_names, source.max_tokens)

        return list(self.cache.get("fisher", key, compute))

    def space_map(self, source: Source, encoder: str, texts: tuple[Any, ...], pooling: Pooling) -> SpaceMap:
        """The map from a base encoder to a source, fitted on texts of the source's own task (words, of a sequence task).

        Raises:
            InputError: if the encoder or the source does not have this pooling.
        """
        split = source.kind is Kind.SEQUENCE
        pooling = "mean" if split else pooling
        base = self.base_reading(encoder, texts, source.max_tokens, split=split).pooled(pooling)[0]
        if pooling == "pooler":
            tuned = self.base_reading(str(source.checkpoint), texts, source.max_tokens, split=split).pooled(pooling)[0]
        else:
            tuned = self.reading(source, texts, split=split).pooled(pooling)[0]
        key = fingerprint(version=MAP_VERSION, base=base, tuned=tuned)

        def compute() -> tuple[np.ndarray, np.ndarray]:
            found = fit_ridge(base, tuned)
            return found.weight, found.bias

        return SpaceMap(*self.cache.get("map", key, compute))


def unigrams(encoder: str | Path, examples: Examples, max_tokens: int, *, split: bool) -> np.ndarray:
    """(V,) counts of each word piece of a base encoder in rows; special tokens are not counted."""
    tokenizer = _tokenizer_of(checkpoint_folder(str(encoder)))
    pieces = np.concatenate(tokenized(tokenizer, examples.texts, max_tokens, words=split)["input_ids"])
    counts = np.bincount(pieces, minlength=len(tokenizer)).astype(np.float64)
    counts[[number for number in tokenizer.all_special_ids if number != tokenizer.unk_token_id]] = 0
    return counts


@lru_cache(maxsize=4)
def _tokenizer_of(base: Path) -> Any:
    """The tokenizer of a base encoder, kept because each pair needs it four times."""
    return load_tokenizer(base)


def _plain(label: Any) -> Any:
    if isinstance(label, np.ndarray):
        return label.tolist()
    return list(label) if isinstance(label, tuple) else float(label)
