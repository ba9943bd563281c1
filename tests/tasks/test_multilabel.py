"""Several labels a row: as one task of all labels, or cut into a binary task for one of them."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from tests.conftest import sentences, write_csv
from transfercast.cli import app
from transfercast.core.errors import InputError
from transfercast.core.kinds import Kind
from transfercast.tasks.family import read_family, task_of
from transfercast.tasks.task import Task

N = 90
LABELS = [[name for name, every in (("joy", 2), ("fear", 3), ("love", 5)) if i % every == 0] for i in range(N)]
NAMES = ("fear", "joy", "love")
"""In the order of the alphabet, in which they stand."""


def as_columns(folder, **changed):
    rows = [(f"text {i}", *(int(name in labels) for name in NAMES)) for i, labels in enumerate(LABELS)]
    return write_csv(folder / "rows.csv", rows, ",".join(["text", *NAMES]))


def as_lists(folder, labels=LABELS):
    path = folder / "rows.jsonl"
    rows = [{"text": f"text {i}", "label": some} for i, some in enumerate(labels)]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def of(task):
    return {
        text: [name for name, flag in zip(task.label_names, row, strict=True) if flag]
        for part in task.splits.values()
        for text, row in zip(part.texts, part.labels, strict=True)
    }


def test_columns_in_one_task_and_lists_are_the_same_task(tmp_path):
    joint = Task.from_csv(as_columns(tmp_path), kind="multilabel", labels=NAMES, joint=True)
    lists = Task.from_csv(as_lists(tmp_path))
    for task in (joint, lists):
        assert (task.kind, task.metric, task.label_names) == (Kind.MULTILABEL, "micro_f1", NAMES)
        assert of(task) == {f"text {i}": sorted(labels) for i, labels in enumerate(LABELS)}
        assert all(part.labels.any(axis=0).all() for part in task.splits.values())  # each label is in every split
        assert task_of(task.spec).fingerprint == task.fingerprint
    assert (
        "multilabel (by its labels), judged by micro_f1; 3 labels, of which a row may have several: 'fear', 'joy'"
        in lists.about
    )


def test_one_of_a_list_of_labels_is_a_binary_task_over_the_same_documents(tmp_path):
    path = as_lists(tmp_path)
    whole, one = Task.from_csv(path), Task.from_csv(path, positive="fear")
    assert one.kind is Kind.BINARY
    assert "positive is any row with 'fear'" in one.about
    for split, part in one.splits.items():
        assert part.ids == whole.splits[split].ids
        assert part.labels.tolist() == whole.splits[split].labels[:, 0].tolist()


def test_a_family_has_all_labels_in_one_task_beside_one_task_each(tmp_path):
    as_columns(tmp_path)
    (tmp_path / "tasks.toml").write_text(
        'kind = "multilabel"\ntrain = "rows.csv"\nlabels = ["fear", "joy", "love"]\n'
        '[[task]]\n[[task]]\nname = "all"\njoint = true\nmetric = "macro_f1"\n',
        encoding="utf-8",
    )
    tasks = {task.name: task for task in read_family(tmp_path / "tasks.toml").sources}
    assert {name: task.kind.value for name, task in tasks.items()} == {
        "fear": "binary", "joy": "binary", "love": "binary", "all": "multilabel",
    }  # fmt: skip
    assert tasks["all"].metric == "macro_f1"
    for split, part in tasks["all"].splits.items():
        for place, name in enumerate(NAMES):
            assert part.labels[:, place].tolist() == tasks[name].splits[split].labels.tolist()


def test_rows_without_a_label_are_rows_and_a_rare_label_is_told_or_left_out(tmp_path):
    path = as_lists(tmp_path, [*LABELS[:-1], ["awe"]])
    with pytest.raises(InputError, match=r"rows\.jsonl, line 90: label 'awe' is in \w+ only"):
        Task.from_csv(path)
    task = Task.from_csv(path, drop=["rare_labels"])
    assert task.label_names == NAMES
    assert of(task)["text 89"] == of(task)["text 1"] == []


def test_lists_of_class_numbers_are_read_by_their_names(tmp_path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"text": datasets.Value("string"), "labels": datasets.List(datasets.ClassLabel(names=["joy", "fear", "love"]))}
    )
    numbers = [[["joy", "fear", "love"].index(name) for name in labels] for labels in LABELS]
    data = datasets.Dataset.from_dict({"text": [f"text {i}" for i in range(N)], "labels": numbers}, features=features)
    task = Task.from_dataset(data, label="labels", keep=tmp_path)
    assert task.fingerprint == Task.from_csv(as_lists(tmp_path)).fingerprint == task_of(task.spec).fingerprint
    frame = pd.DataFrame({"text": [f"text {i}" for i in range(N)], "labels": [np.array(labels) for labels in LABELS]})
    assert Task.from_dataset(frame, label="labels", keep=tmp_path).fingerprint == task.fingerprint
    assert Task.from_dataset(data, label="labels", positive="love", keep=tmp_path).kind is Kind.BINARY


def test_a_text_with_two_sets_of_labels_is_noted(tmp_path):
    path = as_lists(tmp_path)
    with path.open("a", encoding="utf-8") as file:
        file.write('\n{"text": "text 0", "label": ["love"]}\n')
    assert "1 text has different labels" in Task.from_csv(path).notes[0]


@pytest.mark.parametrize(
    ("changed", "options", "parts"),
    [
        ({3: "joy"}, {}, ["line 4", "'joy', not a list of labels", "labels = [...]"]),
        ({3: None}, {}, ["line 4: column 'label' is empty"]),
        ({3: ["joy", None]}, {}, ["line 4", "lists None, which is no label"]),
        ({3: [["joy"]]}, {}, ["line 4", "lists ['joy'], which is no label"]),
        ({}, {"positive": "joi"}, ["no row has the label positive = 'joi'; did you mean 'joy'"]),
        ({}, {"kind": "binary"}, ["rows list labels; say which is positive"]),
        ({}, {"kind": "multiclass"}, ["'multiclass' does not fit lists of labels"]),
        ({}, {"metric": "accuracy"}, ["metric 'accuracy' does not judge multilabel tasks; choose of micro_f1, macro_f1"]),
        ({i: ["B-PER", "O"] for i in range(N)}, {}, ["line 1", "'text' holds 'text 0', not a list"]),
    ],
)
def test_what_does_not_fit_is_told_by_row_and_value(tmp_path, changed, options, parts):
    path = as_lists(tmp_path, [changed.get(i, labels) for i, labels in enumerate(LABELS)])
    with pytest.raises(InputError) as told:
        Task.from_csv(path, **options)
    for part in parts:
        assert part in str(told.value)


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"labels": ["joy"], "joint": True}, ["joint is for", "two 0/1 columns"]),
        ({"labels": ["joy", "fear"], "joint": True, "label": "joy"}, ["takes all; leave one out"]),
        ({"labels": ["joy", "fear"]}, ["say which label", "joint = true"]),
        ({"labels": ["joy", "fear"], "label": "joi"}, ["did you mean 'joy'"]),
    ],
)
def test_options_that_contradict_one_another_are_told(tmp_path, options, parts):
    with pytest.raises(InputError) as told:
        Task.from_csv(as_columns(tmp_path), kind="multilabel", **options)
    for part in parts:
        assert part in str(told.value)


def test_columns_of_a_file_are_named_on_the_command_line(tmp_path, tiny_encoder):
    rows = [(text, i % 2, int(i % 3 == 0)) for i, (text, _) in enumerate(sentences(90, "good", seed=0))]
    path = write_csv(tmp_path / "rows.csv", rows, "text,joy,fear")
    arguments = ["rank", str(path), str(tiny_encoder), "--labels", "joy, fear", "--metric", "macro_f1"]
    run = CliRunner().invoke(app, [*arguments, "--measure", "frozen_transfer", "--json"])
    assert run.exit_code == 0, run.output
    assert "multilabel (as stated), judged by macro_f1; 2 labels, of which a row may have several: 'fear', 'joy'" in run.stderr
    assert 0 <= json.loads(run.stdout)["frozen_transfer"] <= 1
