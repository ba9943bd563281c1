"""Activities of one model on a set of documents, with every normalisation: computed once, cached by fingerprint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from transfercast.attribution.conductance import Normalise, term_conductance
from transfercast.core.cache import ArrayCache, fingerprint

VERSION = 4  # raised when the same model and text would give other activities
DOCUMENTS_A_BATCH = 32

NORMALISATIONS: tuple[Normalise, ...] = ("none", "l2")


@dataclass(frozen=True, slots=True)
class Activity:
    """Activities of one document in one model.

    Attributes:
        values: (2, words) float32, a row for each of NORMALISATIONS.
        within_tolerance: whether their error is within the requested tolerance.
    """

    values: np.ndarray
    within_tolerance: bool


def activities(
    load: Callable[[], tuple[Any, Any]],
    weights: str,
    documents: Mapping[str, tuple[Any, Any]],
    *,
    cache: ArrayCache,
    tolerance: float,
    max_tokens: int,
    split: bool,
) -> dict[str, Activity]:
    """Activities of each document, by its id.

    Args:
        load: returns model and tokenizer; called only if some activities are not in the cache.
        weights: fingerprint of the model's weights.
        documents: id -> (text, target) as in `term_conductance`.
        cache: cache of batches of documents, so that a run that was killed continues with the next batch.
        tolerance, max_tokens, split: as in `term_conductance`.
    """
    ids = sorted(documents)
    by_id: dict[str, Activity] = {}
    loaded: list[tuple[Any, Any]] = []
    for start in range(0, len(ids), DOCUMENTS_A_BATCH):
        batch = ids[start : start + DOCUMENTS_A_BATCH]
        texts, targets = zip(*(documents[name] for name in batch), strict=True)
        key = fingerprint(
            version=VERSION, weights=weights, texts=list(texts), targets=list(targets),
            tolerance=tolerance, max_tokens=max_tokens, split=split,
        )  # fmt: skip

        def compute(texts: Any = texts, targets: Any = targets) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            if not loaded:
                loaded.append(load())
            model, tokenizer = loaded[0]
            results = term_conductance(
                model, tokenizer, texts, target=targets, tolerance=tolerance, max_tokens=max_tokens, split=split
            )
            values = [np.stack([result.activity(each) for each in NORMALISATIONS]) for result in results]
            lengths = np.array([part.shape[1] for part in values])
            return np.concatenate(values, axis=1).astype(np.float32), lengths, np.array([r.within_tolerance for r in results])

        values, lengths, within = cache.get("activity", key, compute)
        parts = np.split(values, np.cumsum(lengths)[:-1], axis=1)
        by_id |= {name: Activity(part, bool(good)) for name, part, good in zip(batch, parts, within, strict=True)}
    return by_id
