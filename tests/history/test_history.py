"""The history keeps each run once, under several writers, in SQLite and in PostgreSQL."""

from __future__ import annotations

import logging
import math
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import optuna
import pytest
import sqlalchemy as sa

from tests.core.test_core import column, observation
from transfercast.core.errors import InputError, TransfercastError
from transfercast.core.records import ALONE
from transfercast.history import database
from transfercast.history.store import History, opened
from transfercast.history.tables import METADATA, PREFIX, VERSION_TABLE


def test_the_same_run_is_kept_once(database_url):
    history = History(database_url)
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


def test_what_is_new_is_counted_also_within_one_batch(database_url):
    history = History(database_url)
    runs = [observation(seed=seed) for seed in range(1_500)]
    assert history.append([*runs, *runs]) == 1_500
    assert history.append([*runs, observation(seed=-1)]) == 1
    assert [one.seed for one in history.observations()] == [*range(1_500), -1]  # in the order of recording


WRITE = """
import sys
from transfercast.core.records import Observation
from transfercast.history.store import History
url, worker = sys.argv[1], int(sys.argv[2])
runs = [Observation(source="a", target="b", recipe="full", encoder="e", seed=seed, metric="accuracy", split="validation",
                    score=0.5, hours=0.1, features={"x": 1.0}) for seed in range(8 * 500)]
own = runs[worker * 500 : (worker + 1) * 500]
shared = runs[:500] if worker % 2 else runs[:500][::-1]  # in opposite orders, at which two would wait for one another
history = History(url)
print(sum(history.append([*own[start : start + 50], *shared]) for start in range(0, 500, 50)))
"""


