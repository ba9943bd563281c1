"""Splitting one file into three, and keeping a few of many rows: one seeded order, so that fewer is a subset of more."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from transfercast.tasks.labels import Raw
from transfercast.tasks.spec import TaskSpec

SHARE_SET_ASIDE = 0.1


def set_aside(raw: Raw, missing: list[str], seed: int) -> dict[str, Raw]:
    """Cut a tenth of `raw` for each missing split, by class where labels are classes, at least one row of each.

    A class with fewer rows than there are splits stays where the training rows are.
    """
    rng = np.random.default_rng(seed)
    groups: dict[object, list[int]] = defaultdict(list)
    classes = len({label for label in raw.labels if isinstance(label, str)})
    for row, label in enumerate(raw.labels):
        groups[label if isinstance(label, str) and classes <= len(raw.labels) / 10 else ""].append(row)
    cut: dict[str, list[int]] = {split: [] for split in ("train", *missing)}
    for rows in groups.values():
        shuffled = [rows[i] for i in rng.permutation(len(rows))]
        share = max(1, round(SHARE_SET_ASIDE * len(rows))) if len(rows) > len(missing) else 0
        for split in missing:
            cut[split] += shuffled[:share]
            shuffled = shuffled[share:]
        cut["train"] += shuffled
    return {split: raw.take(sorted(rows)) for split, rows in cut.items()}


def capped(spec: TaskSpec, raw: Raw, cap: int | None) -> Raw:
    """At most `cap` rows of a seeded order, positives first in the share that spec.positive_share asks for."""
    if cap is None or len(raw.labels) <= cap:
        return raw
    order = np.random.default_rng(spec.seed).permutation(len(raw.labels))
    if spec.positive_share is not None:
        carries = np.array([_is_positive(spec, raw.labels[row]) for row in order])
        positives, negatives = order[carries], order[~carries]
        wanted = min(len(positives), round(cap * spec.positive_share))
        order = np.concatenate([positives[:wanted], negatives])
    return raw.take(sorted(order[:cap]))


def _is_positive(spec: TaskSpec, label: object) -> bool:
    if isinstance(label, tuple):
        return any(part not in (0, "O") for part in label)
    return label == spec.positive if spec.positive is not None else label in ("1", "1.0", "true", "True", "yes")
