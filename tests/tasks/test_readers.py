"""What a file says is read; what is wrong with it is told by file, line, value and remedy."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import write_csv
from transfercast.core.errors import InputError
from transfercast.core.kinds import Kind
from transfercast.tasks.family import read_family, read_task, task_of
from transfercast.tasks.spec import Rows, TaskSpec
from transfercast.tasks.task import Task

GOOD = [("a good film", 1), ("a bad film", 0), ("no plot", 0), ("very good", 1)]


def spec_for(folder, written=GOOD, **fields):
    paths = {split: str(write_csv(folder / f"{split}.csv", written)) for split in ("train", "validation", "test")}
    return TaskSpec(name="films", **(paths | fields))


def test_csv_jsonl_parquet_and_tsv_give_the_same_task(tmp_path):
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps({"text": t, "label": y}) for t, y in GOOD))
    pq.write_table(pa.table({"text": [t for t, _ in GOOD], "label": [y for _, y in GOOD]}), tmp_path / "rows.parquet")
    (tmp_path / "rows.tsv").write_text("text\tlabel\n" + "\n".join(f"{t}\t{y}" for t, y in GOOD))
    write_csv(tmp_path / "rows.csv", GOOD)
    tasks = []
    for ending in ("csv", "jsonl", "parquet", "tsv"):
        path = str(tmp_path / f"rows.{ending}")
        tasks.append(read_task(TaskSpec(name="films", train=path, validation=path, test=path)))
    assert len({task.fingerprint for task in tasks}) == 1
    assert tasks[0].kind is Kind.BINARY
    assert tasks[0].splits["train"].labels.tolist() == [1, 0, 0, 1]


def test_a_quoted_text_may_hold_the_separator_and_a_line_break(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text('text,label\n"good, really\ngood",1\nbad,0\n')
    task = read_task(TaskSpec(name="films", train=str(path), validation=str(path), test=str(path)))
    assert task.splits["train"].texts == ("good, really\ngood", "bad")


def test_one_file_is_split_with_every_class_in_every_split(tmp_path):
    path = write_csv(tmp_path / "all.csv", [(f"text {i}", "abc"[i % 3]) for i in range(90)])
    task = Task.from_csv(path, text="text", label="label")
    assert sum(len(part) for part in task.splits.values()) == 90
    assert all(set(part.labels.tolist()) == {0, 1, 2} for part in task.splits.values())
    ids = [set(part.ids) for part in task.splits.values()]
    assert not ids[0] & ids[1]
    assert not ids[0] & ids[2]
    assert not ids[1] & ids[2]


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        (["0", "1"], Kind.BINARY),
        (["0.25", "0.5"], Kind.REGRESSION),
        (["x", "y"], Kind.BINARY),
        (["x", "y", "z"], Kind.MULTICLASS),
    ],
)
def test_the_kind_is_inferred_from_the_labels(tmp_path, labels, kind):
    rows = [(f"text {i}", labels[i % len(labels)]) for i in range(9)]
    assert read_task(spec_for(tmp_path, rows)).kind is kind


def test_a_label_named_positive_makes_one_against_the_rest(tmp_path):
    rows = [("one", "x"), ("two", "y"), ("three", "z")]
    assert read_task(spec_for(tmp_path, rows, positive="y")).splits["train"].labels.tolist() == [0, 1, 0]


def test_pairs_of_texts_are_kept_as_pairs(tmp_path):
    paths = {
        split: str(write_csv(tmp_path / f"{split}.csv", [("p1", "q1", 1), ("p2", "q2", 0)], "text,other,label"))
        for split in ("train", "validation", "test")
    }
    task = read_task(TaskSpec(name="pairs", text_pair="other", **paths))
    assert task.splits["train"].texts == (("p1", "q1"), ("p2", "q2"))


def test_a_multilabel_file_becomes_one_binary_task_a_label_over_shared_documents(tmp_path):
    rows = [("one", 1, 0), ("two", 1, 1), ("three", 0, 1), ("four", 0, 0)]
    for split in ("train", "validation", "test"):
        write_csv(tmp_path / f"{split}.csv", rows, "text,joy,anger")
    (tmp_path / "tasks.toml").write_text(
        'kind = "multilabel"\ntrain = "train.csv"\nvalidation = "validation.csv"\ntest = "test.csv"\n'
        '[[task]]\nlabels = ["joy", "anger"]\n'
    )
    joy, anger = read_family(tmp_path / "tasks.toml").sources
    assert (joy.name, anger.name) == ("joy", "anger")
    assert joy.splits["train"].ids == anger.splits["train"].ids
    assert joy.splits["train"].labels.tolist() == [1, 1, 0, 0]
    assert anger.splits["train"].labels.tolist() == [0, 1, 1, 0]


def test_a_smaller_cap_is_a_subset_of_a_larger_one_and_reaches_the_share_of_positives(tmp_path):
    rows = [(f"text {i}", int(i % 10 == 0)) for i in range(200)]
    few, more = (read_task(spec_for(tmp_path, rows, rows=Rows(train=n), positive_share=0.4)).splits["train"] for n in (10, 20))
    assert set(few.ids) < set(more.ids)
    assert few.labels.sum() == 4
    assert more.labels.sum() == 8


def test_a_task_is_read_again_from_its_own_description(tmp_path):
    task = read_task(spec_for(tmp_path))
    assert task_of(task.spec).fingerprint == task.fingerprint


def test_conll_sentences_and_tags(tmp_path):
    path = tmp_path / "rows.conll"
    path.write_text("-DOCSTART- O\n\nJim\tB-PER\nran\tO\n\nto\tO\nRome\tB-LOC\n\nJim\tB-PER\nRome\tB-LOC\n")
    task = read_task(TaskSpec(name="names", train=str(path), validation=str(path), test=str(path)))
    assert task.kind is Kind.SEQUENCE
    assert task.label_names == ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
    assert task.splits["train"].texts == (("Jim", "ran"), ("to", "Rome"), ("Jim", "Rome"))
    assert task.splits["train"].labels[1] == ("O", "B-LOC")


def fails(spec, *parts):
    with pytest.raises(InputError) as caught:
        read_task(spec)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_a_missing_column_is_told_with_those_that_are_there(tmp_path):
    fails(spec_for(tmp_path, text="txt"), "train.csv, line 2", "'txt'", "'text', 'label'")


def test_a_label_that_is_not_binary_is_told_with_its_line_and_the_cure(tmp_path):
    fails(spec_for(tmp_path, [*GOOD, ("hm", "maybe")], kind="binary"), "train.csv, line 6", "'maybe'", "multiclass")


def test_an_empty_file_and_an_empty_split_are_told(tmp_path):
    fails(spec_for(tmp_path, []), "train.csv", "no rows")


def test_a_split_without_a_positive_is_told(tmp_path):
    spec = spec_for(tmp_path)
    write_csv(tmp_path / "validation.csv", [("a", 0), ("b", 0)])
    fails(spec, "validation.csv", "no positive row in validation", "'films'")


def test_a_label_in_only_one_split_is_told_or_dropped(tmp_path):
    rows = [(f"text {i}", "ab"[i % 2]) for i in range(6)]
    spec = spec_for(tmp_path, rows)
    write_csv(tmp_path / "test.csv", [*rows, ("odd", "c")])
    fails(spec, "test.csv, line 8", "'c'", "in test only", "drop = ['rare_labels']")
    task = read_task(spec.model_copy(update={"drop": ("rare_labels",)}))
    assert task.label_names == ("a", "b")
    assert len(task.splits["test"]) == 6


def test_a_broken_conll_line_is_told(tmp_path):
    path = tmp_path / "rows.conll"
    path.write_text("Jim\tB-PER\nran\n\n")
    fails(TaskSpec(name="names", train=str(path)), "rows.conll, line 2", "'ran'")
    path.write_text("Jim\tB-PER\nran\tV\n\n")
    fails(TaskSpec(name="names", train=str(path)), "rows.conll, line 2", "'V'", "B-TYPE")


def test_a_wrong_encoding_is_told_with_the_line_and_the_cure(tmp_path):
    spec = spec_for(tmp_path)
    (tmp_path / "train.csv").write_bytes("text,label\ngood,1\ncaf\u00e9,0\n".encode("latin1"))
    fails(spec, "train.csv, line 3", "not UTF-8", "iconv")


def test_an_empty_text_is_told_or_dropped(tmp_path):
    spec = spec_for(tmp_path, [*GOOD, ("", 1)])
    fails(spec, "train.csv, line 6", "'text' is empty", "drop = ['empty_text']")
    assert len(read_task(spec.model_copy(update={"drop": ("empty_text",)})).splits["train"]) == 4


def test_a_row_with_too_many_values_is_told(tmp_path):
    fails(spec_for(tmp_path, [("good, really", 1)]), "train.csv, line 2", "3 values for 2 columns")


def test_a_tasks_toml_with_a_wrong_key_is_told_by_entry(tmp_path):
    (tmp_path / "tasks.toml").write_text('[[task]]\ntrain = "x.csv"\ncolour = "red"\n')
    with pytest.raises(InputError, match=r"tasks.toml, \[\[task\]\] 1: 'colour' is not known"):
        read_family(tmp_path / "tasks.toml")


def test_hub_data_sets_are_read_from_a_local_folder(tmp_path):
    pytest.importorskip("datasets")
    for split in ("train", "validation", "test"):
        write_csv(tmp_path / f"{split}.csv", GOOD)
    task = read_task(
        TaskSpec(name="films", format="hub", hub=str(tmp_path), train="train", validation="validation", test="test")
    )
    assert task.splits["test"].labels.tolist() == [1, 0, 0, 1]


def test_the_real_families_are_read_whole(data):
    for name in ("atis_slots", "wnut17"):
        paths = {split: str(data / "sequence" / name / f"{split}.conll") for split in ("train", "validation", "test")}
        task = read_task(TaskSpec(name=name, drop=("rare_labels",), rows=Rows(train=50), **paths))
        assert task.kind is Kind.SEQUENCE
        assert len(task.splits["train"]) == 50
    paths = {split: str(data / "regression/query_wellformedness" / f"{split}.csv") for split in ("train", "test")}
    task = read_task(TaskSpec(name="queries", **paths))
    assert task.kind is Kind.REGRESSION
    assert np.ptp(task.splits["train"].labels) == 1.0
