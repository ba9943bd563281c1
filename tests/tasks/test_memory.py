"""Data sets and frames in memory are understood as files are, and can be read again from a plan alone."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest

from tests.conftest import write_csv
from transfercast.core.errors import InputError
from transfercast.core.kinds import Kind
from transfercast.tasks.family import task_of
from transfercast.tasks.task import Task

datasets = pytest.importorskip("datasets")

N = 60
TEXTS = [f"text {i}" for i in range(N)]


@pytest.fixture
def read(tmp_path):
    """Reads data that are kept in the test's own folder, and reads the task again from its description."""

    def read_both(data, **options):
        task = Task.from_dataset(data, keep=tmp_path / "kept", **options)
        again = task_of(task.spec)
        assert again.fingerprint == task.fingerprint
        assert again.metric == task.metric
        return task

    return read_both


def ones(task):
    return {text for part in task.splits.values() for text, label in zip(part.texts, part.labels, strict=True) if label == 1}


@pytest.mark.parametrize(
    "labels",
    [
        pd.Series([i % 3 == 0 for i in range(N)]),
        pd.Series([int(i % 3 == 0) for i in range(N)]),
        pd.Series([float(i % 3 == 0) for i in range(N)]),
        pd.Series([np.int8(i % 3 == 0) for i in range(N)], dtype=object),
        pd.Series([bool(i % 3 == 0) for i in range(N)], dtype="boolean"),
        pd.Series([int(i % 3 == 0) for i in range(N)], dtype="Int64"),
        pd.Series([["FALSE", "TRUE"][i % 3 == 0] for i in range(N)]),
        pd.Series([["No", "Yes"][i % 3 == 0] for i in range(N)], dtype="category"),
        pd.Series([int(i % 3 == 0) for i in range(N)], dtype="category"),
    ],
    ids=lambda series: f"{series.dtype} {series.iloc[0]!r}",
)
def test_labels_of_any_plain_type_are_read_as_what_they_mean(read, labels):
    task = read(pd.DataFrame({"text": TEXTS, "label": labels}))
    assert task.kind is Kind.BINARY
    assert ones(task) == {text for i, text in enumerate(TEXTS) if i % 3 == 0}


def test_a_frame_is_the_same_task_as_its_csv(read, tmp_path):
    frame = pd.DataFrame({"text": TEXTS, "label": [i / 7 for i in range(N)]})
    write_csv(tmp_path / "rows.csv", list(frame.itertuples(index=False)))
    assert read(frame).fingerprint == Task.from_csv(tmp_path / "rows.csv", text="text", label="label").fingerprint


def test_categories_and_whole_fractions_are_classes(read):
    words = read(pd.DataFrame({"text": TEXTS, "label": pd.Categorical([("sad", "glad", "mad")[i % 3] for i in range(N)])}))
    assert (words.kind, words.label_names) == (Kind.MULTICLASS, ("glad", "mad", "sad"))
    numbers = read(pd.DataFrame({"text": TEXTS, "label": [float(i % 3) for i in range(N)]}))
    assert numbers.label_names == ("0", "1", "2")


def test_what_was_understood_is_logged_in_one_line(read, caplog):
    with caplog.at_level(logging.INFO, logger="transfercast"):
        read(pd.DataFrame({"text": TEXTS, "label": [["no", "yes"][i % 2] for i in range(N)]}), name="mail")
    (line,) = [record.getMessage() for record in caplog.records if record.name == "transfercast.tasks.memory"]
    assert line.startswith("mail: binary (by its labels), judged by positive_f1; positive is 'yes'; ")


def of_classes(numbers, names, texts=None):
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=names)})
    texts = [f"{names[0]} text {i}" for i in range(len(numbers))] if texts is None else texts
    return datasets.Dataset.from_dict({"text": texts, "label": numbers}, features=features)


@pytest.mark.parametrize("share", [3, 4])
def test_of_two_named_classes_number_one_is_positive_however_frequent(read, share):
    labels = [int(i % share != 0) for i in range(N)]  # class 1 is the more frequent
    task = read(of_classes(labels, ["non_irony", "irony"], TEXTS))
    assert "positive is 'irony', class 1 of the data set" in task.about
    assert ones(task) == {text for text, label in zip(TEXTS, labels, strict=True) if label}
    assert "positive is 'non_irony', as stated" in read(of_classes(labels, ["non_irony", "irony"]), positive="non_irony").about


def test_a_dictionary_of_data_sets_has_its_splits_by_their_usual_names(read):
    parts = {name: of_classes([i % 3 for i in range(n)], ["a", "b", "c"], [f"{name} {i}" for i in range(n)])
             for name, n in (("train", 30), ("dev", 12), ("test", 9), ("unsupervised", 5))}  # fmt: skip
    task = read(datasets.DatasetDict(parts), metric="macro_f1")
    assert [len(part) for part in task.splits.values()] == [30, 12, 9]
    assert (task.label_names, task.metric) == (("a", "b", "c"), "macro_f1")
    other = read(datasets.DatasetDict(parts), train="test", validation="dev", test="train")
    assert [len(part) for part in other.splits.values()] == [9, 12, 30]


def test_a_test_split_without_labels_is_cut_from_the_training_rows(read, caplog):
    parts = {
        "train": of_classes([i % 2 for i in range(N)], ["a", "b"]),
        "test": of_classes([-1] * 5, ["a", "b"], list("vwxyz")),
    }
    task = read(datasets.DatasetDict(parts))
    assert sum(len(part) for part in task.splits.values()) == N
    assert "Dataset 'test' has no labels; test rows are cut from the training rows instead" in caplog.text
    with pytest.raises(InputError, match="Dataset 'test', line 1: column 'label' is empty"):
        read(datasets.DatasetDict(parts), test="test")


