"""One file is cut by the hash of its texts: no text is on two sides, in one task or in several."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import write_csv
from transfercast.tasks.family import read_family
from transfercast.tasks.rows import Raw
from transfercast.tasks.sampling import set_aside
from transfercast.tasks.task import Task

SPLITS = ("train", "validation", "test")


def ids_of(task):
    return {split: set(part.ids) for split, part in task.splits.items()}


def test_tasks_cut_from_one_file_share_their_split(tmp_path):
    draw = random.Random(0)
    rows = [(f"text {i}", draw.randrange(2), int(draw.random() < 0.3), draw.choice("xyz")) for i in range(400)]
    path = write_csv(tmp_path / "rows.csv", rows, "text,a,b,c")
    splits = [ids_of(Task.from_csv(path, text="text", label=label)) for label in "abc"]
    assert splits[0] == splits[1] == splits[2]


def test_a_text_is_in_the_same_split_in_another_file(tmp_path):
    rows = [(f"text {i}", i % 2) for i in range(400)]
    random.Random(1).shuffle(rows)
    one = ids_of(Task.from_csv(write_csv(tmp_path / "one.csv", rows[:300]), text="text", label="label"))
    other = ids_of(Task.from_csv(write_csv(tmp_path / "other.csv", rows[100:]), text="text", label="label"))
    for split in SPLITS:
        for another in set(SPLITS) - {split}:
            assert not one[split] & other[another]


def test_repeated_texts_stay_together(tmp_path):
    rows = [(f"text {i % 60}", i % 60 % 2) for i in range(600)]
    task = Task.from_csv(write_csv(tmp_path / "rows.csv", rows), text="text", label="label")
    ids = ids_of(task)
    assert sum(map(len, ids.values())) == 60
    assert sum(len(part) for part in task.splits.values()) == 600
    assert task.notes == ()


def test_about_a_tenth_is_set_aside_for_each_split(tmp_path):
    path = write_csv(tmp_path / "rows.csv", [(f"text {i}", i % 2) for i in range(4000)])
    task = Task.from_csv(path, text="text", label="label")
    for split in ("validation", "test"):
        assert 340 < len(task.splits[split]) < 460  # 400, three standard deviations of 19 to each side


def test_another_seed_sets_other_texts_aside(tmp_path):
    path = write_csv(tmp_path / "rows.csv", [(f"text {i}", i % 2) for i in range(400)])
    tests = [ids_of(Task.from_csv(path, text="text", label="label", seed=seed))["test"] for seed in range(3)]
    assert not tests[0] & tests[1]
    assert not tests[0] & tests[2]


def test_a_test_file_leaves_only_validation_to_be_cut(tmp_path):
    path = write_csv(tmp_path / "rows.csv", [(f"text {i}", i % 2) for i in range(400)])
    given_test = write_csv(tmp_path / "test.csv", [("other", 0), ("another", 1)])
    whole = Task.from_csv(path, text="text", label="label")
    task = Task.from_csv(path, text="text", label="label", test=given_test)
    assert ids_of(task)["validation"] == ids_of(whole)["validation"]
    assert ids_of(task)["train"] == ids_of(whole)["train"] | ids_of(whole)["test"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.sampled_from("ab")), min_size=1, max_size=60), st.integers(0, 5))
def test_every_class_of_three_texts_is_in_every_split_and_no_text_in_two(rows, seed):
    labels = [label for _, label in rows]
    label_of = dict(rows)  # one label a text
    ids = [f"{(number + 1) * 0x9E3779B97F4A7C15 % 2**64:016x}" for number, _ in rows]
    raw = Raw("x", [0] * len(rows), ids, ids, [label_of[number] for number, _ in rows])
    cut = set_aside(raw, ["validation", "test"], seed, lambda label: (label,))
    assert sum(map(len, cut.values())) == len(labels)
    for label in "ab":
        texts = {text for text, given_label in zip(ids, raw.labels, strict=True) if given_label == label}
        if len(texts) >= 3:
            assert all(label in part.labels for part in cut.values())
    for split in SPLITS:
        for other in set(SPLITS) - {split}:
            assert not set(cut[split].ids) & set(cut[other].ids)


def test_few_rows_of_numbers_leave_no_split_empty(tmp_path):
    path = write_csv(tmp_path / "rows.csv", [(f"text {i}", i / 8) for i in range(1, 7)])
    task = Task.from_csv(path, text="text", label="label")
    assert all(len(part) for part in task.splits.values())


@pytest.mark.parametrize("positives", [3, 5])
def test_a_rare_class_is_in_every_split(tmp_path, positives):
    path = write_csv(tmp_path / "rows.csv", [(f"text {i}", int(i < positives)) for i in range(200)])
    task = Task.from_csv(path, text="text", label="label")
    assert all(part.labels.any() for part in task.splits.values())


def test_tasks_of_a_multilabel_file_share_their_documents_and_each_split_has_every_rare_label(tmp_path):
    write_csv(tmp_path / "rows.csv", [(f"text {i}", int(i < 4), int(i % 50 == 7), i % 2) for i in range(300)], "text,a,b,c")
    toml = tmp_path / "tasks.toml"
    toml.write_text('[[task]]\ntrain = "rows.csv"\nkind = "multilabel"\nlabels = ["a", "b", "c"]\n', encoding="utf-8")
    tasks = read_family(toml).sources
    assert ids_of(tasks[0]) == ids_of(tasks[1]) == ids_of(tasks[2])
    assert all(set(part.labels.tolist()) == {0, 1} for task in tasks for part in task.splits.values())
