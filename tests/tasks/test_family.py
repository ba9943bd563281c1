"""A tasks.toml is checked whole before any file of rows is read."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from tests.conftest import write_csv
from transfercast.cli import app
from transfercast.core.errors import InputError
from transfercast.tasks.family import read_family
from transfercast.tasks.spec import TaskSpec

ROWS = [(f"text {i}", i % 2, i % 3 // 2) for i in range(60)]


@pytest.fixture
def folder(tmp_path):
    write_csv(tmp_path / "rows.csv", ROWS, "text,label,other")
    return tmp_path


def written(folder, content):
    (folder / "tasks.toml").write_text(content, encoding="utf-8")
    return folder / "tasks.toml"


ONE = '[[task]]\nname = "one"\ntrain = "rows.csv"\n'


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("task = [1, 2]", ["task.0", "found 1"]),
        ('task = ["a"]', ["task.0", "found 'a'"]),
        ("task = 3", ["task", "[[task]]"]),
        ("", ["task", "[[task]]"]),
        ("task = []", ["[[task]]"]),
        ("[[task", ["not TOML"]),
        ("x = " + "[" * 5000, ["not TOML"]),
        ("x = " + "1" * 5000, ["not TOML"]),
        ("target_rows = 3\n" + ONE, ["[[task]] 1", "target_rows", "found 3"]),
        ('target_rows = "few"\n' + ONE, ["[[task]] 1", "target_rows", "'few'"]),
        ("target_rows = { trian = 3 }\n" + ONE, ["target_rows.trian", "is not known"]),
        ("rows = { train = 0 }\n" + ONE, ["rows.train", "found 0"]),
        ('role = "judge"\n' + ONE, ["[[task]] 1", "role", "'judge'"]),
        ("role = [1]\n" + ONE, ["[[task]] 1", "role"]),
        ("seed = -1\n" + ONE, ["[[task]] 1", "seed", "found -1"]),
        ("seed = 99999999999\n" + ONE, ["seed"]),
        ('postive = "x"\n' + ONE, ["[[task]] 1", "did you mean 'positive'?"]),
        ('labels = ["label"]\n' + ONE, ["[[task]] 1", "labels", "kind 'multilabel' only"]),
        ('kind = "multilabel"\nlabels = ["other"]\nlabel = "othr"\n' + ONE, ["'othr' is not one of", "did you mean 'other'?"]),
        ('kind = "multilabel"\n' + ONE, ["line 2", "not a list of labels", "name the 0/1 columns by labels = [...]"]),
        (ONE + ONE, ["two tasks are named 'one'"]),
        (ONE + ONE.replace("one", "One"), ["two tasks are named 'One' and 'one'", "one folder"]),
        (ONE.replace("one", "../one"), ["[[task]] 1", "'../one'"]),
        (ONE.replace("rows.csv", "ro\\u0000ws.csv"), ["cannot be read"]),
        (ONE.replace("rows.csv", "gone.csv"), ["gone.csv", "no such file"]),
    ],
)
def test_a_mistake_is_one_line_that_names_the_entry_and_the_key(folder, content, parts):
    with pytest.raises(InputError) as caught:
        read_family(written(folder, content))
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_every_entry_is_checked_before_a_file_is_read(folder):
    with pytest.raises(InputError, match=r"\[\[task\]\] 2: 'colour' is not known"):
        read_family(written(folder, ONE.replace("rows.csv", "gone.csv") + '[[task]]\ntrain = "rows.csv"\ncolour = 1\n'))


def test_a_file_that_is_no_text_is_told(folder):
    (folder / "tasks.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not TOML"):
        read_family(folder / "tasks.toml")


def test_a_source_and_a_target_may_share_a_name_and_targets_have_rows_of_their_own(folder):
    head = "rows = { train = 30 }\ntarget_rows = { train = 10 }\n"
    family = read_family(written(folder, head + ONE + 'role = "source"\n' + ONE + 'role = "target"\nlabel = "other"\n'))
    assert [len(task.splits["train"]) for task in (*family.sources, *family.targets)] == [30, 10]


def test_one_label_of_several_can_be_named_as_a_task(folder):
    content = 'kind = "multilabel"\nlabels = ["label", "other"]\nlabel = "other"\n' + ONE.replace('name = "one"\n', "")
    (task,) = read_family(written(folder, content)).sources
    assert task.name == "other"
    assert "positive is 1 of column 'other'" in task.about


def test_a_seed_written_as_a_real_number_is_that_number():
    assert TaskSpec(seed="1.0").seed == 1
    with pytest.raises(ValidationError):
        TaskSpec(seed="1.5")


def test_fit_sources_says_how_each_task_was_understood(folder, tiny_encoder):
    options = ["--pool", str(folder / "pool"), "--encoder", str(tiny_encoder), "--recipe", "features/tokens=16"]
    run = CliRunner().invoke(app, ["fit-sources", str(written(folder, ONE)), *options])
    assert run.stdout.startswith("one: binary (by its labels), judged by positive_f1; positive is '1';")
    assert run.exit_code == 0