def test_eight_processes_append_four_thousand_observations(database_url):
    command = [sys.executable, "-c", WRITE, database_url]
    writers = [
        subprocess.Popen([*command, str(n)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for n in range(8)
    ]
    told = [writer.communicate(timeout=300) for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * 8, told
    assert sum(int(output) for output, _ in told) == len(History(database_url)) == 4_000


def test_several_threads_lose_nothing(database_url):
    History(database_url)

    def write(worker):
        history = History(database_url)
        return sum(history.append([observation(seed=worker * 10 + i), observation(seed=-1)]) for i in range(10))

    with ThreadPoolExecutor(4) as threads:
        new = sum(threads.map(write, range(4)))
    assert new == len(History(database_url)) == 41


def test_the_baseline_is_that_of_the_same_target_encoder_metric_and_data(database_url):
    history = History(database_url)
    history.append([
        observation(source=ALONE, score=0.4), observation(source=ALONE, score=0.6, seed=1),
        observation(source=ALONE, encoder="f", score=0.9), observation(source=ALONE, target_fingerprint="x", score=0.1),
        observation(), observation(target="c"), observation(target_fingerprint="x", seed=2),
    ])  # fmt: skip
    frame = history.frame()
    assert frame.baseline[frame.source != ALONE].tolist()[::2] == pytest.approx([0.5, 0.1])
    assert math.isnan(frame.baseline[frame.target == "c"].item())


def test_missing_features_stay_missing(database_url):
    history = History(database_url)
    history.append([observation(features={"x": math.nan, "y": 1.0})])
    assert history.observations()[0].features == {"y": 1.0}


@pytest.mark.parametrize("name", ["out.csv", "out.PARQUET"])
def test_a_file_comes_back_as_it_was_written(tmp_path, database_url, name):
    history = History(database_url)
    history.describe([column("x").model_copy(update={"version": 3})])
    history.append([observation(features={"x": 0.25, "y": 1.0}), observation(source=ALONE)])
    history.export_file(tmp_path / name)
    other = History("sqlite://")
    assert other.import_file(tmp_path / name) == 2
    assert other.observations() == history.observations()
    assert other.observations()[0].versions == {"x": 3}
    assert other.import_file(tmp_path / name) == 0


@pytest.mark.parametrize("name", ["out.xlsx", "out", "folder.csv", "file/out.csv"])
def test_an_export_that_cannot_be_written_is_one_error(tmp_path, name):
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=str(tmp_path / name)):
        History("sqlite://").export_file(tmp_path / name)


def test_what_no_database_could_keep_is_refused_before_any_is_kept(database_url):
    history = History(database_url)
    for wrong, told in (({"source": "s" * 101}, "source"), ({"target": "a\0b"}, "target"), ({"seed": 2**31}, "seed"),
                        ({"features": {"score": 1.0}}, "'score'"), ({"features": {"x" * 201: 1.0}}, "200 letters"),
                        ({"versions": {"x": 2**40}, "features": {"x": 1.0}}, "versions.x"),
                        ({"encoder": "\x1b[2J"}, "encoder"), ({"run_key": "k" * 65}, "run_key")):  # fmt: skip
        with pytest.raises(InputError, match=told):
            history.append([observation(seed=1), observation(**wrong)])
    assert len(history) == 0
    history.append([observation(source="s" * 100, recipe="r" * 200, encoder="é" * 200, features={"x" * 200: 1e308})])
    assert len(history.observations()[0].encoder) == 200


@pytest.mark.parametrize("first", ["optuna", "transfercast"])
def test_the_database_may_be_optuna_s_as_well_whichever_came_first(database_url, first):
    url = History(database_url).url if first == "transfercast" else database_url.replace("postgresql:", "postgresql+psycopg:")
    storage = optuna.storages.RDBStorage(url)
    optuna.create_study(storage=storage, study_name="s", load_if_exists=True)
    history = History(database_url)
    assert optuna.load_study(storage=storage, study_name="s").study_name == "s"
    storage.remove_session()
    storage.engine.dispose()
    assert history.append([observation()]) == 1
    names = set(sa.inspect(history.engine).get_table_names())
    assert {"alembic_version", "transfercast_alembic_version", "transfercast_observations"} <= names


def test_the_migrations_make_the_tables_that_the_code_uses(database_url):
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    history = History(database_url)
    with history.engine.connect() as connection:
        named = {"include_name": lambda name, kind, _: kind != "table" or name.startswith(PREFIX)}
        ours = {"version_table": VERSION_TABLE, **named}
        assert compare_metadata(MigrationContext.configure(connection, opts=ours), METADATA) == []


def test_a_database_of_a_newer_version_is_refused(database_url):
    history = History(database_url)
    with history.engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(InputError, match="version 9999, this transfercast knows up to"):
        History(database_url)


def test_several_processes_may_set_up_the_same_database_at_once(database_url):
    command = f"from transfercast.history.store import History; History({database_url!r})"
    processes = [subprocess.Popen([sys.executable, "-c", command]) for _ in range(4)]
    assert [process.wait(240) for process in processes] == [0] * 4
    assert len(History(database_url)) == 0


def test_reading_leaves_the_file_as_it_is(tmp_path):
    file = tmp_path / "h.db"
    History(file).append([observation()])
    sqlite3.connect(file).execute("PRAGMA wal_checkpoint(TRUNCATE)").connection.close()
    before, names = file.read_bytes(), sorted(os.listdir(tmp_path))
    reader = opened(file, [column("x")])
    assert len(reader) == 1
    assert [one.name for one in reader.schema()] == ["x"]
    with pytest.raises(InputError, match="opened for reading"):
        reader.append([observation(seed=1)])
    reader.engine.dispose()
    assert file.read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == names


def test_a_reader_of_postgresql_changes_nothing(database_url):
    History(database_url).append([observation()])
    reader = opened(database_url)
    assert len(reader) == 1
    with pytest.raises(InputError, match="opened for reading"):
        reader.remove(["x"])
    with pytest.raises(TransfercastError), reader.engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM transfercast_observations"))
    assert len(History(database_url)) == 1


def test_a_history_deleted_under_a_running_process_is_noticed(tmp_path):
    history = History(tmp_path / "h.db")
    history.append([observation()])
    for name in os.listdir(tmp_path):
        (tmp_path / name).unlink()
    with pytest.raises(TransfercastError, match="deleted or replaced"):
        history.append([observation(seed=1)])
    with pytest.raises(TransfercastError, match="deleted or replaced"):
        len(history)
    assert not (tmp_path / "h.db").exists()


def test_a_history_deleted_while_it_is_written_to_is_not_said_to_be_written(tmp_path):
    history = History(tmp_path / "h.db")
    sa.event.listen(history.engine, "commit", lambda _: (tmp_path / "h.db").unlink())
    with pytest.raises(TransfercastError, match="deleted or replaced"):
        history.append([observation()])


def test_a_history_replaced_under_a_running_process_is_the_one_written_to(tmp_path):
    other = History(tmp_path / "other.db")
    other.append([observation(seed=7)])
    other.engine.dispose()
    history = History(tmp_path / "h.db")
    history.append([observation()])
    for name in ("h.db", "h.db-wal", "h.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    shutil.copy(tmp_path / "other.db", tmp_path / "h.db")
    assert history.append([observation(seed=1)]) == 1
    assert [one.seed for one in History(tmp_path / "h.db").observations()] == [7, 1]


def test_a_locked_history_is_one_error_after_a_stated_wait(tmp_path):
    history = History(tmp_path / "h.db", wait_seconds=0.2)
    with sqlite3.connect(tmp_path / "h.db") as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(TransfercastError, match=r"locked by another process for 0\.2 s") as told:
            history.append([observation()])
    other.close()
    assert not isinstance(told.value, InputError)
    assert history.append([observation()]) == 1


def test_a_writer_waits_for_another_and_no_longer_than_it_says(database_url):
    history, other = History(database_url, wait_seconds=0.2), History(database_url)
    with database.writing(other.engine), pytest.raises(TransfercastError, match=r"locked by another process for 0\.2 s"):
        history.append([observation()])
    assert history.append([observation()]) == 1


def test_removed_is_what_was_named_and_nothing_else(database_url):
    history = History(database_url)
    history.append([observation(seed=seed, encoder=encoder) for seed in range(600) for encoder in ("e", "unknown")])
    rows = history.matching(encoder="unknown", source="a")
    assert len(rows) == 600
    assert {"source", "target", "recipe", "encoder", "seed", "split", "score", "run_key"} == set(rows[0])
    assert history.remove([row["run_key"] for row in rows]) == 600
    assert {one.encoder for one in history.observations()} == {"e"}
    assert history.matching(encoder="unknown") == []


def test_the_summary_separates_noise_between_seeds_from_differences_between_sources(database_url):
    history = History(database_url)
    history.append([
        *(observation(seed=seed, score=score) for seed, score in enumerate([0.4, 0.6])),
        *(observation(source="z", seed=seed, score=score) for seed, score in enumerate([0.8, 0.9])),
        observation(source=ALONE, score=0.3),
    ])  # fmt: skip
    row = history.summary()[0]
    # squares about the seeds' means: 2 x .1^2 + 2 x .05^2, with two degrees of freedom
    assert row["noise"] == pytest.approx(math.sqrt((2 * 0.01 + 2 * 0.0025) / 2))
    assert (row["sources"], row["runs"], row["alone"], row["best"], row["best source"]) == (2, 4, 0.3, 0.9, "z")


def test_data_sets_of_one_target_name_are_summed_up_apart():
    history = History("sqlite://")
    history.append([observation(score=0.2, target_fingerprint="a" * 64), observation(score=0.8, target_fingerprint="b" * 64)])
    rows = history.summary()
    assert [(row["data"], row["best"]) for row in rows] == [("a" * 8, 0.2), ("b" * 8, 0.8)]
    assert all(math.isnan(row["noise"]) for row in rows)


def test_forty_thousand_observations_are_read_in_seconds(tmp_path):
    history = History(tmp_path / "h.db")
    features = {f"measure_{number}": 0.123456789 * number for number in range(40)}
    columns = [column(name) for name in features]
    history.append([observation(seed=seed, features=features) for seed in range(1_000)], columns)
    with history.engine.begin() as connection:  # the same rows many times over: appending them all would take the test's time
        names = "source, target, recipe, encoder, seed, metric, split, score, hours, device, finished_at, features, versions"
        connection.exec_driver_sql(
            f"INSERT INTO transfercast_observations (run_key, source_fingerprint, target_fingerprint, {names}) "
            f"SELECT o.run_key || '-' || n.value, '', '', {names} FROM transfercast_observations o, "
            "(WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < 39) SELECT * FROM n) n"
        )
    started = time.process_time()
    frames = history.frames()
    seconds = time.process_time() - started
    assert frames.features.shape == frames.versions.shape == (40_000, 40)
    assert frames.versions.to_numpy().min() == 1
    assert seconds < 20, seconds


def test_a_feature_named_like_a_field_of_the_record_is_passed_over_with_a_warning(database_url, caplog):
    history = History(database_url)
    history.append([observation(features={"x": 1.0})])
    with history.engine.begin() as connection:  # as earlier versions let it in
        connection.execute(
            sa.text("""UPDATE transfercast_observations SET features = '{"x": 1.0, "score": 0.9, "baseline": 1}'""")
        )
        connection.execute(sa.text("INSERT INTO transfercast_columns VALUES ('score', 'score', 1, 'higher', 'data')"))
    with caplog.at_level(logging.WARNING):
        frames = history.frames()
    assert list(frames.features) == ["x"]
    assert frames.records.score.tolist() == [0.5]
    assert "1 observations have a feature named like a field" in caplog.text
    assert history.schema() == ()
    assert history.summary()[0]["best"] == 0.5
    assert history.append([observation(seed=1)], [column("y")]) == 1
