"""What labels say is understood or refused; nothing becomes classes in silence."""

from __future__ import annotations

import json

import pytest

from tests.conftest import write_csv
from transfercast.core.errors import InputError
from transfercast.core.kinds import Kind
from transfercast.tasks.readers import Sentence
from transfercast.tasks.task import Task


def task_of_labels(folder, labels, **options):
    path = write_csv(folder / "rows.csv", [(f"text {i}", label) for i, label in enumerate(labels)])
    return Task.from_csv(path, text="text", label="label", **options)


def told(folder, labels, *parts, **options):
    with pytest.raises(InputError) as caught:
        task_of_labels(folder, labels, **options)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


REALS = [f"{i / 8:.3f}" for i in range(1, 80)]  # most have a fraction


@pytest.mark.parametrize("odd", ["N/A", "nan", '"3,2"', "?", "none", "inf", "1_0.5"])
def test_a_regression_with_a_label_that_is_no_number_is_refused_by_its_row(tmp_path, odd):
    told(tmp_path, [*REALS[:40], odd, *REALS[40:]], "rows.csv, line 42", odd.strip('"'))


def test_all_such_rows_are_counted_and_the_first_are_named(tmp_path):
    labels = [*REALS, "N/A", "?", "N/A", "N/A", "?"]
    told(tmp_path, labels, "line 81", "'N/A'", "and 4 more", "line 82", "line 84", "kind = 'multiclass'")


def test_numbers_with_a_decimal_comma_are_told(tmp_path):
    told(tmp_path, [f'"{i / 8:.2f}"'.replace(".", ",") for i in range(1, 20)], "line 2", "'0,12'", "Write it as in 3.2")


@pytest.mark.parametrize("gap", ["NaN", "n/a", "#N/A", "null", "NULL", "?"])
def test_a_missing_value_among_classes_is_refused_unless_classes_were_stated(tmp_path, gap):
    labels = ["spam", "ham"] * 10 + [gap] * 20
    told(tmp_path, labels, "line 22", repr(gap), "missing value", "kind = 'multiclass'")
    assert len(task_of_labels(tmp_path, labels, kind="multiclass").label_names) == 3


def test_whole_numbers_with_a_missing_value_are_refused(tmp_path):
    told(tmp_path, [*map(str, range(1, 9)), "N/A"] * 4, "line 10", "'N/A'")


def test_a_stated_regression_names_what_is_no_number(tmp_path):
    told(tmp_path, ["1", "2", "three", "4"], "line 4", "'three'", "not a number", kind="regression")


@pytest.mark.parametrize(
    ("labels", "positive"),
    [
        (["TRUE", "FALSE", "FALSE"], "'TRUE'"),
        (["Yes", "No", "Yes"], "'Yes'"),
        (["0", "1.00", "0", "1"], "'1'"),
        (["0.0", "1.0"], "'1'"),
        (["true", "True", "no"], "'True' and 'true'"),
    ],
)
def test_labels_that_say_yes_or_no_are_binary_however_they_are_written(tmp_path, labels, positive):
    task = task_of_labels(tmp_path, labels * 10)
    assert task.kind is Kind.BINARY
    assert task.metric == "positive_f1"
    assert f"positive is {positive}" in task.about
    wanted = sum(label.casefold() in ("1", "1.0", "1.00", "true", "yes") for label in labels) * 10
    assert sum(int(part.labels.sum()) for part in task.splits.values()) == wanted


