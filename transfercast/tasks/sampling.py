"""Split one file into three, and sample rows in one seeded order, so that a smaller sample is a subset of a larger one."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from transfercast.tasks.rows import Raw

SHARE_SET_ASIDE = 0.1

_TURN = (math.sqrt(5) - 1) / 2  # multiples of the golden ratio lie far apart, so each seed sets other texts aside


def set_aside(raw: Raw, missing: list[str], seed: int, classes_of: Callable[[Any], Iterable[str]]) -> dict[str, Raw]:
    """Cut about a tenth of `raw` for each missing split, by the hash of each text.

    The hash is a number in [0, 1), shifted by the seed: a text below 0.1 goes to validation, one below 0.2 to test. So the
    same text is in the same split, in this task and in any other that is cut with this seed, whatever its label: a source
    cannot have been trained on a test row of a target. If a split would lack one of the classes, the text of that class
    with the smallest hash is moved there; this is not done for a class of fewer texts than splits.

    Args:
        raw: rows of one file.
        missing: the splits to cut, of `validation` and `test`.
        seed: seed of the hash.
        classes_of: gives the classes of a row by its label.
    """
    split_of, texts_of = {}, defaultdict(set)
    classes = {label: classes_of(label) for label in set(raw.labels)}
    for text, label in zip(raw.ids, raw.labels, strict=True):
        wanted = _split(_place(text, seed))
        split_of[text] = wanted if wanted in missing else "train"
        for name in classes[label]:
            texts_of[name].add(text)
    splits = ["train", *missing]
    for _, texts in sorted(texts_of.items()):
        if len(texts) >= len(splits):
            _fill(split_of, texts, splits, seed)
    rows: dict[str, list[int]] = {split: [] for split in splits}
    for row, text in enumerate(raw.ids):
        rows[split_of[text]].append(row)
    return {split: raw.take(rows[split]) for split in splits}


def _place(text_id: str, seed: int) -> float:
    return (int(text_id, 16) / 2**64 + seed * _TURN) % 1.0


def _split(place: float) -> str:
    if place < SHARE_SET_ASIDE:
        return "validation"
    return "test" if place < 2 * SHARE_SET_ASIDE else "train"


def _fill(split_of: dict[str, str], texts: set[str], splits: list[str], seed: int) -> None:
    """Move one of a class's texts into each split that has none, from the split that has most."""
    held = Counter(split_of[text] for text in texts)
    for split in splits:
        if not held[split]:
            fullest = max(splits, key=lambda name: held[name])
            moved = min((text for text in texts if split_of[text] == fullest), key=lambda text: _place(text, seed))
            split_of[moved] = split
            held.update({fullest: -1, split: 1})


def capped(raw: Raw, cap: int | None, seed: int, positive_share: float | None, is_positive: Callable[[Any], bool]) -> Raw:
    """At most `cap` rows of a seeded order, beginning with positives up to the share `positive_share`."""
    if cap is None or len(raw) <= cap:
        return raw
    order = np.random.default_rng(seed).permutation(len(raw))
    if positive_share is not None:
        carries = np.array([is_positive(raw.labels[row]) for row in order])
        positives, negatives = order[carries], order[~carries]
        wanted = min(len(positives), round(cap * positive_share))
        order = np.concatenate([positives[:wanted], negatives])
    return raw.take(sorted(order[:cap]))
