"""What a search tells while it runs: to functions, to a terminal, and to MLflow and Weights & Biases."""

from __future__ import annotations

import io
import math
import sys
from types import ModuleType, SimpleNamespace

import joblib
import pytest
from rich.console import Console

from tests.execution.conftest import FAST, planned
from tests.execution.test_failures import failing
from transfercast.core.errors import MissingExtraError
from transfercast.core.records import ALONE
from transfercast.execution.events import TrialEvent
from transfercast.execution.live import LiveTable, shown_live
from transfercast.execution.search import search
from transfercast.execution.trackers import MlflowTracker, WandbTracker


def event(what, epoch=0, score=math.nan, **changes):
    known = {"trial": 7, "position": 1, "source": "s", "target": "t", "recipe": "full", "epochs": 2, "forecast": 0.6}
    return TrialEvent(what=what, epoch=epoch, score=score, **{**known, "best": math.nan, **changes})


def test_each_trial_is_told_from_its_start_over_its_epochs_to_its_end(table, storage):
    made, heard = planned(table, 3), []
    result = search(made, storage, on_trial=heard.append)
    for training in result.trainings:
        own = [one for one in heard if one.position == training.step.position]
        assert [one.what for one in own] == ["started", *["epoch"] * FAST.epochs, "finished"]
        assert [one.epoch for one in own[1:-1]] == list(range(1, FAST.epochs + 1))
        assert (own[-1].source, own[-1].target) == training.step.pair
        assert own[-1].score == training.observation.score
        assert max(one.score for one in own[1:-1]) == own[-1].score
    for target, best in result.bests.items():
        assert [one.best for one in heard if one.target == target][-1] == best.validation
    heard.clear()
    search(made, storage, on_trial=heard.append)
    assert heard == []  # what was there before is no news


def test_trials_of_other_processes_are_told_too_and_several_functions_hear_them(table, tmp_path):
    made, one, other = planned(table, 3), [], []
    with joblib.parallel_config("loky", n_jobs=2):
        search(made, tmp_path / "h.db", on_trial=[one.append, other.append])
    assert one == other
    ended = [heard.position for heard in one if heard.what == "finished"]
    assert sorted(ended) == [step.position for step in made.steps]


def test_a_failure_is_told_with_its_cause_and_a_function_that_fails_costs_no_training(table, storage, monkeypatch, caplog):
    made, heard, calls = planned(table, 3), [], []
    victim = made.steps[-1]
    failing(monkeypatch, OSError(28, "No space left on device"), victim.source, victim.target)

    def broken(one):
        calls.append(one)
        raise ValueError("a user's mistake")

    result = search(made, storage, on_trial=[broken, heard.append])
    assert len(result.observations) == len(made.steps) - 1
    assert [(one.position, one.cause) for one in heard if one.what == "failed"] == [
        (victim.position, "OSError: No space left on device")
    ]
    assert len(calls) == 1
    assert "a user's mistake" in caplog.text


def test_an_event_is_plain_values_for_scripts():
    assert event("started").as_json() == {
        "event": "started", "trial": 7, "position": 1, "source": "s", "target": "t", "recipe": "full", "epoch": 0, "epochs": 2,
        "score": None, "forecast": 0.6, "best": None, "seed": 0, "cause": "",
    }  # fmt: skip


def test_a_terminal_shows_what_runs_the_best_in_hand_and_what_is_left(table):
    made = planned(table, 3)
    live, step = LiveTable(made), made.steps[-1]
    about = {"position": step.position, "source": step.source, "target": step.target}
    live(event("started", **about))
    live(event("epoch", 1, 0.25, **about))
    shown = printed(live)
    assert step.source in shown
    assert "1/2" in shown
    assert "0.250" in shown
    assert "0.600" in shown
    assert "no trial has ended; 1 running" in shown
    live(event("finished", 2, 0.75, best=0.75, **about))
    shown = printed(live)
    assert "1 finished; 0 running" in shown
    assert "0.750" in shown
    assert "1/2" not in shown


