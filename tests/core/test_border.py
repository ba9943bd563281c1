"""The border: what is shown, written, replaced and reported, whatever comes from outside."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import pytest
import typer
from pydantic import BaseModel, ConfigDict, Field
from typer.testing import CliRunner

from transfercast.cli.errors import GuardedGroup
from transfercast.core.errors import ArtifactError, InputError
from transfercast.core.files import (
    MARKER,
    is_ours,
    parse_json,
    remove_folder,
    remove_leftovers,
    replaced_folder,
    write_json,
    write_text,
    written_beside,
)
from transfercast.core.owners import is_alive, machine_id, owner_id
from transfercast.core.text import printable, redacted
from transfercast.core.validation import checked


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid")

    positive: str = ""
    rows: Annotated[int, Field(ge=1)] = 1


def test_a_misspelt_key_is_answered_with_the_nearest_right_one():
    with pytest.raises(InputError, match=r"^tasks.toml: 'postive' is not known; did you mean 'positive'\?"):
        checked(_Options, "tasks.toml", {"postive": "yes"})


def test_a_wrong_value_is_repeated_but_not_at_any_length():
    with pytest.raises(InputError) as told:
        checked(_Options, "here", {"rows": "9" * 5000})
    assert "rows: " in str(told.value)
    assert len(str(told.value)) < 300


@pytest.mark.parametrize("code", ["\x1b[2J", "\x1b]52;c;aGk=\x07", "\x9b31m", "\u202egnp.exe", "\ud800"])
def test_no_terminal_code_is_printed(code):
    shown = printable(f"a{code}b")
    assert shown.isascii()
    assert shown.isprintable()
    assert shown.encode("utf-8")


@pytest.mark.parametrize("password", ["s3cret", "p@ss", "a/b", "x:y"])
def test_no_password_of_a_url_is_printed(password):
    assert redacted(f"cannot reach postgresql+psycopg://me:{password}@host/db now") == (
        "cannot reach postgresql+psycopg://me:***@host/db now"
    )


@pytest.mark.parametrize("text", ["{", "[" * 100_000, '{"a": ' + "1" * 5000 + "}", b"\xff\xfe"])
def test_json_that_cannot_be_read_is_one_error(text):
    with pytest.raises(ArtifactError, match=r"^x\.json: not readable"):
        parse_json(text, "x.json")


@pytest.mark.parametrize("place", ["folder", "file/below", "/proc/nowhere/x"])
def test_a_file_that_cannot_be_written_is_one_error_and_leaves_nothing(place, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine", encoding="ascii")
    with pytest.raises(InputError, match=r"Name another place|name a file"):
        write_text(tmp_path / place, "text")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_infinities_are_written_as_null(tmp_path):
    write_json(tmp_path / "x.json", {"a": float("inf"), "b": [float("nan"), 1.0]})
    assert parse_json((tmp_path / "x.json").read_bytes(), "x") == {"a": None, "b": [None, 1.0]}


def test_a_folder_that_we_did_not_make_is_neither_replaced_nor_deleted(tmp_path):
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "thesis.txt").write_text("years of work", encoding="ascii")
    with pytest.raises(InputError, match="did not write"), replaced_folder(victim):
        pass
    remove_folder(victim)
    link = tmp_path / "link"
    link.symlink_to(victim)
    with pytest.raises(InputError, match="is not a folder"), replaced_folder(link):
        pass
    remove_folder(link)
    assert (victim / "thesis.txt").read_text(encoding="ascii") == "years of work"


def test_a_folder_of_ours_is_replaced_whole(tmp_path):
    for content in ("first", "second"):
        with replaced_folder(tmp_path / "ours") as new:
            (new / content).touch()
    assert sorted(path.name for path in (tmp_path / "ours").iterdir()) == [MARKER, "second"]
    assert [path.name for path in tmp_path.iterdir()] == ["ours"]


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_fills_is_not(tmp_path):
    dead = subprocess.run(
        [sys.executable, "-c", "from transfercast.core.owners import owner_id; print(owner_id())"],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
    ).stdout.strip()  # fmt: skip
    for name, owner in (("dead", dead), ("mine", owner_id()), ("elsewhere", "0123456789abcdef:1:1.0")):
        left = tmp_path / f".{name}.{'0' * 8}"
        left.mkdir()
        (left / MARKER).write_text(owner + "\n", encoding="ascii")
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".elsewhere.00000000", ".mine.00000000"]


def test_a_folder_whose_marker_cannot_be_written_is_not_left(tmp_path, monkeypatch):
    def full(folder, owner):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("transfercast.core.files.mark", full)
    with pytest.raises(InputError, match="No space left"), replaced_folder(tmp_path / "ours"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_without_an_owner_is_removed_once_none_can_follow(tmp_path):
    for name, seconds, files in (
        ("old", 3600, ()),
        ("marked", 3600, (MARKER,)),
        ("new", 0, ()),
        ("full", 3600, ("thesis.txt",)),
    ):
        left = tmp_path / f".{name}.{'0' * 8}"
        left.mkdir()
        for file in files:
            (left / file).touch()
        os.utime(left, (time.time() - seconds, time.time() - seconds))
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".full.00000000", ".new.00000000"]


@pytest.mark.parametrize("owner", ["", "x", f"{machine_id()}:one:two", "host:1:2.0"])
def test_an_owner_that_cannot_be_known_is_neither_dead_nor_alive(owner):
    assert is_alive(owner) is None


def test_a_process_number_used_again_is_not_its_owner():
    machine, number, started = owner_id().rsplit(":", 2)
    assert is_alive(owner_id())
    assert is_alive(f"{machine}:{number}:{float(started) - 60:.2f}") is False


@pytest.fixture
def guarded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    app = typer.Typer(cls=GuardedGroup)
    errors = {
        "foreseen": InputError("x.csv, line 3: \x1b[31mred"),
        "unforeseen": KeyError("password=postgresql://a:s3cret@b/c"),
        "full": OSError(28, "No space left on device", "/data/pool"),
        "deep": RecursionError("maximum recursion depth exceeded"),
        "plain": RuntimeError("mat1 and mat2"),
    }

    @app.command()
    def fail(how: str) -> None:
        raise errors[how]

    @app.command()
    def other() -> None:
        raise typer.Exit(3)

    return app


def test_a_foreseen_error_is_one_line_with_its_exit_code(guarded, tmp_path):
    done = CliRunner().invoke(guarded, ["fail", "foreseen"])
    assert (done.exit_code, done.stderr) == (2, "error: x.csv, line 3: \\x1b[31mred\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("how", ["unforeseen", "deep", "plain"])
def test_an_unforeseen_error_is_one_line_and_a_report_without_passwords(how, guarded, tmp_path):
    done = CliRunner().invoke(guarded, ["fail", how])
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
    (report,) = tmp_path.glob("transfercast-error-*.txt")
    assert str(report) in done.stderr
    text = report.read_text(encoding="utf-8")
    assert "Traceback" in text
    assert "s3cret" not in text + done.stderr


def test_a_full_disk_is_said_with_its_place_and_needs_no_report(guarded, tmp_path):
    done = CliRunner().invoke(guarded, ["fail", "full"])
    assert (done.exit_code, done.stderr) == (1, "error: /data/pool: No space left on device.\n")
    assert not list(tmp_path.iterdir())


def test_exits_and_wrong_options_stay_as_typer_has_them(guarded):
    assert CliRunner().invoke(guarded, ["other"]).exit_code == 3
    assert CliRunner().invoke(guarded, ["fail"]).exit_code == 2


def test_what_a_kill_leaves_of_a_folder_that_is_being_removed_still_says_whose_it_is(tmp_path, monkeypatch):
    folder = tmp_path / "ours"
    with replaced_folder(folder) as new:
        for number in range(5):
            (new / f"file{number}").write_text("x")
        (new / "below").mkdir()
    removed = []
    unlink = Path.unlink

    def killed_at_the_third(self, missing_ok=False):
        if len(removed) == 2:
            raise KeyboardInterrupt
        removed.append(self.name)
        unlink(self, missing_ok)

    monkeypatch.setattr(Path, "unlink", killed_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        remove_folder(folder)
    assert is_ours(folder)
    monkeypatch.undo()
    remove_folder(folder)
    assert not folder.exists()


def test_what_a_killed_process_left_half_written_of_a_file_is_removed_by_the_next_that_writes_it(tmp_path):
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom transfercast.core.files import written_beside\n"
        "with written_beside(Path(sys.argv[1])) as beside:\n"
        "    beside.write_text('half')\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a[1].json")], cwd=Path(__file__).parents[2])
    mine = tmp_path / ".a[1].json.notes"
    mine.write_text("kept")
    assert len(list(tmp_path.iterdir())) == 2
    with written_beside(tmp_path / "a[1].json") as first:
        first.write_text("in use")
        write_text(tmp_path / "a[1].json", "whole")
        assert first.read_text() == "in use"
    assert {path.name for path in tmp_path.iterdir()} == {"a[1].json", mine.name}


def test_a_folder_that_its_worker_finishes_meanwhile_is_no_leftover_and_no_error(tmp_path, monkeypatch):
    being_filled = tmp_path / ".one.01234567"
    being_filled.mkdir()

    def gone(folder):
        raise FileNotFoundError(folder)

    monkeypatch.setattr("transfercast.core.files._is_abandoned", gone)
    remove_leftovers(tmp_path)
    assert being_filled.is_dir()
