"""The walkthrough: commands that exist, each leading to the next, and output as it is printed now. Nothing is trained here.

`python docs/make_walkthrough.py --check` runs the whole page; here, the commands that train nothing run on made-up values.
"""

from __future__ import annotations

import importlib.util
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from tests.docs.pages import ROOT
from transfercast.cli import app
from transfercast.core.records import ALONE, Observation, Recipe
from transfercast.core.table import INDEX, FeatureTable, Provenance, TargetFacts
from transfercast.features.registry import measures
from transfercast.history.store import History

spec = importlib.util.spec_from_file_location("make_walkthrough", ROOT / "docs" / "make_walkthrough.py")
walkthrough = importlib.util.module_from_spec(spec)
spec.loader.exec_module(walkthrough)

COMMANDS = walkthrough.commands(walkthrough.PAGE.read_text(encoding="utf-8"))
REMADE = "run: python docs/make_walkthrough.py"

TARGETS = ("rescue_request", "volunteering")
SOURCES = (*TARGETS, "donation", "goods_request", "observation", "warning")
SCHEMA = (*measures()["logme"].schema(), *measures()["ansat"].schema())  # known to the predictor that comes with the package
RECIPE = "full/lr=0.0002/epochs=3/batch=8/tokens=32"


def is_accepted(words):
    """Whether the command line knows the command and its options; with --help nothing is run."""
    return CliRunner().invoke(app, [*words, "--help"]).exit_code == 0


def pairs():
    return [(source, target) for target in TARGETS for source in SOURCES if source != target]


@pytest.fixture
def files(tmp_path, monkeypatch):
    """features.parquet with pairs as on the page, and history.db with five trainings of them."""
    monkeypatch.chdir(tmp_path)
    recipe = Recipe.parse(RECIPE).key
    rng = np.random.default_rng(0)
    index = pd.MultiIndex.from_tuples([(*pair, recipe) for pair in pairs()], names=INDEX)
    frame = pd.DataFrame(rng.uniform(size=(len(index), len(SCHEMA))), index, [one.name for one in SCHEMA])
    facts = {
        name: TargetFacts(fingerprint="", metric="positive_f1", train_rows=48, score=0.6, seconds_per_row_epoch=0.05)
        for name in TARGETS
    }
    FeatureTable(frame, SCHEMA, Provenance(targets=facts, encoder="offline")).save("features.parquet")
    common = {"recipe": recipe, "encoder": "offline", "seed": 0, "metric": "positive_f1", "hours": 0.002}
    trained = [(ALONE, name) for name in TARGETS] + [pairs()[0], pairs()[1], pairs()[-1]]
    features = {one.name: 0.5 for one in SCHEMA}
    rows = [
        Observation(source=source, target=target, score=0.5 + place / 100, split="validation",
                    features={} if source == ALONE else features, **common)
        for place, (source, target) in enumerate(trained)
    ]  # fmt: skip
    history = History("history.db")
    history.append(rows, SCHEMA)
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command.words[:2]))
def test_the_command_line_takes_each_command_and_the_page_shows_what_it_prints(command):
    assert is_accepted(command.words)
    assert command.written.strip(), REMADE


def test_each_command_of_the_path_is_the_one_that_the_output_before_it_names():
    path = ["fit-sources", "features", "plan", "search", "train-meta", "plan"]
    assert [command.words[0] for command in COMMANDS[:6]] == path
    for before, after in pairwise(COMMANDS[:6]):
        assert f"transfercast {after.words[0]}" in before.written.splitlines()[-1]


@pytest.mark.parametrize("number", [2, 4, 5])
def test_what_is_printed_now_stands_on_the_page(files, number):
    for earlier in (4,) if number == 5 else ():  # the second plan rests on the predictor of train-meta
        walkthrough.printed(COMMANDS[earlier])
    command = COMMANDS[number]
    assert command.words[0] in ("plan", "train-meta")
    assert walkthrough.differences(command, walkthrough.printed(command)) == [], REMADE


@pytest.mark.parametrize("line", ["plans features.parquet", "plan features.parquet --trails 3", "history shows"])
def test_a_command_that_does_not_exist_is_noticed(line):
    assert not is_accepted(line.split())


def test_another_head_or_sentence_is_noticed_and_another_number_is_not():
    of_a_plan = "Models are folders in pool/searches/{}."
    assert walkthrough.skeleton(of_a_plan.format("b7a879256f18")) == walkthrough.skeleton(of_a_plan.format("69ef0b1472cf"))
    first = "source  score\na        0.5\n1 sources in pool. Next: transfercast features"
    assert walkthrough.skeleton(first) == walkthrough.skeleton(first.replace("0.5", "0.7").replace("1 sources", "7 sources"))
    for old, new in (("score", "points"), ("Next", "Then"), ("a        0.5\n", "")):
        assert walkthrough.skeleton(first) != walkthrough.skeleton(first.replace(old, new))
