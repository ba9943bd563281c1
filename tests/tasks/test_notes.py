"""Leakage is looked for in the rows that are used, and told with counts."""

from __future__ import annotations

import pytest

from tests.conftest import write_csv
from transfercast.tasks.task import Task


def read(folder, train, validation, test):
    paths = {name: write_csv(folder / f"{name}.csv", rows) for name, rows in
             (("train", train), ("validation", validation), ("test", test))}  # fmt: skip
    path = paths.pop("train")
    return Task.from_csv(path, text="text", label="label", **paths)


TRAIN, VALIDATION, TEST = ([(f"{name} {i}", i % 2) for i in range(n)] for name, n in (("tr", 8), ("va", 4), ("te", 4)))


@pytest.mark.parametrize(
    ("splits", "parts"),
    [
        ((TRAIN, VALIDATION, TRAIN[:4]), ["4 of 4 test rows have a text that is in train"]),
        ((TRAIN, VALIDATION, [TRAIN[0], *TEST, TEST[0]]), ["1 of 6 test rows have a text that is in train"]),
        ((TRAIN, TRAIN[:2], TEST), ["2 of 2 validation rows have a text that is in train"]),
        ((TRAIN, VALIDATION, VALIDATION), ["4 of 4 test rows have a text that is in validation"]),
        (([*TRAIN, ("tr 0", 1)], VALIDATION, TEST), ["1 text has different labels"]),
        ((TRAIN, VALIDATION, [("tr 0", 1), ("tr 1", 0)]), ["2 of 2 test rows", "2 texts have different labels"]),
    ],
)
def test_a_text_on_two_sides_or_with_two_labels_is_one_note_with_counts(tmp_path, splits, parts):
    (note,) = read(tmp_path, *splits).notes
    for part in parts:
        assert part in note


def test_texts_that_are_repeated_in_one_split_with_one_label_are_no_leak(tmp_path):
    assert read(tmp_path, TRAIN * 2, VALIDATION, TEST).notes == ()


def test_a_text_may_have_several_values_in_a_regression(tmp_path):
    rows = [[(text, i / 8 + 0.01) for i, (text, _) in enumerate(part)] for part in (TRAIN, VALIDATION, TEST)]
    assert read(tmp_path, [*rows[0], ("tr 0", 0.77)], *rows[1:]).notes == ()


def test_the_repr_of_a_task_is_one_short_line_without_texts(tmp_path):
    task = read(tmp_path, TRAIN, VALIDATION, TEST)
    assert repr(task) == "Task('train', binary, 8 + 4 + 4 rows, positive_f1)"
    assert repr(task.splits["train"]) == "Examples(8 documents)"
