"""One command for one data set and a pool: what to train from, in which order, why, and what to type next."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

import transfercast as tc
from tests.conftest import sentences, write_csv
from transfercast.cli import app
from transfercast.core.records import ALONE
from transfercast.sources.pool import SourcePool
from transfercast.tasks.family import read_family

RECIPE = "full/lr=0.01/epochs=2/batch=8/tokens=16"


@pytest.fixture(scope="module")
def models(tmp_path_factory, family_toml, tiny_encoder):
    """Fine-tuned models as somebody else's: folders of weights."""
    folder = tmp_path_factory.mktemp("models")
    SourcePool.fit(folder, read_family(family_toml).sources, encoder=str(tiny_encoder), recipe=tc.Recipe.parse(RECIPE))
    for record in folder.glob("sources/*/source.json"):
        record.unlink()
    return folder / "sources"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rows = [(text, "yes" if label else "no") for text, label in sentences(60, "good", seed=9)]
    write_csv(tmp_path / "reviews.csv", [*rows, ("", "yes")], "body,helpful")
    return tmp_path


def recommend(*arguments):
    options = ["--recipe", RECIPE, "--documents", "2"]
    return CliRunner().invoke(app, ["recommend", "reviews.csv", *map(str, arguments), *options], catch_exceptions=False)


def adopting(models, encoder, *names):
    return ["--encoder", encoder, *(part for name in names for part in ("--adopt", f"{name}={models / name}"))]


COLUMNS = ["--text", "body", "--label", "helpful"]


@pytest.mark.usefixtures("untaught")
def test_from_models_and_a_file_to_an_order_with_reasons_and_the_next_command(here, models, tiny_encoder):
    told = recommend(*COLUMNS, *adopting(models, tiny_encoder, "good", "help", "storm"), "--trials", 2)
    assert told.exit_code == 0, told.output
    lines = told.stdout.splitlines()
    assert lines[0].startswith("reviews: binary (by its labels), judged by positive_f1; positive is 'yes'")
    assert "left out: 1 without text" in lines[0]
    head, *rows = [line for line in lines if line.split()[:1] in (["rank"], ["0"], ["1"], ["2"])]
    assert head.split() == ["rank", "source", "target", "score", "time", "why"]
    assert rows[0].split()[1] == ALONE
    assert rows[0].rstrip().endswith("the baseline")
    assert all(("+ " in row or "- " in row) for row in rows[1:])
    assert "Next: transfercast search plan.json --storage sqlite:///history.db" in lines[-1]
    plan = tc.Plan.load("plan.json")
    assert [step.source for step in plan.steps] == [row.split()[1] for row in rows]
    assert not (here / "history.db").exists()


def test_nothing_is_adopted_measured_or_trained_twice(here, models, tiny_encoder, monkeypatch):
    first = recommend(*COLUMNS, *adopting(models, tiny_encoder, "good", "help"), "--trials", 1, "--run")
    assert first.exit_code == 0, first.output
    assert "The best of each target" in first.stdout
    records = {path: path.stat().st_mtime_ns for path in here.glob("pool/sources/*/source.json")}
    assert len(records) == 2
    for place in ("transfercast.sources.pool.trained_alone", "transfercast.features.artifacts.load_model"):
        monkeypatch.setattr(place, lambda *_, **__: pytest.fail("something was done again"))
    again = recommend(*COLUMNS, *adopting(models, tiny_encoder, "good", "help"), "--trials", 1, "--json")
    assert {path: path.stat().st_mtime_ns for path in records} == records
    rows = [json.loads(line) for line in again.stdout.splitlines()]
    assert [row["state"] for row in rows] == ["done", "done", "new"]
    assert {row["source"] for row in rows} == {ALONE, "good", "help"}
    assert rows[1]["score"] == tc.History("history.db").observations()[1].score


def test_in_python_it_returns_the_plan(here, models, tiny_encoder):
    recipe = tc.Recipe.parse(RECIPE)
    pool = SourcePool.fit("pool", [tc.Task.from_csv(write_csv(here / "a.csv", sentences(40, "help", seed=1)), text="text",
                                                    label="label")], encoder=str(tiny_encoder), recipe=recipe)  # fmt: skip
    pool.adopt("storm", str(models / "storm"), encoder=str(tiny_encoder))
    by_file = tc.recommend("reviews.csv", "pool", text="body", label="helpful", positive="yes", recipe=recipe, documents=2)
    assert {step.source for step in by_file.steps} == {ALONE, "a", "storm"}
    task = tc.Task.from_csv("reviews.csv", text="body", label="helpful", drop=["empty_text"])
    assert tc.recommend(task, SourcePool.load("pool"), recipe=recipe, documents=2).steps == by_file.steps
    assert len(tc.recommend(task, "pool", trials=1, recipe=recipe, documents=2).steps) == 2


def test_a_pool_and_one_file_have_a_path_through_features_too(here, models, tiny_encoder):
    pool = here / "pool"
    for name in ("good", "help"):
        tc.SourcePool(pool, {}).adopt(name, str(models / name), encoder=str(tiny_encoder))
    command = ["features", "pool", "reviews.csv", *COLUMNS, "--recipe", RECIPE, "--only", "logme"]
    told = CliRunner().invoke(app, command, catch_exceptions=False)
    assert told.exit_code == 0, told.output
    assert {candidate.target for candidate in tc.FeatureTable.load("features.parquet").candidates} == {"reviews"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "no column 'text'; there are 'body', 'helpful'"),
        ([*COLUMNS], "no pool to choose from. Name one with --pool"),
        ([*COLUMNS, "--pool", "pool"], "no sources. Make some with: transfercast fit-sources"),
        ([*COLUMNS, "--adopt", "a"], "write NAME=FOLDER_OR_HUB_NAME"),
        ([*COLUMNS, "--adopt", "a=nowhere"], "'nowhere' is neither 'offline', nor a folder"),
        ([*COLUMNS, "--adopt", "../a=nowhere"], "source name '../a'"),
        ([*COLUMNS, "--history", "reviews.csv"], "is a table by its ending"),
        ([*COLUMNS, "--pool", "pool", "--predictor", "nowhere"], "nowhere"),
        ([*COLUMNS, "--out", "."], "is a folder"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line_before_any_work(here, arguments, said, monkeypatch):
    monkeypatch.setattr("transfercast.sources.pool.trained_alone", lambda *_, **__: pytest.fail("work was begun"))
    told = recommend(*arguments)
    assert told.exit_code in (2, 3)
    (line,) = told.stderr.splitlines()
    assert said in line
    assert not (here / "plan.json").exists()
