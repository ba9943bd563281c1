"""Whether a source is named after the target: `owner/vit-base-food101` for the target food101.

Who shares a model often names it after the data that it was fine-tuned on. Such a source has seen the target's task, which no
measure of others may show. What that is worth is learned from the history.
"""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np

LEAST_LETTERS = 3
"""Shorter names of targets, such as those of languages, occur in other names by chance."""

MOST_WORDS = 20
"""Names from outside may be long; the number of runs grows with the square of their words."""


def named_after(sources: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(n,) whether some whole words of the source's name, written together, are the target's name; 0 or 1.

    Words consist of letters and digits. Case counts nothing, and what precedes the last slash, the owner, is left out.

    Args:
        sources, targets: (n,) names.

    >>> named_after(np.array(["ann/bert-SST-2", "ann/deberta-snli"]), np.array(["sst2", "esnli"])).tolist()
    [1.0, 0.0]
    """
    pairs = zip(sources.tolist(), targets.tolist(), strict=True)
    return np.array([_joined(target) in _runs(source) for source, target in pairs], dtype=np.float64)


@lru_cache(maxsize=100_000)
def _runs(name: str) -> frozenset[str]:
    """All sequences of whole words of a name, each written together."""
    words = _words(name)
    runs = ("".join(words[first:last]) for first in range(len(words)) for last in range(first + 1, len(words) + 1))
    return frozenset(run for run in runs if len(run) >= LEAST_LETTERS)


@lru_cache(maxsize=100_000)
def _joined(name: str) -> str:
    return "".join(_words(name))


def _words(name: str) -> list[str]:
    """The first MOST_WORDS words of a name without its owner."""
    return re.findall(r"[^\W_]+", name.lower().rsplit("/", 1)[-1])[:MOST_WORDS]
