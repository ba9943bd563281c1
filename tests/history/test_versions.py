"""A measure's version goes up, and a history measured with the old one stays usable: nothing is mixed, nothing is lost."""

from __future__ import annotations

import json
import logging
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from tests.builders import SCHEMA, past, table_of
from tests.core.test_core import column, observation
from transfercast.cli import app
from transfercast.core.errors import ArtifactError, InputError
from transfercast.core.records import ALONE
from transfercast.core.table import FeatureTable
from transfercast.history import database
from transfercast.history.store import History, opened
from transfercast.history.tables import HEAD, VERSION_TABLE
from transfercast.predictor.data import transfers_of
from transfercast.predictor.predictor import Predictor
from transfercast.retraining import retrain
from transfercast.retraining.retrain import train_meta

OLD = Path(__file__).parents[1] / "artifacts" / "history-0002.db"
"""Written by the code of tables 0002: four targets with four sources, measures of version 1, logme of version 2."""

NEWER = tuple(c.model_copy(update={"version": c.version + 1}) for c in SCHEMA)


@pytest.fixture
def old(tmp_path):
    return Path(shutil.copy(OLD, tmp_path / "old.db"))


def contents(file):
    with sqlite3.connect(file) as connection:
        rows = connection.execute("SELECT run_key, score, features FROM transfercast_observations ORDER BY id").fetchall()
    connection.close()
    return [(key, score, json.loads(features)) for key, score, features in rows]


def test_a_history_of_the_tables_before_is_upgraded_and_learned_from(old, tmp_path):
    before = contents(old)
    history = History(old)
    assert contents(old) == before
    assert len(before) == 4 * 5
    now = history.observations()
    assert [one.run_key for one in now] == [one.identity() for one in now]  # a search still finds what it has run
    assert {json.dumps(one.versions, sort_keys=True) for one in now if one.source != ALONE} == {
        '{"ansat_b_0.20": 1, "logme": 2, "source_score": 1, "target_score": 1}'
    }
    assert train_meta(history, tmp_path / "meta", minutes=0).observations == 16


def test_a_history_of_the_tables_before_is_read_without_changing_it(old):
    before = old.read_bytes()
    reader = opened(old)
    assert len(reader.frames().features) == 20
    reader.engine.dispose()
    assert old.read_bytes() == before
    assert [path.name for path in old.parent.iterdir()] == ["old.db"]


def test_a_database_from_before_migrations_is_taken_over_with_its_observations(old):
    with sqlite3.connect(old) as connection:
        connection.execute(f"DROP TABLE {VERSION_TABLE}")
        connection.execute("DROP INDEX transfercast_by_target")
    connection.close()
    history = History(old)
    assert len(history) == 20
    assert [index["name"] for index in sa.inspect(history.engine).get_indexes("transfercast_observations")] == [
        "transfercast_by_target"
    ]


def test_an_upgrade_that_is_interrupted_leaves_the_old_tables_whole(old, monkeypatch):
    import alembic.command

    upgrade = alembic.command.upgrade

    def killed(*arguments):
        upgrade(*arguments)
        raise KeyboardInterrupt

    before = contents(old)
    with monkeypatch.context() as broken:
        broken.setattr(alembic.command, "upgrade", killed)
        with pytest.raises(KeyboardInterrupt):
            History(old)
    with sqlite3.connect(old) as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(transfercast_observations)")]
        version = connection.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone()
    connection.close()
    assert "versions" not in columns
    assert version == ("0002",)
    assert contents(old) == before
    assert database.version_of(History(old).engine) == HEAD


def test_observations_carry_the_version_that_was_described_when_they_were_made(database_url):
    history = History(database_url)
    history.append([observation(features={"x": 1.0, "y": 1.0})], [column("x")])
    history.describe([column("x").model_copy(update={"version": 2}), column("y").model_copy(update={"version": 5})])
    history.append([observation(seed=1, features={"x": 2.0})])
    history.append([observation(seed=2, features={"x": 3.0}, versions={"x": 1})])  # of a plan made before the upgrade
    history.append([observation(seed=3, features={"x": 4.0})], [column("x")])
    # the first y had no description when it came: it counts as of the version that was described first
    assert [one.versions for one in history.observations()] == [{"x": 1}, {"x": 2}, {"x": 1}, {"x": 1}]
    assert history.frames().versions.fillna(0).to_numpy().tolist() == [[1, 5], [2, 0], [1, 0], [1, 0]]
    assert [(c.name, c.version) for c in history.schema()] == [("x", 2), ("y", 5)]
    history.describe([column("y").model_copy(update={"version": 6})])
    assert history.observations()[0].versions == {"x": 1, "y": 5}


def test_a_lower_version_changes_nothing_and_a_contradiction_in_the_same_is_refused(database_url):
    history = History(database_url)
    history.describe([column("x").model_copy(update={"version": 2}), column("y", better="unknown")])
    history.describe([column("x", better="lower")])
    history.describe([column("y", better="lower")])  # what was unknown is known now
    assert [(c.name, c.version, c.better) for c in history.schema()] == [("x", 2, "higher"), ("y", 1, "lower")]
    for wrong in (column("y"), column("y", better="lower", group="data")):
        with pytest.raises(InputError, match="column 'y' is described as 'lower' of embeddings"):
            history.describe([column("z"), wrong])
    assert len(history.schema()) == 2
    history.describe([column("y")], replace=True)
    assert history.schema()[1].better == "higher"