TAGS = ["O", "B-PER", "I-PER"]


def test_class_numbers_in_lists_are_tags(read):
    features = datasets.Features(
        {"tokens": datasets.Sequence(datasets.Value("string")), "ner": datasets.Sequence(datasets.ClassLabel(names=TAGS))}
    )
    rows = {"tokens": [[f"Jim{i}", "Kay", "ran"] for i in range(N)], "ner": [[1, 2, 0]] * N}
    task = read(datasets.Dataset.from_dict(rows, features=features), text="tokens", label="ner")
    assert task.kind is Kind.SEQUENCE
    assert task.splits["test"].labels[0] == ("B-PER", "I-PER", "O")


def test_columns_inside_another_one_are_named_with_a_point(read):
    inner = {"word": datasets.List(datasets.Value("string")), "tag": datasets.List(datasets.ClassLabel(names=TAGS))}
    rows = {"tokens": [{"word": [f"Jim{i}", "ran"], "tag": [1, 0]} for i in range(N)]}
    data = datasets.Dataset.from_dict(rows, features=datasets.Features({"tokens": inner}))
    task = read(data, text="tokens.word", label="tokens.tag")
    assert task.splits["train"].labels[0] == ("B-PER", "O")


def test_pairs_frames_by_split_and_one_label_of_many(read):
    frame = pd.DataFrame({"a": TEXTS, "b": TEXTS[::-1], "label": [i % 2 for i in range(N)]})
    assert read(frame, text="a", text_pair="b").splits["train"].texts[0] == ("text 0", f"text {N - 1}")
    halves = {"train": frame[: N // 2], "validation": frame[N // 2 :]}
    assert len(read(halves, text="a").splits["validation"]) == N // 2
    several = pd.DataFrame({"text": TEXTS, "joy": [i % 2 for i in range(N)], "fear": [i % 3 == 0 for i in range(N)]})
    task = read(several, kind="multilabel", labels=["joy", "fear"], label="fear")
    assert ones(task) == {text for i, text in enumerate(TEXTS) if i % 3 == 0}


def test_empty_texts_may_be_left_out_and_the_rows_are_kept_once(read, tmp_path):
    frame = pd.DataFrame({"text": ["", None, *TEXTS], "label": [i % 2 for i in range(N + 2)]})
    task = read(frame, drop=["empty_text"])
    assert "left out: 2 without text" in task.about
    read(frame, drop=["empty_text"], metric="mcc", name="again")
    assert len(list((tmp_path / "kept").rglob("*.parquet"))) == 1


GOOD = pd.DataFrame({"text": TEXTS, "label": [0, 1] * 30})
HALF = pd.Series(["\ud800", *TEXTS[1:]], dtype=object)


@pytest.mark.parametrize(
    ("data", "options", "parts"),
    [
        ([1, 2], {}, ["list: is no Dataset, no DataFrame"]),
        ({}, {}, ["no split"]),
        (pd.DataFrame({"text": TEXTS, "lable": [0, 1] * 30}), {}, ["DataFrame: no column 'label'; did you mean 'lable'"]),
        (GOOD, {"test": "test"}, ["is one table", "'test'"]),
        ({"a": pd.DataFrame(), "b": pd.DataFrame()}, {}, ["no split 'train'", "'a', 'b'"]),
        ({"train": pd.DataFrame({"text": [], "label": []})}, {}, ["DataFrame 'train': no rows"]),
        (pd.DataFrame({"text": TEXTS, "label": [0, None] * 30}), {}, ["DataFrame, line 2: column 'label' is empty"]),
        (pd.DataFrame({"text": TEXTS, "label": [pd.NA, "a"] * 30}), {}, ["DataFrame, line 1: column 'label' is empty"]),
        (pd.DataFrame({"text": TEXTS, "label": [{"a": 1}] * N}), {}, ["line 1", "(dict), not a text or a number"]),
        (pd.DataFrame({"text": HALF, "label": [0, 1] * 30}), {}, ["line 1", "half a character"]),
        (pd.DataFrame([["a", 0, 1]], columns=["text", "label", "label"]), {}, ["'label' stands twice"]),
        (GOOD, {"format": "csv"}, ["format = 'csv' is for files"]),
        (GOOD, {"postive": "1"}, ["'postive' is not known; did you mean 'positive'"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_by_split_row_and_value(tmp_path, data, options, parts):
    with pytest.raises(InputError) as told:
        Task.from_dataset(data, keep=tmp_path / "kept", **options)
    assert "\n" not in str(told.value)
    for part in parts:
        assert part in str(told.value)
    assert not (tmp_path / "kept").exists()


def test_a_stream_is_told_how_to_be_taken(tmp_path):
    stream = datasets.Dataset.from_dict({"text": TEXTS, "label": [0, 1] * 30}).to_iterable_dataset()
    with pytest.raises(InputError, match="is a stream"):
        Task.from_dataset(stream, keep=tmp_path)


def test_rows_are_kept_in_the_user_s_own_data_folder_unless_said_otherwise(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    task = Task.from_dataset(GOOD)
    assert task.spec["train"].startswith(str(tmp_path / "transfercast" / "tasks"))
    assert task_of(task.spec).fingerprint == task.fingerprint
