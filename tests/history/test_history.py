"""The history keeps each run once, under several writers, and tells what is wrong with a file by row."""

from __future__ import annotations

import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import optuna
import pandas as pd
import pytest
import sqlalchemy as sa

from tests.core.test_core import column, observation
from transfercast.core.errors import InputError
from transfercast.core.records import ALONE
from transfercast.history.store import History
from transfercast.history.tables import METADATA, PREFIX, VERSION_TABLE


def test_the_same_run_is_kept_once(tmp_path):
    history = History(tmp_path / "h.db")
    assert history.append([observation(), observation(seed=1)]) == 2
    assert history.append([observation(score=0.9), observation(seed=2)]) == 1
    assert [one.score for one in history.observations()] == [0.5, 0.5, 0.5]
    assert history.find(observation().run_key).seed == 0
    assert history.find("nothing") is None


def test_many_runs_are_found_by_their_keys_at_once(tmp_path):
    history = History(tmp_path / "h.db")
    runs = [observation(seed=seed) for seed in range(1203)]
    history.append(runs[:1201])
    keys = [run.run_key for run in runs]
    assert history.find_all([*keys[::2], "nothing"]) == {run.run_key: run for run in runs[:1201:2]}
    assert history.find_all([]) == {}


def test_several_writers_lose_nothing(tmp_path):
    History(tmp_path / "h.db")

    def write(worker):
        history = History(tmp_path / "h.db")
        return sum(history.append([observation(seed=worker * 10 + i), observation(seed=-1)]) for i in range(10))

    with ThreadPoolExecutor(4) as threads:
        new = sum(threads.map(write, range(4)))
    assert new == len(History(tmp_path / "h.db")) == 41


def test_the_baseline_is_that_of_the_same_target_encoder_and_metric(tmp_path):
    history = History("sqlite://")
    history.append([
        observation(source=ALONE, score=0.4), observation(source=ALONE, score=0.6, seed=1),
        observation(source=ALONE, encoder="f", score=0.9), observation(), observation(target="c"),
    ])  # fmt: skip
    frame = history.frame().set_index(["source", "target"])
    assert frame.loc[("a", "b"), "baseline"] == pytest.approx(0.5)
    assert math.isnan(frame.loc[("a", "c"), "baseline"])


def test_missing_features_stay_missing(tmp_path):
    history = History(tmp_path / "h.db")
    history.append([observation(features={"x": math.nan, "y": 1.0})])
    assert history.observations()[0].features == {"y": 1.0}


def test_columns_keep_their_first_description():
    history = History("sqlite://")
    history.describe([column("x")])
    history.describe([column("x", better="lower"), column("y")])
    assert [(c.name, c.better) for c in history.schema()] == [("x", "higher"), ("y", "higher")]


@pytest.mark.parametrize("name", ["out.csv", "out.parquet"])
def test_a_file_comes_back_as_it_was_written(tmp_path, name):
    history = History("sqlite://")
    history.append([observation(features={"x": 0.25}), observation(source=ALONE)])
    history.export_file(tmp_path / name)
    other = History("sqlite://")
    assert other.import_file(tmp_path / name) == 2
    assert other.observations() == history.observations()
    assert other.import_file(tmp_path / name) == 0


def test_a_wrong_csv_is_told_by_row_and_nothing_is_kept(tmp_path):
    path = tmp_path / "in.csv"
    path.write_text("source,target,score,logme\na,b,0.5,1\na,c,high,1\n,d,0.5,1\na,e,1.5,1\na,f,0.5,x\n")
    history = History("sqlite://")
    with pytest.raises(InputError) as caught:
        history.import_file(path)
    message = str(caught.value)
    for part in ("row 3: score is 'high'", "row 4: source is empty", "row 5: score 1.5 is outside", "row 6: logme is 'x'"):
        assert part in message
    assert len(history) == 0
    path.write_text("source,target\na,b\n")
    with pytest.raises(InputError, match="no column 'score'"):
        history.import_file(path)


def test_a_database_that_cannot_be_opened_is_told():
    with pytest.raises(InputError, match=r"Write it as sqlite:///history\.db"):
        History("nonsense://x")
    with pytest.raises(InputError, match="Write it as"):
        History("sqlite:////no/such/folder/h.db")


