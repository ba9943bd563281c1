"""Commands about sources: mistakes are told at once, what is suspicious is pointed at, and what takes room can be seen."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from transfercast.cli import app
from transfercast.core.cache import ArrayCache, Entry
from transfercast.core.records import Recipe
from transfercast.sources.pool import SourcePool
from transfercast.tasks.family import read_family

FAST = Recipe(learning_rate=1e-2, epochs=2, batch_size=8, max_tokens=16)


def invoked(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


@pytest.fixture(scope="module")
def fitted(tmp_path_factory, family_toml, tiny_encoder):
    sources = read_family(family_toml).sources[:2]
    return SourcePool.fit(tmp_path_factory.mktemp("pool"), sources, encoder=str(tiny_encoder), recipe=FAST).folder


WITHOUT_TORCH = """
import sys
from typer.testing import CliRunner
from transfercast.cli import app
done = CliRunner().invoke(app, sys.argv[1:])
heavy = {"torch", "transformers", "sklearn"} & set(sys.modules)
print(done.exit_code, sorted(heavy), done.stderr)
"""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["fit-sources", "none.toml"], "none.toml: no such file"),
        (["fit-sources", "TASKS", "--encoder", "no/such/encoder"], "'no/such/encoder' is neither"),
        (["fit-sources", "TASKS", "--pool", "TASKS"], "is not a folder"),
        (["fit-sources", "TASKS", "--seed", "-1"], "seed -1: give a whole number"),
        (["fit-sources", "--adopt", "x=no/such/model"], "'no/such/model' is neither"),
        (["features", "none", "TASKS"], "none: no sources"),
        (["features", "POOL", "none.toml"], "none.toml: no such file"),
        (["features", "POOL", "TASKS", "--out", "TASKS/features.parquet"], "is not a folder"),
        (["rank", "none.csv", "offline"], "none.csv: no such file"),
        (["rank", "CSV", "./no/such/encoder"], "'./no/such/encoder' is neither"),
        (["rank", "CSV", "--maps", "none"], "none: no maps"),
        (["fit-maps", "none"], "none: no sources"),
    ],
)
def test_a_wrong_path_is_told_before_torch_is_imported(arguments, told, fitted, family_toml, tmp_path):
    places = {"TASKS": str(family_toml), "POOL": str(fitted), "CSV": str(family_toml.parent / "good" / "train.csv")}
    for name, place in places.items():
        arguments = [argument.replace(name, place) for argument in arguments]
    command = [sys.executable, "-c", WITHOUT_TORCH, *arguments]
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env={"PYTHONPATH": root, "HF_HUB_OFFLINE": "1"}
    )
    assert done.stdout.startswith("2 [] error: "), done.stdout + done.stderr
    assert told in done.stdout
    assert not list(tmp_path.iterdir())


def test_the_help_of_adopt_names_all_its_parts():
    assert "@SCORE" in " ".join(invoked("fit-sources", "--help").output.split())


@pytest.mark.parametrize("score", ["7", "nan", "inf", "-inf", "best"])
def test_a_score_that_is_none_is_refused_before_anything_is_adopted(score, fitted, tmp_path):
    done = invoked("fit-sources", "--adopt", f"x={fitted}/sources/good@{score}", "--pool", tmp_path / "pool")
    assert done.exit_code == 2
    assert f"score '{score}' is not a number from -1 to 1. Write NAME=FOLDER@0.83." in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_folder_that_a_trainer_filled_is_adopted_by_its_latest_checkpoint(fitted, tmp_path, tiny_encoder):
    for number in (10, 9):
        shutil.copytree(fitted / "sources" / "good", tmp_path / "run" / f"checkpoint-{number}")
    done = invoked("fit-sources", "--adopt", f"mine={tmp_path}/run@0.5", "--pool", tmp_path / "pool", "--encoder", tiny_encoder)
    assert done.exit_code == 0, done.stderr
    assert SourcePool.load(tmp_path / "pool")["mine"].checkpoint == tmp_path / "run" / "checkpoint-10"


def test_a_source_that_learned_nothing_is_marked_in_the_table_and_explained_in_json(fitted, tmp_path):
    shutil.copytree(fitted, tmp_path / "pool")
    record = tmp_path / "pool" / "sources" / "help" / "source.json"
    about = json.loads(record.read_text())
    record.write_text(json.dumps(about | {"scores": {"validation": 0.0, "test": 0.0}}))
    adopted = f"x={fitted}/sources/good@0.5"
    done = invoked("fit-sources", "--adopt", adopted, "--pool", tmp_path / "pool")
    marked = {line.split()[0]: line.rstrip().endswith("nothing learned") for line in done.stdout.splitlines()}
    assert marked["help"]
    assert not marked["x"]
    done = invoked("pool", "show", tmp_path / "pool", "--json")
    told = {row["source"]: row["warning"] for row in map(json.loads, done.stdout.splitlines())}
    assert told["help"].startswith("on validation, positive_f1 is 0.000: it finds no positive row")
    assert told["x"] is None


def test_a_pool_shows_what_it_holds_and_what_that_takes(fitted):
    done = invoked("pool", "show", fitted, "--json")
    assert done.exit_code == 0, done.stderr
    rows = {row["source"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert set(rows) == {"good", "help"}
    files = (fitted / "sources" / "good").iterdir()
    assert rows["good"]["disk"] == sum(len(file.read_bytes()) for file in files)
    assert rows["good"]["recipe"] == FAST.key
    done = invoked("pool", "show", fitted)
    assert "0.0 MB" in done.stdout
    assert "2 sources" in done.stdout


def test_the_cache_shows_its_size_and_forgets_the_oldest(tmp_path, monkeypatch):
    monkeypatch.setattr("transfercast.core.cache.user_cache_path", lambda _: tmp_path / "cache")
    cache = ArrayCache()
    for name in ("old", "new"):
        cache.get("reading", name, lambda: np.zeros(100_000))
        time.sleep(0.01)
    cache.get("map", "new", lambda: np.zeros(1_000))
    rows = list(map(json.loads, invoked("cache", "--json").stdout.splitlines()))
    assert [(row["kind"], row["entries"]) for row in rows] == [("map", 1), ("reading", 2), ("all", 3)]
    assert {row["folder"] for row in rows} == {str(tmp_path / "cache")}
    assert 1_600_000 < rows[-1]["disk"] == rows[0]["disk"] + rows[1]["disk"] < 1_700_000
    done = invoked("cache", "--prune", "1MB", "--json")
    assert done.exit_code == 0, done.stderr
    assert "deleting 1 entry of 0.8 MB" in done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["disk"] < 1_000_000
    assert cache.holds("reading", "new")
    assert not cache.holds("reading", "old")
    assert "0.0 MB" in invoked("cache", "--prune", "0").stdout


def test_the_cache_forgets_what_was_not_used_for_so_many_days_and_nothing_outside_it(tmp_path, monkeypatch):
    monkeypatch.setattr("transfercast.core.cache.user_cache_path", lambda _: tmp_path / "cache")
    cache = ArrayCache()
    for name in ("old", "new"):
        cache.get("reading", name, lambda: np.zeros(10))
    (tmp_path / "cache" / "notes.txt").write_text("mine")
    (tmp_path / "outside").mkdir()
    (tmp_path / "cache" / "link").symlink_to(tmp_path / "outside")
    ago = time.time() - 10 * 86400
    for file in cache.entries()[0].folder.iterdir():
        os.utime(file, (ago, ago))
    assert "deleting" not in invoked("cache", "--unused", "11").stdout
    assert "deleting 1 entry" in invoked("cache", "--unused", "9").stdout
    assert [cache.holds("reading", name) for name in ("old", "new")] == [False, True]
    outside = Entry("reading", tmp_path / "outside", 0, 0.0)
    cache.forget([outside])
    assert outside.folder.is_dir()
    assert (tmp_path / "cache" / "notes.txt").exists()


@pytest.mark.parametrize("size", ["much", "-1GB", "20 bananas", ""])
def test_a_size_that_is_none_is_refused(size, tmp_path, monkeypatch):
    monkeypatch.setattr("transfercast.core.cache.user_cache_path", lambda _: tmp_path / "cache")
    done = invoked("cache", f"--prune={size}")
    assert done.exit_code == 2
    assert "write a size such as 20GB, 500MB or 0" in done.stderr
