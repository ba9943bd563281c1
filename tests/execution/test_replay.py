"""The benchmark of stopping: recorded trainings replayed under a pruner cost what they would have cost."""

from __future__ import annotations

import optuna
import pytest

from benchmarks.search_stops import Recorded, level_of, replay
from transfercast.core.records import ALONE
from transfercast.execution.rises import Rises
from transfercast.execution.stopping import LearnedPruner

STEADY = Rises(mean=(0.0,) * 11, between=(0.0,) * 11, within=(0.05,) * 11)


def recorded(source, scores, end, hours, forecast=0.7):
    return Recorded("t", source, scores, (1.0,) * len(scores), end, hours, forecast=forecast, spread=0.3)


TRIALS = [
    recorded(ALONE, (0.3, 0.5), 0.5, 1.0),
    recorded("bad", (0.1, 0.2, 0.2, 0.2), 0.2, 4.0),
    recorded("good", (0.6, 0.8), 0.8, 2.0),
    recorded("late", (0.1, 0.1, 0.1, 0.802), 0.802, 8.0),
]


def test_without_stops_all_hours_are_paid_and_the_best_is_reached_where_it_stands():
    outcome = replay(TRIALS, optuna.pruners.NopPruner())
    assert (outcome.hours, outcome.in_all, outcome.regret) == (7.0, 15.0, 0.0)  # 0.8 is within 1 % of 0.802


def test_a_stopped_training_costs_its_epochs_and_what_it_would_have_reached_is_lost():
    outcome = replay(TRIALS, LearnedPruner(STEADY, 0.05))
    assert outcome.hours == pytest.approx(1 + 1 + 2)
    assert outcome.in_all == pytest.approx(1 + 1 + 2 + 2)
    assert outcome.regret == pytest.approx(100 * 0.002 / 0.802)


def test_who_loses_the_best_pays_the_whole_plan():
    class Everything(optuna.pruners.BasePruner):
        def prune(self, study, trial):
            return True

    outcome = replay(TRIALS, Everything())
    assert (outcome.hours, outcome.regret) == (15.0, pytest.approx(100 * 0.302 / 0.802))
    assert outcome.in_all == pytest.approx(1 + 1 + 1 + 2)


def test_the_level_is_the_highest_that_loses_little_on_the_targets_asked_for():
    lost = {0.01: {"a": 0.0, "b": 0.0}, 0.05: {"a": 0.04, "b": 0.0}, 0.2: {"a": 0.0, "b": 0.9}}
    assert level_of(lost, ["a", "b"]) == 0.05
    assert level_of(lost, ["a"]) == 0.2
    assert level_of({0.1: {"a": 1.0}, 0.2: {"a": 2.0}}, ["a"]) == 0.1
