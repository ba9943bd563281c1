"""Activities of one model on a set of documents: taken once, kept by fingerprint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from transfercast.attribution.conductance import term_conductance
from transfercast.core.cache import ArrayCache, fingerprint

VERSION = 2  # raise it when the same model and text would give other activities
DOCUMENTS_A_BATCH = 32


def activities(
    load: Callable[[], tuple[Any, Any]],
    weights: str,
    documents: Mapping[str, tuple[Any, Any]],
    *,
    cache: ArrayCache,
    tolerance: float,
    max_tokens: int,
    split: bool,
) -> dict[str, np.ndarray]:
    """(words,) float32 activities of each document, by its id.

    Args:
        load: gives model and tokenizer; called only when something is not in the cache.
        weights: fingerprint of the model's weights.
        documents: id -> (text, target) as `term_conductance` takes them.
        cache: where batches of documents are kept, so that a run that was killed goes on with the next batch.
        tolerance, max_tokens, split: as in `term_conductance`.
    """
    ids = sorted(documents)
    found: dict[str, np.ndarray] = {}
    loaded: list[tuple[Any, Any]] = []
    for start in range(0, len(ids), DOCUMENTS_A_BATCH):
        batch = ids[start : start + DOCUMENTS_A_BATCH]
        texts, targets = zip(*(documents[name] for name in batch), strict=True)
        key = fingerprint(
            version=VERSION, weights=weights, texts=list(texts), targets=list(targets),
            tolerance=tolerance, max_tokens=max_tokens, split=split,
        )  # fmt: skip

        def compute(texts: Any = texts, targets: Any = targets) -> tuple[np.ndarray, np.ndarray]:
            if not loaded:
                loaded.append(load())
            model, tokenizer = loaded[0]
            results = term_conductance(
                model, tokenizer, texts, target=targets, tolerance=tolerance, max_tokens=max_tokens, split=split
            )
            each = [result.activity().astype(np.float32) for result in results]
            return np.concatenate(each), np.array([len(one) for one in each])

        values, lengths = cache.get("activity", key, compute)
        found.update(zip(batch, np.split(values, np.cumsum(lengths)[:-1]), strict=True))
    return found
