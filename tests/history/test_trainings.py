"""How trainings went is kept beside the observations: epoch by epoch, and what ended them."""

from __future__ import annotations

import json
import shutil

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from tests.core.test_core import observation
from tests.history.test_versions import OLD
from transfercast.cli import app
from transfercast.core.errors import ArtifactError
from transfercast.core.trainings import EpochRecord, TrainingRecord
from transfercast.history.store import History
from transfercast.history.trainings import MOST_WHY

CURVE = (EpochRecord(0.25, 0.7, 1.5), EpochRecord(0.75, None, 1.25, 0.875))
RUN = {"source": "a", "target": "x", "recipe": "full", "encoder": "offline", "seed": 2**32 - 1}
FINISHED = TrainingRecord(
    run_key="k1", **RUN, ended="finished", curve=CURVE, epoch=1, seconds=3.5, peak_mb=812.5, device="cpu",
    finished_at="2026-01-01T00:00:00+00:00",
)  # fmt: skip
FAILED = TrainingRecord(run_key="k2", **RUN, ended="failed", why="out of memory", curve=CURVE[:1])


def test_trainings_come_back_as_they_went_in_their_order_and_of_one_target(database_url):
    history = History(database_url)
    other = TrainingRecord(run_key="k3", **{**RUN, "target": "y"}, ended="stopped")
    for one in (FINISHED, FAILED, other):
        history.note(one)
    assert history.trainings() == [FINISHED, FAILED, other]
    assert history.trainings(target="x") == [FINISHED, FAILED]
    assert len(history) == 0  # none of them is an observation


def test_a_training_that_is_tried_again_has_a_row_for_every_time(database_url):
    history = History(database_url)
    for _ in range(2):
        history.note(FAILED)
    assert history.trainings() == [FAILED, FAILED]


def test_a_long_reason_with_terminal_codes_is_cut_and_escaped(database_url):
    history = History(database_url)
    history.note(TrainingRecord(run_key="k", **RUN, ended="failed", why="\x1b[31m" + "x" * 1000))
    (kept,) = history.trainings()
    assert len(kept.why) == MOST_WHY
    assert "\x1b" not in kept.why


def test_a_run_that_is_removed_takes_how_it_went_with_it():
    history = History("sqlite://")
    seen = observation()
    history.append([seen])
    history.note(TrainingRecord(run_key=seen.run_key, **RUN, ended="finished"))
    history.note(FAILED)
    assert history.remove([seen.run_key]) == 1
    assert history.trainings() == [FAILED]


@pytest.mark.parametrize(
    "change", ["curve = '[[1]]'", "curve = 'x'", "ended = 'burnt'", "seconds = 'x'", "epoch = 1", "epoch = -1"]
)
def test_a_damaged_row_is_named(change):
    history = History("sqlite://")
    history.note(FAILED)
    with history.engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE transfercast_trainings SET {change}"))
    with pytest.raises(ArtifactError, match=r"'a' -> 'x' is damaged.*remove --run-key k2"):
        history.trainings()


def test_a_history_of_earlier_tables_has_no_trainings_yet_and_takes_them(tmp_path):
    history = History(shutil.copy(OLD, tmp_path / "old.db"))
    assert history.trainings() == []
    history.note(FINISHED)
    assert history.trainings() == [FINISHED]


def test_the_command_shows_curves_with_the_epoch_that_was_kept(tmp_path):
    place = tmp_path / "h.db"
    history = History(place)
    for one in (FINISHED, FAILED):
        history.note(one)
    shown = CliRunner().invoke(app, ["history", "trainings", "--history", str(place)])
    assert shown.exit_code == 0, shown.output
    assert "0.250 0.750*" in shown.stdout
    assert "0.875" in shown.stdout
    assert "out of memory" in shown.stdout
    told = CliRunner().invoke(app, ["history", "trainings", "--history", str(place), "--json"]).stdout.splitlines()
    assert json.loads(told[0])["curve"][1] == {"score": 0.75, "loss": None, "seconds": 1.25, "average_precision": 0.875}
    nothing = CliRunner().invoke(app, ["history", "trainings", "--history", str(place), "--target", "z"])
    assert "No training yet." in nothing.stdout


def test_curves_are_exported_a_row_an_epoch_and_counted_by_show(tmp_path):
    history = History(tmp_path / "h.db")
    history.append([observation()])
    for one in (FINISHED, FAILED):
        history.note(one)
    file, curves = tmp_path / "all.csv", tmp_path / "curves.csv"
    place = ["--history", str(tmp_path / "h.db")]
    told = CliRunner().invoke(app, ["history", "export", str(file), "--curves", str(curves), *place])
    assert "3 epochs in" in told.stdout
    assert curves.read_text().splitlines() == [
        "run_key,ended,epoch,score,loss,seconds,average_precision",
        "k1,finished,0,0.25,0.7,1.5,",
        "k1,finished,1,0.75,,1.25,0.875",
        "k2,failed,0,0.25,0.7,1.5,",
    ]
    assert "learning curves: 1 finished, 1 failed" in CliRunner().invoke(app, ["history", "show", *place]).stdout