def test_the_same_run_with_two_scores_in_one_file_is_told(tmp_path):
    path = tmp_path / "in.csv"
    path.write_text("source,target,score\na,b,0.5\na,c,0.5\na,b,0.6\n")
    with pytest.raises(InputError, match=r"row 4: the same run as row 2, with score 0.6 instead of 0.5; give seeds"):
        History("sqlite://").import_file(path)
    path.write_text("source,target,score,seed\na,b,0.5,0\na,b,0.5,0\na,b,0.6,1\n")
    assert History("sqlite://").import_file(path) == 2


def test_a_wrong_parquet_file_is_told_by_row(tmp_path):
    path = tmp_path / "in.parquet"
    pd.DataFrame({"source": ["a", None], "target": ["b", "c"], "score": [0.5, 0.25]}).to_parquet(path)
    with pytest.raises(InputError, match=r"in.parquet, row 2: source is empty"):
        History("sqlite://").import_file(path)
    path.write_text("nonsense")
    with pytest.raises(InputError, match="not readable as Parquet"):
        History("sqlite://").import_file(path)
    with pytest.raises(InputError, match=r"gone\.parquet"):
        History("sqlite://").import_file(tmp_path / "gone.parquet")


def test_the_summary_tells_noise_between_seeds_apart_from_differences_between_sources():
    history = History("sqlite://")
    history.append([
        *(observation(seed=seed, score=score) for seed, score in enumerate([0.4, 0.6])),
        *(observation(source="z", seed=seed, score=score) for seed, score in enumerate([0.8, 0.9])),
        observation(source=ALONE, score=0.3),
    ])  # fmt: skip
    row = history.summary()[0]
    # squares about the seeds' means: 2 x .1^2 + 2 x .05^2, with two degrees of freedom
    assert row["noise"] == pytest.approx(math.sqrt((2 * 0.01 + 2 * 0.0025) / 2))
    assert (row["sources"], row["runs"], row["alone"], row["best"], row["best source"]) == (2, 4, 0.3, 0.9, "z")


@pytest.mark.parametrize("first", ["optuna", "transfercast"])
def test_the_database_may_be_optuna_s_as_well_whichever_came_first(tmp_path, first):
    url = f"sqlite:///{tmp_path / 'both.db'}"
    made = [lambda: optuna.create_study(storage=url, study_name="s", load_if_exists=True), lambda: History(url)]
    for make in made if first == "optuna" else made[::-1]:
        make()
    assert optuna.load_study(storage=url, study_name="s").study_name == "s"
    history = History(url)
    assert history.append([observation()]) == 1
    names = set(sa.inspect(history.engine).get_table_names())
    assert {"alembic_version", "transfercast_alembic_version", "transfercast_observations"} <= names


def test_the_migrations_make_the_tables_that_the_code_uses(tmp_path):
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    history = History(tmp_path / "h.db")
    with history.engine.connect() as connection:
        named = {"include_name": lambda name, kind, _: kind != "table" or name.startswith(PREFIX)}
        ours = {"version_table": VERSION_TABLE, **named}
        assert compare_metadata(MigrationContext.configure(connection, opts=ours), METADATA) == []


def test_a_database_from_before_migrations_is_taken_over_with_its_observations(tmp_path):
    old = History(tmp_path / "h.db")
    old.append([observation()])
    with old.engine.begin() as connection:
        connection.execute(sa.text(f"DROP TABLE {VERSION_TABLE}"))
        connection.execute(sa.text("DROP INDEX transfercast_by_target"))
    assert len(again := History(tmp_path / "h.db")) == 1
    assert [index["name"] for index in sa.inspect(again.engine).get_indexes("transfercast_observations")] == [
        "transfercast_by_target"
    ]


def test_a_database_of_a_newer_version_is_refused(tmp_path):
    with History(tmp_path / "h.db").engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(InputError, match="version 9999, this transfercast knows up to"):
        History(tmp_path / "h.db")


def test_several_processes_may_set_up_the_same_database_at_once(tmp_path):
    command = f"from transfercast.history.store import History; History({str(tmp_path / 'h.db')!r})"
    processes = [subprocess.Popen([sys.executable, "-c", command]) for _ in range(4)]
    assert [process.wait(60) for process in processes] == [0] * 4
    assert len(History(tmp_path / "h.db")) == 0
