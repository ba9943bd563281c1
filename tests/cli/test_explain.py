"""`transfercast explain`: sources of the pool by name, folders, and what terminals must not obey."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from transfercast.cli import app
from transfercast.core.records import Recipe
from transfercast.sources.pool import SourcePool
from transfercast.tasks.family import read_family


@pytest.fixture(scope="module")
def pool(tmp_path_factory, family_toml, tiny_encoder):
    recipe = Recipe(learning_rate=1e-2, epochs=1, batch_size=8, max_tokens=16)
    tasks = read_family(family_toml).sources[:1]
    return SourcePool.fit(tmp_path_factory.mktemp("pool"), tasks, encoder=str(tiny_encoder), recipe=recipe)


def explain(*arguments):
    return CliRunner().invoke(app, ["explain", *map(str, arguments)])


def test_a_name_is_looked_for_in_the_pool_before_a_folder_of_that_name(pool, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good").mkdir()  # no model
    done = explain("good", "we need water", "--pool", pool.folder)
    assert done.exit_code == 0, done.output
    assert "\ngood: probability 0." in done.output  # the task's name; its labels are 0 and 1
    assert "Words have no conductance in layer 2, which is left out of the activities." in done.output
    assert explain("good", "we need water", "--pool", tmp_path).exit_code == 2


def test_a_folder_is_explained_with_the_names_that_its_configuration_has(pool):
    done = explain(pool["good"].checkpoint, "we need water", "--label", "positive")
    assert done.exit_code == 0, done.output
    assert "\npositive: probability 0." in done.output


def test_a_source_s_class_is_asked_for_by_either_of_its_names(pool):
    for label in ("not good", "negative", "0"):
        done = explain("good", "we need water", "--pool", pool.folder, "--label", label)
        assert "\nnot good: probability 0." in done.output
    done = explain("good", "we need water", "--pool", pool.folder, "--label", "\u00b2")
    assert done.exit_code == 2
    assert "is none of not good, good" in done.output


def test_activities_are_parts_of_the_change_of_probability(pool):
    rows = [
        json.loads(line)
        for line in explain("good", "we need good water", "--pool", pool.folder, "--json").stdout.splitlines()
        if line.startswith("{")
    ]
    assert [row["word"] for row in rows] == ["we", "need", "good", "water"]
    first, last = zip(*(row["layers"] for row in rows), strict=True)
    assert last == (0, 0, 0, 0)
    assert [row["activity"] for row in rows] == pytest.approx(first)


def test_a_terminal_is_not_told_to_obey_a_text(pool):
    done = explain("good", "we \x1b[31mneed", "--pool", pool.folder)
    assert "\x1b" not in done.output