def test_the_live_table_takes_the_place_of_progress_and_goes_when_the_search_ends(table, storage):
    made, out = planned(table, 2), io.StringIO()
    live = LiveTable(made)
    with shown_live(live, Console(file=out, force_terminal=True, width=120)):
        search(made, storage, on_trial=live)
    assert "best so far" in out.getvalue()
    assert f"{len(made.steps)} finished; 0 running" in printed(live)


def printed(renderable):
    console = Console(file=io.StringIO(), width=120)
    console.print(renderable)
    return console.file.getvalue()


STORY = [event("started"), event("epoch", 1, 0.25), event("epoch", 2, 0.5), event("finished", 2, 0.5, best=0.5)]


class Mlflow:
    """A stand-in for MLflow's client that keeps what it is told."""

    def __init__(self, tracking_uri=None):
        self.calls = []

    def get_experiment_by_name(self, name):
        return None

    def create_experiment(self, name):
        return f"id of {name}"

    def create_run(self, experiment, run_name):
        self.calls.append(("run", experiment, run_name))
        return SimpleNamespace(info=SimpleNamespace(run_id="r"))

    def log_param(self, run, key, value):
        self.calls.append(("param", key, value))

    def log_metric(self, run, key, value, step=None):
        self.calls.append((key, value, step))

    def set_tag(self, run, key, value):
        self.calls.append((key, value))

    def set_terminated(self, run, status):
        self.calls.append((run, status))


def test_mlflow_has_a_run_a_trial_with_its_curve_and_its_end(monkeypatch):
    module = ModuleType("mlflow")
    module.MlflowClient = Mlflow
    monkeypatch.setitem(sys.modules, "mlflow", module)
    tracker = MlflowTracker("ours")
    for one in STORY:
        tracker(one)
    calls = tracker._client.calls
    assert calls[0] == ("run", "id of ours", "s to t")
    assert ("param", "forecast", 0.6) in calls
    assert calls[-4:] == [("score", 0.25, 1), ("score", 0.5, 2), ("final_score", 0.5, None), ("r", "FINISHED")]
    tracker(event("epoch", 1, 0.1, trial=8))  # of a trial that it never saw begin
    assert tracker._client.calls is calls
    for what, status in (("failed", "FAILED"), ("stopped", "KILLED")):
        tracker(event("started"))
        tracker(event(what, cause="out of memory"))
        assert calls[-2:] == [("cause", "out of memory"), ("r", status)]


class Run:
    """A stand-in for a run of Weights & Biases."""

    def __init__(self, **options):
        self.options, self.logged, self.summary, self.code = options, [], {}, None

    def log(self, values, step):
        self.logged.append((values, step))

    def finish(self, exit_code):
        self.code = exit_code


def test_weights_and_biases_has_a_run_a_trial_with_its_curve_and_its_end(monkeypatch):
    runs = []
    module = ModuleType("wandb")
    module.init = lambda **options: runs.append(Run(**options)) or runs[-1]
    monkeypatch.setitem(sys.modules, "wandb", module)
    tracker = WandbTracker(entity="team")
    for one in [*STORY, event("started"), event("failed", cause="x")]:
        tracker(one)
    first, second = runs
    assert {"project": "transfercast", "entity": "team", "name": "s to t", "group": "t"}.items() <= first.options.items()
    assert first.options["config"] == {
        "source": "s",
        "target": "t",
        "recipe": "full",
        "position": 1,
        "seed": 0,
        "forecast": 0.6,
    }
    assert first.logged == [({"score": 0.25}, 1), ({"score": 0.5}, 2)]
    assert (first.summary, first.code) == ({"ended": "finished", "cause": "", "final_score": 0.5}, 0)
    assert (second.summary, second.code) == ({"ended": "failed", "cause": "x"}, 1)


@pytest.mark.parametrize(("tracker", "name"), [(MlflowTracker, "mlflow"), (WandbTracker, "wandb")])
def test_a_tracker_whose_package_is_missing_says_what_to_install(monkeypatch, tracker, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=f"pip install {name}"):
        tracker()


def test_the_target_alone_has_no_forecast_to_be_told(table, storage):
    heard = []
    search(planned(table, 1), storage, on_trial=heard.append)
    assert all(math.isnan(one.forecast) for one in heard if one.source == ALONE)