def test_putting_a_description_right_does_not_make_old_features_new(database_url):
    history = History(database_url)
    history.describe([column("x", better="lower")])
    with history.engine.begin() as connection:  # as a writer of the tables before leaves it
        connection.execute(sa.text(
            "INSERT INTO transfercast_observations (run_key, source, target, recipe, encoder, seed, metric, split, score, "
            "hours, device, finished_at, source_fingerprint, target_fingerprint, features) VALUES ('k', 'a', 'b', 'full', 'e', "
            """0, 'accuracy', 'validation', 0.5, 0.1, '', '', '', '', '{"x": 1.0}')"""
        ))  # fmt: skip
    history.describe([column("x").model_copy(update={"version": 2})], replace=True)
    assert history.frames().versions.x.tolist() == [1]


@pytest.mark.parametrize("name", ["score", "baseline", "versions", "a\0b"])
def test_a_column_that_no_feature_can_be_is_not_described(name):
    with pytest.raises(InputError, match="column"):
        History("sqlite://").describe([column(name)])


def test_features_of_another_version_are_missing_and_the_user_is_told(caplog):
    history = past()
    new = [replace(one, versions={}) for one in past(targets=7, seed=1).observations()[-6:]]
    history.append(new, [c if c.name != "logme" else NEWER[3] for c in SCHEMA])
    with caplog.at_level(logging.WARNING):
        design = transfers_of(history.frames(), history.schema()).candidates
    values = dict(zip([c.name for c in design.schema], design.values.T, strict=True))
    assert np.isnan(values["logme"]).tolist() == [True] * 30 + [False] * 5
    assert not np.isnan(values["source_score"]).any()
    assert {c.name: c.version for c in design.schema}["logme"] == 2
    assert "30 of 35 observed transfers have measures of another version (logme)" in caplog.text
    assert "transfercast history refresh" in caplog.text


@pytest.mark.parametrize("newer", [NEWER, (*SCHEMA[:3], NEWER[3])], ids=["all measures", "one measure"])
def test_after_a_measure_s_version_goes_up_the_history_is_learned_from_and_the_tables_of_today_are_forecast(
    tmp_path, newer, monkeypatch
):
    history, meta = past(8), tmp_path / "meta"
    train_meta(history, meta, minutes=0)
    known = table_of(history, "t0")
    today = FeatureTable(known.frame, newer, known.provenance)
    with pytest.raises(ArtifactError, match="Make the table again, or retrain"):
        Predictor.load(meta).predict(today)
    history.describe(newer)
    monkeypatch.setattr(retrain, "_decide", lambda *_: (False, "worse"))  # also where the champion would stay
    report = train_meta(history, meta, minutes=0)
    assert report.promoted
    assert "cannot read the current versions" in report.reason
    assert np.isfinite(Predictor.load(meta).predict(today).score).all()


def test_measured_anew_a_history_is_as_good_as_before(database_url, caplog):
    history = History(database_url)
    rows = past(4).observations()
    history.append(rows, SCHEMA)
    history.describe(NEWER)
    table = table_of(past(4), "t1")
    frame = table.frame + 1.0
    frame.iloc[0, 3] = np.nan
    assert history.refresh(FeatureTable(frame, NEWER, table.provenance)) == 5
    frames = history.frames()
    chosen = ((frames.records.target == "t1") & (frames.records.source != ALONE)).to_numpy()
    np.testing.assert_allclose(frames.features[chosen], frame)
    assert set(frames.versions[chosen].stack().dropna()) == {2}
    assert set(frames.versions[~chosen].stack().dropna()) == {1}
    assert frames.records.score.tolist() == [one.score for one in rows]
    other = table.provenance.model_copy(update={"encoder": "f"})
    assert history.refresh(FeatureTable(frame, NEWER, other)) == 0


def test_the_commands_put_measures_of_today_over_a_history_of_yesterday(old, tmp_path):
    done = CliRunner().invoke(app, ["train-meta", "--history", str(old), "--out", str(tmp_path / "meta"), "--minutes", "0"])
    assert done.exit_code == 0, done.output
    before = old.read_bytes()
    done = CliRunner().invoke(app, ["evaluate", str(old), "--jobs", "1"])
    assert done.exit_code == 0, done.output
    assert old.read_bytes() == before
    table_of(past(4, 4), "t0").save(tmp_path / "features.parquet")
    refresh = ["history", "refresh", str(tmp_path / "features.parquet"), "--history", str(old)]
    assert "4 observations" in CliRunner().invoke(app, refresh).output


def test_two_data_sets_of_one_target_name_are_not_seeds_of_one():
    history = History("sqlite://")
    history.append([
        observation(score=0.2, target_fingerprint="1" * 64), observation(score=0.4, target_fingerprint="1" * 64, seed=1),
        observation(source="c", score=0.3, target_fingerprint="1" * 64),
        observation(score=0.8, target_fingerprint="2" * 64), observation(score=0.6, source_fingerprint="3" * 64),
    ])  # fmt: skip
    observed = transfers_of(history.frames(), history.schema())
    rows = zip(observed.candidates.sources, observed.candidates.targets, observed.score.round(9), strict=True)
    assert sorted(rows) == [
        ("a", "b", 0.3), ("a", "b (data 222222222222)", 0.8), ("a", "b (data unknown)", 0.6), ("c", "b", 0.3),
    ]  # fmt: skip
    assert len(set(observed.candidates.query_ids)) == 3


@pytest.mark.parametrize(("unnamed", "kept"), [(2, "e"), (6, "unknown"), (0, "e"), (7, "unknown")])
def test_observations_without_an_encoder_never_block_learning(unnamed, kept, caplog):
    history = History("sqlite://")
    history.append([observation(source=f"s{n}", encoder="unknown" if n < unnamed else "e") for n in range(7)])
    with caplog.at_level(logging.WARNING):
        observed = transfers_of(history.frames(), history.schema())
    assert set(observed.candidates.encoder) == {kept}
    assert len(observed) == max(unnamed, 7 - unnamed)
    assert ("are left out" in caplog.text) == (0 < unnamed < 7)
