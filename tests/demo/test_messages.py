"""The demo's messages: the same for a seed, readable as a family, and overlapping enough for transfer to matter."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from transfercast.demo.messages import LABELS, write_family
from transfercast.tasks.family import read_family

ROWS = {"train": 300, "validation": 80, "test": 80}
SOURCE_ROWS = {"train": 200, "validation": 40, "test": 40}


def test_the_same_seed_writes_the_same_family(tmp_path):
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_family(tmp_path / folder, ROWS, SOURCE_ROWS, 40, ("donation",), seed)
    a, b, c = ((tmp_path / folder / "train.csv").read_text() for folder in "abc")
    assert a == b != c


def test_every_label_is_a_source_and_the_targets_keep_few_rows(tmp_path):
    family = read_family(write_family(tmp_path, ROWS, SOURCE_ROWS, 40, ("donation", "warning"), 0))
    assert tuple(task.name for task in family.sources) == LABELS
    sizes = {task.name: {split: len(rows) for split, rows in task.splits.items()} for task in family.targets}
    assert sizes == {key: {"train": 40, "validation": 80, "test": 80} for key in ("donation", "warning")}
    assert {split: len(rows) for split, rows in family.sources[0].splits.items()} == SOURCE_ROWS
    assert all(0.1 < task.splits["train"].labels.mean() < 0.4 for task in family.sources)


def test_messages_are_varied_and_some_carry_several_labels(tmp_path):
    family = read_family(write_family(tmp_path, ROWS, SOURCE_ROWS, 40, ("donation",), 0))
    train = family.sources[0].splits["train"]
    assert len(set(train.texts)) > 195
    labels = np.stack([task.splits["train"].labels for task in family.sources])
    assert all((labels[a] & labels[b]).any() for a, b in combinations(range(len(LABELS)), 2))
