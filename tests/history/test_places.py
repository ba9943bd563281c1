"""Whatever is named as a history that is none, or is a damaged one, is one error that says so; passwords stay hidden."""

from __future__ import annotations

import logging
import random
import resource
import sqlite3

import pytest
from typer.testing import CliRunner

from tests.builders import past
from tests.core.test_core import observation
from transfercast.cli import app
from transfercast.core.errors import ArtifactError, InputError, TransfercastError
from transfercast.history.places import database_url, shown_url
from transfercast.history.store import History, opened
from transfercast.retraining.retrain import train_meta


@pytest.mark.parametrize("content", [b"source,target,score\n", b"SQLite format 2\0", b"\xff\x00" * 200, b"x"])
@pytest.mark.parametrize("open_it", [History, opened, lambda path: train_meta(path, path.parent / "meta")])
def test_a_file_that_is_no_database_is_told(tmp_path, content, open_it):
    (tmp_path / "h.db").write_bytes(content)
    with pytest.raises(InputError, match=r"h\.db: is no SQLite database"):
        open_it(tmp_path / "h.db")
    assert (tmp_path / "h.db").read_bytes() == content


@pytest.mark.parametrize("name", ["t.csv", "T.CSV", "d.Parquet"])
@pytest.mark.parametrize("is_there", [True, False])
def test_a_table_is_no_database_and_the_error_says_how_to_import_it(tmp_path, name, is_there):
    if is_there:
        (tmp_path / name).write_text("source,target,score\na,b,0.5\n")
    with pytest.raises(InputError, match=rf"Import it: transfercast history import {name}"):
        History(tmp_path / name)
    assert (tmp_path / name).exists() == is_there


def test_a_table_can_be_learned_from_whatever_the_case_of_its_ending(tmp_path):
    past(3, 3).export_file(tmp_path / "T.CSV")
    assert len(opened(tmp_path / "T.CSV")) == 12


def test_a_folder_and_a_missing_file_are_told(tmp_path):
    for open_it in (History, opened):
        with pytest.raises(InputError, match="is a folder"):
            open_it(tmp_path)
    with pytest.raises(InputError, match="no such history"):
        opened(tmp_path / "nowhere.db")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["new/folder/h.db", "sqlite:///new/folder/h.db"])
def test_a_new_history_makes_its_folder_and_reading_makes_none(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="no such history"):
        opened(place)
    assert not list(tmp_path.iterdir())
    past(3, 3).export_file("t.csv")
    done = CliRunner().invoke(app, ["history", "import", "t.csv", "--history", place])
    assert done.exit_code == 0, done.output
    assert len(opened(tmp_path / "new" / "folder" / "h.db")) == 12