@pytest.mark.parametrize(
    ("labels", "positive", "why"),
    [
        (["ham"] * 3 + ["spam"], "spam", "the rarer of two labels"),
        (["spam"] * 3 + ["ham"], "ham", "the rarer of two labels"),
        (["a", "b"], "b", "the last by name"),
        (["negative"] + ["positive"] * 3, "positive", "by its name"),
        (["neg", "pos"], "pos", "by its name"),
        (["Y", "N", "Y"], "Y", "by its name"),
        (["1", "2", "2"], "2", "the greater of two numbers"),
        (["-1", "1", "1"], "1", "the greater of two numbers"),
    ],
)
def test_two_labels_are_binary_and_it_is_said_which_is_positive_and_why(tmp_path, labels, positive, why):
    labels = labels * 12
    task = task_of_labels(tmp_path, labels)
    assert task.kind is Kind.BINARY
    assert f"positive is '{positive}', {why}" in task.about
    assert sum(int(part.labels.sum()) for part in task.splits.values()) == labels.count(positive)
    other = next(label for label in labels if label != positive)
    turned = task_of_labels(tmp_path, labels, positive=other)
    assert f"positive is '{other}', as stated" in turned.about
    assert sum(int(part.labels.sum()) for part in turned.splits.values()) == labels.count(other)


def test_two_labels_are_classes_where_that_was_stated(tmp_path):
    task = task_of_labels(tmp_path, ["spam", "ham"] * 12, kind="multiclass")
    assert (task.kind, task.label_names) == (Kind.MULTICLASS, ("ham", "spam"))


def test_labels_that_differ_by_capitals_only_are_refused_unless_classes_were_stated(tmp_path):
    labels = ["spam", "ham", "Spam"] * 10
    told(tmp_path, labels, "line 4", "'Spam' differs from 'spam'", "line 2", "capitals")
    told(tmp_path, labels, "'Spam'", positive="spam")
    task = task_of_labels(tmp_path, labels, kind="multiclass")
    assert len(task.label_names) == 3
    assert "'Spam' differs from 'spam'" in task.notes[0]


def test_a_positive_label_that_no_row_has_is_told_with_the_nearest(tmp_path):
    told(tmp_path, ["spam", "ham", "eggs"] * 5, "'span'", "did you mean 'spam'?", positive="span")


def test_a_number_as_positive_or_label_may_be_a_number_in_the_description(tmp_path):
    assert "positive is '2', as stated" in task_of_labels(tmp_path, ["1", "2", "3"] * 10, positive=2).about


def test_whole_numbers_are_classes_and_many_of_them_are_pointed_at(tmp_path):
    assert task_of_labels(tmp_path, ["1.0", "2.0", "3.0"] * 10).label_names == ("1", "2", "3")
    ages = [str(18 + i % 30) for i in range(300)]
    task = task_of_labels(tmp_path, ages)
    assert task.kind is Kind.MULTICLASS
    assert "30 whole numbers are read as classes; say kind = 'regression'" in task.notes[0]


def test_the_same_numbers_are_understood_alike_in_every_format(tmp_path):
    (tmp_path / "rows.jsonl").write_text(
        "\n".join(json.dumps({"text": f"text {i}", "label": float(i % 3)}) for i in range(30)), encoding="utf-8"
    )
    by_json = Task.from_csv(tmp_path / "rows.jsonl", text="text", label="label")
    assert by_json.fingerprint == task_of_labels(tmp_path, [f"{i % 3}.0" for i in range(30)]).fingerprint


def test_one_sentence_tells_kind_classes_rows_and_what_was_left_out(tmp_path):
    rows = [(f"text {i}", "abc"[i % 3]) for i in range(90)] + [("", "a"), ("  ", "b"), ("odd one", "rare")]
    path = write_csv(tmp_path / "films.csv", rows)
    task = Task.from_csv(path, text="text", label="label", drop=("empty_text", "rare_labels"))
    n = {split: len(part) for split, part in task.splits.items()}
    assert sum(n.values()) == 90
    assert task.about == (
        f"films: multiclass (by its labels), judged by accuracy; 3 classes: 'a', 'b', 'c'; "
        f"{n['train']} train + {n['validation']} validation + {n['test']} test rows; "
        f"left out: 2 without text, 1 of rare labels."
    )


def test_a_csv_may_have_columns_named_as_those_of_a_sentence(tmp_path):
    path = write_csv(
        tmp_path / "rows.csv", [(f"t {i}", i % 2, 3, 4) for i in range(20)], ",".join(["text", *Sentence._fields[:3]])
    )
    assert Task.from_csv(path, text="text", label="line").kind is Kind.BINARY
