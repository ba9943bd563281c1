"""Whether a source is named after the target: `owner/vit-base-food101` for the target food101.

Who shares a model often names it after the data that it was fine-tuned on. Such a source knows the target's task, whatever the
measures say. What that is worth is learned from the history.
"""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np

LEAST_LETTERS = 3
"""Shorter names of targets, such as those of languages, occur in other names by chance."""

DATA = " (data "
"""What follows tells data sets of the same name apart; see `data.transfers_of`."""


def named_after(sources: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(n,) whether some whole words of the source's name, written together, are the target's name; 0 or 1.

    Words consist of letters and digits. Upper case is taken as lower case. The owner, which precedes the last `/` or `--`, is
    left out.

    Args:
        sources, targets: (n,) names.

    >>> named_after(np.array(["ann/bert-SST-2", "ann/deberta-snli"]), np.array(["sst2", "esnli"])).tolist()
    [1.0, 0.0]
    """
    pairs = zip(sources.tolist(), targets.tolist(), strict=True)
    return np.array([_is_named(source, _together(target.split(DATA)[0])[0]) for source, target in pairs], dtype=np.float64)


def _is_named(source: str, target: str) -> bool:
    letters, bounds = _together(source)
    if len(target) < LEAST_LETTERS or target not in letters:
        return False
    return any(first + len(target) in bounds and letters.startswith(target, first) for first in bounds)


@lru_cache(maxsize=10_000)
def _together(name: str) -> tuple[str, frozenset[int]]:
    """The words of a name written together, and the places where words begin or end."""
    words = re.findall(r"[^\W_]+", re.split("/|--", name.lower())[-1])
    return "".join(words), frozenset(np.cumsum([0, *map(len, words)]).tolist())
