"""The command `transfercast search`: events for scripts, figures, and learning from what was found."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from tests.execution.conftest import planned
from transfercast.cli import app
from transfercast.cli import search as command
from transfercast.core.records import ALONE


@pytest.fixture
def run(table, storage, tmp_path):
    planned(table, 3).save(tmp_path / "plan.json")
    return lambda *options: CliRunner().invoke(
        app, ["search", str(tmp_path / "plan.json"), "--storage", storage, *map(str, options)]
    )


def test_json_tells_each_event_in_a_line_as_it_happens_and_the_result_at_the_end(run):
    done = run("--json")
    assert done.exit_code == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    events = [line for line in lines if "event" in line]
    assert lines[: len(events)] == events
    trials = [line for line in lines[len(events) :] if "trial" in line]
    assert {event["event"] for event in events} == {"started", "epoch", "finished"}
    finished = {(one["source"], one["target"]): one["score"] for one in events if one["event"] == "finished"}
    assert finished == {(one["source"], one["target"]): one["score"] for one in trials}


def test_then_retrain_learns_from_the_history_of_the_search(run, storage, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(command, "train_meta", lambda *given, **options: calls.append((given, options)))
    done = run("--then-retrain", tmp_path / "meta")
    assert done.exit_code == 0, done.stderr
    assert calls == [((storage, tmp_path / "meta"), {"as_json": False})]
    assert "Next: transfercast train-meta" not in done.stdout
    assert "Next: transfercast train-meta" in run().stdout


def test_what_was_stopped_is_told_after_the_trials(run):
    done = run("--stop", "learned", "--stop-level", 1)
    assert done.exit_code == 0, done.stderr
    assert "stopped after 1 of 2 epochs" in done.stdout
    assert ALONE in done.stdout


@pytest.mark.parametrize(
    ("options", "told"),
    [(["--plot", "x.txt"], ".svg, .png, .pdf"), (["--stop", "early"], "learned"), (["--stop-level", 2], "less than or equal")],
)
def test_options_that_mean_nothing_are_refused_before_any_training(run, options, told):
    done = run(*options)
    assert done.exit_code == 2
    assert told in done.stderr
