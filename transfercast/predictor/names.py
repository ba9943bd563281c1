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


def named_after(sources: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(n,) whether some whole words of the source's name, written together, are the target's name; 0 or 1.

    Words consist of letters and digits. Case counts nothing, and what precedes the last slash, the owner, is left out.

    Args:
        sources, targets: (n,) names.

    >>> named_after(np.array(["ann/bert-SST-2", "ann/deberta-snli"]), np.array(["sst2", "esnli"])).tolist()
    [1.0, 0.0]
    """
    pairs = zip(sources.tolist(), targets.tolist(), strict=True)
    return np.array([_is_named(source, _together(target)) for source, target in pairs], dtype=np.float64)


def _is_named(source: str, target: str) -> bool:
    if len(target) < LEAST_LETTERS or target not in _together(source):
        return False
    return _whole_words(target).search(_without_owner(source)) is not None


def _without_owner(name: str) -> str:
    return name.lower().rsplit("/", 1)[-1]


@lru_cache(maxsize=10_000)
def _together(name: str) -> str:
    """The words of a name, written together."""
    return re.sub(r"[\W_]+", "", _without_owner(name))


@lru_cache(maxsize=1_000)
def _whole_words(letters: str) -> re.Pattern[str]:
    """Finds letters that are whole words, whatever separates them."""
    return re.compile(r"(?<![^\W_])" + r"[\W_]*".join(map(re.escape, letters)) + r"(?![^\W_])")
