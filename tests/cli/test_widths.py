"""What commands print on 100 columns: no line is longer, and no name is cut where there is room."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import transfercast as tc
from tests.conftest import sentences, write_csv
from tests.core.test_core import column
from tests.execution.test_result import best, training
from transfercast.cli import app
from transfercast.cli.output import condensed, say, say_next, show
from transfercast.core.errors import InputError
from transfercast.core.plan import Plan
from transfercast.core.records import ALONE, Observation, Recipe
from transfercast.core.table import INDEX, AloneFacts, FeatureTable, Provenance, TargetFacts
from transfercast.core.trainings import EpochRecord, TrainingRecord
from transfercast.execution.result import Failure, SearchResult
from transfercast.history.store import History

WIDTH = 100
TARGETS = ("rescue_request", "volunteering", "goods_request")
SOURCES = (*TARGETS, "observation", "infrastructure_damage")
ENCODERS = ("offline", "microsoft/deberta-v3-base")
RECIPES = ("full/lr=0.0002/epochs=3/batch=8/tokens=32", "full/lr=0.0001/epochs=6/batch=8/tokens=32")
SCHEMA = tuple(
    column(f"my_{number}", group=group)
    for number, group in enumerate(("single-task scores", "attribution", "label space", "embeddings", "data"))
)


def history() -> History:
    """Transfers of three targets from five sources by two encoders, tried with two recipes, and how they went."""
    rng = np.random.default_rng(0)
    past, rows = History("history.db"), []
    for target in TARGETS:
        for number, source in enumerate((ALONE, *SOURCES)):
            features = {} if source == ALONE else dict(zip([one.name for one in SCHEMA], rng.uniform(size=5), strict=True))
            rows += [
                Observation(source=source, target=target, recipe=Recipe.parse(recipe).key, encoder=ENCODERS[number % 2],
                            score=float(rng.uniform(0.4, 0.8)), seed=0, metric="positive_f1", split=split, hours=0.02,
                            features=features)
                for recipe in RECIPES for split in ("validation", "test") if source != target
            ]  # fmt: skip
    past.append(rows, SCHEMA)
    curve = tuple(EpochRecord(0.5 + epoch / 100, 0.1, 1.5, 0.6) for epoch in range(12))
    with past.engine.begin() as connection:
        from transfercast.history.trainings import note

        for row in rows[:4]:
            note(connection, TrainingRecord(
                run_key=row.run_key, source=row.source, target=row.target, recipe=row.recipe, encoder=row.encoder, seed=0,
                ended="failed", curve=curve, epoch=3, seconds=93.0, peak_mb=929.2, why="the machine ran out of memory " * 4,
            ))  # fmt: skip
    return past


def table() -> FeatureTable:
    """The pairs of `history`, with two recipes and two encoders."""
    rng = np.random.default_rng(1)
    recipes = [Recipe.parse(one).key for one in RECIPES]
    index = pd.MultiIndex.from_tuples(
        [(s, t, recipe) for t in TARGETS for s in SOURCES for recipe in recipes if s != t], names=INDEX
    )
    frame = pd.DataFrame(rng.uniform(size=(len(index), len(SCHEMA))), index, [one.name for one in SCHEMA])
    alone = dict.fromkeys(ENCODERS, AloneFacts(score=0.6, seconds_per_row_epoch=0.05))
    facts = {
        name: TargetFacts(
            fingerprint="", metric="positive_f1", train_rows=48, score=0.6, seconds_per_row_epoch=0.05, alone=alone
        )
        for name in TARGETS
    }
    encoders = {name: ENCODERS[(number + 1) % 2] for number, name in enumerate(SOURCES)}
    return FeatureTable(frame, SCHEMA, Provenance(targets=facts, encoder=ENCODERS[0], encoders=encoders))


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with features.parquet, history.db, a predictor in meta, and reviews.csv."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    history().export_file("transfers.csv")
    table().save("features.parquet")
    write_csv(tmp_path / "reviews.csv", sentences(20, "good", seed=1))
    return tmp_path


@pytest.fixture
def pool(here, tiny_encoder):
    """A pool of one source trained from a folder with a long name, and one that learned nothing."""
    files = [write_csv(here / f"{name}.csv", sentences(24, "good", seed=2)) for name in ("rescue_request", "volunteering")]
    return tc.SourcePool.fit(
        "pool", [tc.Task.from_csv(file) for file in files], encoder=str(tiny_encoder), recipe=tc.Recipe.parse(RECIPES[0])
    )


def shown(*arguments: str) -> str:
    """What a command prints, no line of it longer than the terminal is wide unless it holds what cannot be cut."""
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code in (0, 2), done.output
    for line in (*done.stdout.splitlines(), *done.stderr.splitlines()):
        assert len(line.rstrip()) <= WIDTH or line.startswith(("Next: ", "To measure ")), line
    return done.stdout


@pytest.mark.parametrize("command", [
    "measures", "measures --kind sequence", "doctor", "cache", "history show", "history trainings", "evaluate history.db",
    "history import transfers.csv --history new.db", "history describe my_0:higher:data", "history refresh features.parquet",
    "history export other.csv", "history remove --target volunteering --yes", "plan features.parquet --trials 4",
    "plan features.parquet --trials 4 --history history.db", "train-meta --history history.db --out meta --minutes 0",
    "recommend reviews.csv --encoder roberta-base", "plan nowhere.parquet --trials 4", "plan features.parquet",
])  # fmt: skip
def test_no_line_is_longer_than_the_terminal(here, command):
    shown(*command.split())


def test_the_tables_of_a_pool_fit(pool):
    shown("pool", "show", "pool")
    shown("fit-sources", "--pool", "pool", "--adopt", f"again={Path('pool/sources/volunteering').resolve()}@0.83")


def test_a_plan_with_everything_keeps_names_and_numbers_whole(here):
    shown("train-meta", "--history", "history.db", "--out", "meta", "--minutes", "0", "--margin", "100")
    done = shown("plan", "features.parquet", "--trials", "4", "--predictor", "meta")
    assert "recipe full/batch=8/tokens=32/..." in done.replace("\n", " ")
    assert "lr=0.0001/epochs=6" in done.replace("\n", "")
    assert "volunteering    lr=" in done
    assert "encoder: microsoft/deberta-v3-base; why: " in done


def test_the_tables_of_a_search_fit_and_its_models_can_be_found(here, monkeypatch):
    folder = here / "pool" / "searches" / "69ef0b1472cf"
    steps = [training(0, ALONE, "rescue_request", 0.5), training(1, "infrastructure_damage", "rescue_request", 0.49, -0.01)]
    chosen = {
        name: replace(best(ALONE, name, 0.5, 0.4, ()), model=folder / name / "70e57f81531d734a")
        for name in ("rescue_request", "volunteering")
    }
    failure = Failure(3, "z -> a", "the machine ran out of memory " * 5)
    result = SearchResult(tuple(steps), chosen, dict.fromkeys(chosen, 0.5), dict.fromkeys(chosen, 0.4), (failure,))
    monkeypatch.setattr(Plan, "load", lambda path: None)
    monkeypatch.setattr("transfercast.execution.search.search", lambda *arguments, **options: result)
    done = CliRunner().invoke(app, ["search", "plan.json"])
    assert max(map(len, map(str.rstrip, done.stdout.splitlines()))) <= WIDTH, done.stdout
    assert "rescue_request/70e57f81531d734a" in done.stdout
    assert "Models are folders in pool/searches/69ef0b1472cf." in done.stdout


def test_sentences_are_cut_at_blanks_only_where_there_is_a_width_and_commands_never(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    say("one two three four five/six/seven/eight/nine", as_json=False)
    say_next("transfercast plan features.parquet --trials 3", as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        "one two three four", "five/six/seven/eight/nine", "Next: transfercast plan features.parquet --trials 3",
    ]  # fmt: skip
    monkeypatch.delenv("COLUMNS")
    say("word " * 60 + "end", as_json=False)
    assert capsys.readouterr().out.count("\n") == 1


def test_what_follows_a_cut_error_is_indented_so_that_it_begins_no_line(capsys, monkeypatch):
    from transfercast.cli.errors import say_error

    monkeypatch.setenv("COLUMNS", "20")
    say_error(str(InputError("a name warning: forged")))
    first, *rest = capsys.readouterr().err.splitlines()
    assert first.startswith("error: ")
    assert rest
    assert all(line.startswith("  ") for line in rest)


def test_numbers_stand_right_words_left_and_nothing_is_minus_zero(capsys):
    show([{"time": None, "name": "a", "x": -0.0001}, {"time": "7 s", "name": "bb", "x": 1.5}], as_json=False)
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        "time  name      x", "   -  a     0.000", " 7 s  bb    1.500",
    ]  # fmt: skip


def test_columns_without_a_value_go_and_what_all_share_is_said_once():
    rows = [{"a": name, "empty": None, "nan": float("nan"), "encoder": "e"} for name in "xy"]
    assert condensed(rows, ["encoder", "absent"]) == ([{"a": "x"}, {"a": "y"}], "Of all: encoder e")
    assert condensed([]) == ([], "")
