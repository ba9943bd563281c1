"""Stopping: trials that are unlikely to end above the best of their target, and Optuna's own pruners by name."""

from __future__ import annotations

import math

import optuna
import pytest
from optuna.trial import TrialState

from tests.execution.conftest import FAST, planned
from transfercast.core.records import ALONE
from transfercast.core.trainings import EpochRecord, TrainingRecord
from transfercast.execution.rises import Rises, shipped
from transfercast.execution.search import search
from transfercast.execution.stopping import LearnedPruner, curves_of, pruner_of
from transfercast.history.store import History

STEADY = Rises(mean=(0.0,) * 11, between=(0.0,) * 11, within=(0.05,) * 11)
"""Nothing rises, but for a little."""

UNKNOWN = Rises(mean=(0.0,) * 11, between=(0.0,) * 11, within=(10.0,) * 11)
"""Anything may come, so that no end is certain."""


def asked(pruner, so_far, ended=(), **attributes):
    """What a pruner says of a running trial of ten epochs, beside ended trials of a curve and an end."""
    study = optuna.create_study(direction="maximize")
    for curve, end in ended:
        values = dict(enumerate(curve, start=1))
        study.add_trial(optuna.trial.create_trial(state=TrialState.COMPLETE, value=end, intermediate_values=values))
    running = optuna.trial.create_trial(
        state=TrialState.RUNNING,
        intermediate_values=dict(enumerate(so_far, start=1)),
        user_attrs={"epochs": 10, **attributes},
    )
    return pruner.prune(study, running)


def test_a_trial_is_stopped_where_it_is_unlikely_to_end_above_what_is_in_hand():
    pruner = LearnedPruner(STEADY, 0.05)
    best = [((0.5, 0.8), 0.8)]
    assert asked(pruner, [0.4], best)
    assert not asked(pruner, [0.8], best)
    assert not asked(pruner, [0.4])  # nothing is in hand
    assert not asked(pruner, [], best)
    assert not asked(LearnedPruner(STEADY, 0.0), [0.4], best)
    assert asked(LearnedPruner(STEADY, 1.0), [0.79], best)


def test_a_high_forecast_keeps_a_trial_and_curves_of_its_target_that_rose_late_do_so_too():
    uncertain = Rises(mean=(0.0,) * 11, between=(0.2,) * 11, within=(0.05,) * 11)
    best = [((0.8, 0.8), 0.8)]
    assert not asked(LearnedPruner(uncertain, 0.05), [0.6], best, forecast=0.9, spread=0.02)
    assert asked(LearnedPruner(uncertain, 0.05), [0.6], best, forecast=0.9, spread=1.0)
    late = [((0.3,) * 9 + (0.8,), 0.8)] * 3
    early = [((0.8,) * 10, 0.8)] * 3
    assert not asked(LearnedPruner(uncertain, 0.05), [0.4], late)
    assert asked(LearnedPruner(uncertain, 0.05), [0.4], early)


@pytest.mark.parametrize("stop", ["learned", "median", "halving", "hyperband", "none"])
def test_every_name_has_a_pruner_that_runs_in_a_search(table, storage, stop):
    made = planned(table, 4)
    result = search(made, storage, stop=stop)
    assert len(result.observations) + len(result.stopped) == len(made.steps)
    assert not result.failures
    if stop == "none":
        assert not result.stopped


def test_a_stopped_trial_is_told_with_its_curve_and_is_no_score(table, storage):
    made = planned(table, 4)
    never = LearnedPruner(UNKNOWN, 1.0)
    result = search(made, storage, stop=never)
    assert {one.step.source for one in result.stopped} == {step.source for step in made.steps} - {ALONE}
    for one in result.stopped:
        assert (len(one.scores), one.epochs) == (1, FAST.epochs)
        assert str(one).endswith(f"stopped after 1 of 2 epochs at {one.scores[0]:.3f}")
    history = History(storage)
    assert {one.source for one in history.observations()} == {ALONE}
    kept = {(one.source, one.target): tuple(epoch.score for epoch in one.curve) for one in history.trainings(ended="stopped")}
    assert kept == {(one.step.source, one.step.target): one.scores for one in result.stopped}
    assert search(made, storage, stop=never).stopped == result.stopped  # and is not trained again


def test_a_training_that_went_to_its_end_after_all_is_not_told_as_stopped(table, storage):
    made = planned(table, 4)
    search(made, storage, stop=LearnedPruner(UNKNOWN, 1.0))
    with History(storage).engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM transfercast_steps")
    result = search(made, storage)
    assert not result.stopped
    assert len(result.observations) == len(made.steps)


def test_learned_rests_on_the_history_s_curves_where_they_are_enough_else_on_those_that_are_shipped():
    assert pruner_of("learned").rises == shipped()
    trainings = [
        TrainingRecord(
            run_key=str(number), source="s", target=f"t{number % 5}", recipe="full", encoder="e", seed=0, ended="finished",
            curve=(EpochRecord(0.2, None, 1.0), EpochRecord(0.6, None, 1.0), EpochRecord(0.5, None, 1.0)), epoch=1,
        )
        for number in range(40)
    ]  # fmt: skip
    learned = pruner_of("learned", 0.1, trainings)
    assert (learned.level, learned.rises.curves) == (0.1, 40)
    assert learned.rises.at(1 / 3)[0] == pytest.approx(0.5)
    assert math.isclose(learned.rises.at(1.0)[0], 0.0)
    stopped = [TrainingRecord(run_key="k", source="s", target="t", recipe="full", encoder="e", seed=0, ended="stopped")]
    assert not list(curves_of(stopped))
