"""The history keeps each run once, under several writers, and tells what is wrong with a file by row."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.core.test_core import column, observation
from transfercast.core.errors import InputError
from transfercast.core.records import ALONE
from transfercast.history.store import History


def test_the_same_run_is_kept_once(tmp_path):
    history = History(tmp_path / "h.db")
    assert history.append([observation(), observation(seed=1)]) == 2
    assert history.append([observation(score=0.9), observation(seed=2)]) == 1
    assert [one.score for one in history.observations()] == [0.5, 0.5, 0.5]
    assert history.find(observation().run_key).seed == 0
    assert history.find("nothing") is None


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


def test_a_csv_comes_back_as_it_was_written(tmp_path):
    history = History("sqlite://")
    history.append([observation(features={"x": 0.25}), observation(source=ALONE)])
    history.export_csv(tmp_path / "out.csv")
    other = History("sqlite://")
    assert other.import_csv(tmp_path / "out.csv") == 2
    assert other.observations() == history.observations()
    assert other.import_csv(tmp_path / "out.csv") == 0


def test_a_wrong_csv_is_told_by_row_and_nothing_is_kept(tmp_path):
    path = tmp_path / "in.csv"
    path.write_text("source,target,score,logme\na,b,0.5,1\na,c,high,1\n,d,0.5,1\na,e,1.5,1\na,f,0.5,x\n")
    history = History("sqlite://")
    with pytest.raises(InputError) as caught:
        history.import_csv(path)
    message = str(caught.value)
    for part in ("row 3: score is 'high'", "row 4: source is empty", "row 5: score 1.5 is outside", "row 6: logme is 'x'"):
        assert part in message
    assert len(history) == 0
    path.write_text("source,target\na,b\n")
    with pytest.raises(InputError, match="no column 'score'"):
        history.import_csv(path)


def test_a_database_that_cannot_be_opened_is_told():
    with pytest.raises(InputError, match=r"Write it as sqlite:///history\.db"):
        History("nonsense://x")
    with pytest.raises(InputError, match="Write it as"):
        History("sqlite:////no/such/folder/h.db")