def test_a_history_in_a_folder_that_cannot_be_made_is_one_error(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(InputError, match=r"taken is not a folder. Name another place\."):
        History(tmp_path / "taken" / "h.db")


def test_a_relative_url_is_the_same_file_for_a_process_in_another_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    here = History("sqlite:///h.db")
    here.append([observation()])
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert len(History(here.url)) == 1
    assert not list((tmp_path / "elsewhere").iterdir())
    assert shown_url("sqlite:///h.db") == "sqlite:///h.db"  # people see what they typed


@pytest.mark.parametrize("url", ["nonsense://x", "mysql://me@host/db", "://", "sqlite:", "postgresql://host:port/db"])
def test_a_url_of_no_database_is_told(url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if url == "sqlite:":  # a file's name, and a fine one
        return
    with pytest.raises(InputError, match=r"Write it as history\.db"):
        History(url)


def test_a_database_cut_or_overwritten_anywhere_is_one_error(tmp_path):
    file, damaged = tmp_path / "h.db", tmp_path / "damaged.db"
    History(file).append([observation(seed=seed, features={"x": float(seed)}) for seed in range(500)])
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    whole = file.read_bytes()
    rng = random.Random(0)
    outcomes = set()
    for number in range(40):
        content = bytearray(whole[: len(whole) // 2] if number == 0 else whole)
        if number:
            for _ in range(20):
                start = rng.randrange(100, len(content) - 50)
                content[start : start + 50] = rng.randbytes(50)
        damaged.write_bytes(content)
        for open_it in (opened, History):
            try:
                past = open_it(damaged)
                past.frames(), past.schema(), past.matching(source="a")
                outcomes.add("read")
            except TransfercastError as error:
                outcomes.add(type(error).__name__)
        for name in ("damaged.db-wal", "damaged.db-shm"):
            (tmp_path / name).unlink(missing_ok=True)
    assert "ArtifactError" in outcomes


def test_a_disk_without_room_is_not_taken_for_a_damaged_history(tmp_path):
    History(tmp_path / "h.db").append([observation()])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # less than SQLite's shared memory takes
    try:
        with pytest.raises(TransfercastError, match=r"has room") as told:
            History(tmp_path / "h.db").append([observation(seed=1)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not isinstance(told.value, ArtifactError)
    assert len(History(tmp_path / "h.db")) == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [("score = 'good'", "score is 'good', not a number"), ("features = '{'", "no JSON object of numbers"),
     ("features = '[1]'", "no JSON object of numbers"), ("features = '{\"x\": \"y\"}'", "no JSON object of numbers"),
     ("versions = 'x'", "no JSON object of numbers"), ("seed = 'x'", "seed is 'x'"), ("target = x'ff'", "target is b"),
     ("score = 9e999", "score is inf")],
)  # fmt: skip
def test_a_damaged_row_is_named_and_can_be_removed(tmp_path, change, told):
    file = tmp_path / "h.db"
    history = History(file)
    history.append([observation(), observation(seed=1)])
    with history.engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE transfercast_observations SET {change} WHERE seed = 1")
    key = observation(seed=1).run_key
    for read in (history.frames, history.observations, history.summary, lambda: history.find(key)):
        with pytest.raises(ArtifactError, match=rf"run key {key}.*{told}.*history remove --run-key"):
            read()
    done = CliRunner().invoke(app, ["history", "remove", "--run-key", key, "--yes", "--history", str(file)])
    assert done.exit_code == 0, done.output
    assert [one.seed for one in history.observations()] == [0]


def test_a_damaged_description_is_told_and_can_be_put_right(tmp_path):
    history = History(tmp_path / "h.db")
    with history.engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO transfercast_columns VALUES ('x', 'x', 1, 'higher', 'nonsense')")
    with pytest.raises(ArtifactError, match=r"column 'x' is damaged.*history describe"):
        history.schema()
    done = CliRunner().invoke(app, ["history", "describe", "x:higher:data", "--history", str(tmp_path / "h.db")])
    assert done.exit_code == 0, done.output
    assert [(c.name, c.group) for c in history.schema()] == [("x", "data")]


SECRET = "postgresql://me:s3cret@127.0.0.1:1/db"


@pytest.mark.parametrize(
    "command",
    [["history", "show", "--history", SECRET], ["evaluate", SECRET], ["train-meta", "--history", SECRET, "--out", "meta"],
     ["history", "show", "--history", "postgresql://127.0.0.1:1/db?user=me&password=s3cret"],
     ["history", "show", "--history", "mysql://me:s3cret@host/db"], ["serve", "--history", SECRET]],
)  # fmt: skip
def test_a_database_that_cannot_be_reached_is_told_without_its_password(command, tmp_path, monkeypatch, caplog):
    pytest.importorskip("psycopg")
    monkeypatch.chdir(tmp_path)
    with caplog.at_level(logging.WARNING):
        done = CliRunner().invoke(app, command)
    assert done.exit_code == 2, done.output
    assert "***" in done.output or "mysql" in done.output
    assert "s3cret" not in done.output + caplog.text


def test_a_url_is_shown_without_its_password_and_used_with_it():
    url = database_url(SECRET)
    assert url.drivername == "postgresql+psycopg"
    assert url.password == "s3cret"
    assert shown_url(SECRET) == "postgresql://me:***@127.0.0.1:1/db"
