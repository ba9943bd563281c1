"""A search: baseline first, every step once whatever is killed and however many run, the test rows read once."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import optuna
import pytest

from tests.execution.conftest import FAST, planned
from transfercast.core.errors import InputError
from transfercast.core.records import ALONE, Recipe
from transfercast.execution import worker as worker_module
from transfercast.execution.search import search
from transfercast.history.store import History
from transfercast.sources.encoders import load_tokenizer
from transfercast.sources.finetune import scored
from transfercast.sources.models import load_model
from transfercast.tasks.family import task_of


def test_a_search_runs_the_plan_records_it_and_reports_what_it_found(table, storage):
    made = planned(table, 4)
    result = search(made, storage)
    history = History(storage)
    on_validation = [one for one in history.observations() if one.split == "validation"]
    assert [(one.source, one.target, one.recipe) for one in on_validation] == [
        (step.source, step.target, step.recipe) for step in made.steps
    ]
    assert result.observations == tuple(on_validation)
    assert result.failures == ()
    for target, best in result.bests.items():
        scores = {one.source: one.score for one in on_validation if one.target == target}
        assert best.validation == max(scores.values())
        assert result.baselines[target] == scores[ALONE]
        assert os.listdir(best.model.parent) == [best.model.name]  # only the best model is kept
    assert history.schema() == tuple(sorted(made.columns, key=lambda c: c.name))


def test_the_best_model_and_the_target_alone_are_tested_once_each_and_nothing_else_is(table, storage, monkeypatch):
    trainings = []
    trained = worker_module.fine_tune
    monkeypatch.setattr(worker_module, "fine_tune", lambda *a, **o: trainings.append(a) or trained(*a, **o))
    result = search(planned(table, 4), storage)
    assert len(trainings) == 4  # the targets alone are those that were measured, and no model is made again for its test
    tested = [one for one in History(storage).observations() if one.split == "test"]
    wanted = Counter((best.pair.source, target) for target, best in result.bests.items())
    wanted |= Counter((ALONE, target) for target in result.bests)
    assert Counter((one.source, one.target) for one in tested) == wanted
    score_of = {(one.source, one.target): one.score for one in tested}
    for target, best in result.bests.items():
        assert best.score == score_of[best.pair.source, target]
        assert result.baseline_tests[target] == score_of[ALONE, target]
        task = task_of(table.provenance.targets[target].spec)
        kept = load_model(best.model, task.kind)  # the model that is kept is the one that was tested
        assert scored(kept, load_tokenizer(best.model), task, task.splits["test"], 16) == best.score


def test_each_target_has_a_study_of_its_own_named_with_metric_and_gains(table, storage):
    made = planned(table, 4)
    result = search(made, storage)
    studies = optuna.get_all_study_summaries(storage=storage)
    assert {study.study_name for study in studies} == {f"transfercast-{made.id[:12]}-{target}" for target in made.targets}
    for target in made.targets:
        study = optuna.load_study(study_name=f"transfercast-{made.id[:12]}-{target}", storage=storage)
        assert study.metric_names == ["positive_f1"]
        steps = [step for step in made.steps if step.target == target]
        assert [trial.user_attrs["position"] for trial in study.trials] == [step.position for step in steps]
        assert [trial.params for trial in study.trials] == [{"source": s.source, "recipe": s.recipe} for s in steps]
        assert study.best_value == result.bests[target].validation
        gains = {trial.params["source"]: trial.user_attrs.get("gain") for trial in study.trials}
        assert gains.pop(ALONE) is None
        alone = result.baselines[target]
        assert gains == {t.params["source"]: t.value - alone for t in study.trials if t.params["source"] in gains}


def test_a_study_of_an_earlier_version_is_left_alone(table, storage):
    made = planned(table, 1)
    old = optuna.create_study(study_name=f"transfercast-{made.id[:12]}", storage=storage)
    old.ask()
    search(made, storage)
    assert [trial.state.name for trial in old.trials] == ["RUNNING"]


def test_the_storage_may_be_the_path_of_a_file(table, storage, tmp_path):
    made = planned(table, 1)
    result = search(made, tmp_path / "h.db")
    assert len(History(tmp_path / "h.db")) > len(result.observations) == len(made.steps)
    assert len(optuna.get_all_study_summaries(storage=f"sqlite:///{tmp_path}/h.db")) == len(made.targets)


def test_trials_may_lie_in_another_database_than_observations(table, database_url, tmp_path):
    made = planned(table, 1)
    result = search(made, database_url, history=tmp_path / "own.db", stop="learned")
    assert len(result.observations) + len(result.stopped) == len(made.steps)
    trials = optuna.storages.RDBStorage(database_url.replace("postgresql:", "postgresql+psycopg:"))
    assert sum(study.n_trials for study in optuna.get_all_study_summaries(trials)) == len(made.steps)
    trials.remove_session()
    trials.engine.dispose()


@pytest.mark.parametrize("storage", ["nonsense://x", "sqlite:////dev/null/at/all.db"])
def test_a_storage_that_cannot_be_opened_is_reported_before_any_training(table, tmp_path, storage, monkeypatch):
    monkeypatch.setattr("transfercast.execution.worker.fine_tune", lambda *a, **k: pytest.fail("trained"))
    with pytest.raises(InputError, match=r"Write it as|is not a folder\. Name another place"):
        search(planned(table, 1), storage, history=tmp_path / "h.db")


def test_how_each_training_went_is_kept_with_its_score(table, storage):
    made = planned(table, 4)
    scores = {one.run_key: one.score for one in search(made, storage).observations}
    trainings = History(storage).trainings()
    assert {one.run_key for one in trainings} == set(scores)
    for one in trainings:
        assert (one.ended, len(one.curve), one.why) == ("finished", FAST.epochs, "")
        assert one.curve[one.epoch].score == scores[one.run_key]
        assert one.seconds > sum(epoch.seconds for epoch in one.curve)
        assert one.peak_mb > 50


def test_optuna_has_the_curve_of_every_trial_also_of_those_that_another_plan_ran(table, storage):
    search(planned(table, 3), storage)
    made = planned(table, 4)
    search(made, storage)
    curves = {one.run_key: [epoch.score for epoch in one.curve] for one in History(storage).trainings()}
    key_of = {(o.source, o.target): o.run_key for o in History(storage).observations() if o.split == "validation"}
    for target in made.targets:
        study = optuna.load_study(study_name=f"transfercast-{made.id[:12]}-{target}", storage=storage)
        for trial in study.trials:
            curve = curves[key_of[trial.params["source"], target]]
            assert trial.intermediate_values == dict(enumerate(curve, start=1))


def test_a_score_that_optuna_cannot_take_down_costs_no_training(table, storage, monkeypatch):
    def gone(trial, value, step):
        raise optuna.exceptions.StorageInternalError("gone")

    monkeypatch.setattr(optuna.Trial, "report", gone)
    made = planned(table, 3)
    assert len(search(made, storage).observations) == len(made.steps)


def test_searching_again_trains_nothing(table, storage, monkeypatch):
    first = search(planned(table, 2), storage)
    monkeypatch.setattr("transfercast.execution.worker.fine_tune", lambda *a, **k: pytest.fail("trained again"))
    second = search(planned(table, 2), storage)
    assert second.bests == first.bests


def test_a_larger_plan_takes_over_what_a_smaller_one_found(table, storage):
    search(planned(table, 2), storage)
    before = len(History(storage))
    result = search(planned(table, 3), storage)
    transfers = [one for one in History(storage).observations() if one.source != ALONE and one.split == "validation"]
    assert len(transfers) == 3
    assert all((best.model / "model.safetensors").is_file() for best in result.bests.values())
    assert len(History(storage)) > before


def test_recipes_are_searched_beside_pairs(table, storage):
    made = planned(table, 8, [FAST, Recipe(adaptation="features", max_tokens=16)])
    assert len({step.recipe for step in made.steps}) == 2
    result = search(made, storage)
    assert {one.recipe for one in result.observations} == {step.recipe for step in made.steps}
    assert len(result.observations) == len(made.steps)


def test_a_search_that_was_interrupted_goes_on_in_the_same_process(table, storage, monkeypatch):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    made = planned(table, 2)
    with monkeypatch.context() as patched:
        patched.setattr("transfercast.execution.worker.fine_tune", interrupted)
        with pytest.raises(KeyboardInterrupt):
            search(made, storage)
    assert len(search(made, storage).observations) == len(made.steps)


def test_a_pruner_stops_trials_on_their_learning_curves(table, storage):
    class Always(optuna.pruners.BasePruner):
        def prune(self, study, trial):
            return trial.params["source"] != ALONE

    made = planned(table, 2)
    result = search(made, storage, stop=Always())
    assert {one.source for one in result.observations} == {ALONE}
    assert result.failures == ()
    assert all(math.isnan(best.score) is False for best in result.bests.values())
    ended = {(one.source == ALONE, one.ended, len(one.curve)) for one in History(storage).trainings()}
    assert ended == {(True, "finished", FAST.epochs), (False, "stopped", 1)}


def test_a_plan_whose_pool_or_task_changed_is_refused_before_any_training(table, storage, tmp_path):
    made = planned(table, 1)
    facts = dict(made.provenance.targets)
    target = made.targets[0]
    facts[target] = facts[target].model_copy(update={"fingerprint": "x"})
    changed = made.model_copy(update={"provenance": made.provenance.model_copy(update={"targets": facts})})
    with pytest.raises(InputError, match=f"target '{target}' has changed"):
        search(changed, storage)
    sources = dict.fromkeys(made.provenance.sources, "x")
    changed = made.model_copy(update={"provenance": made.provenance.model_copy(update={"sources": sources})})
    with pytest.raises(InputError, match="has changed since"):
        search(changed, storage)
    assert not (tmp_path / "history.db").exists()


def worker(plan_file, storage):
    command = [sys.executable, "-m", "transfercast", "search", str(plan_file), "--storage", storage, "--device", "cpu"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def trained_once(storage, made):
    observations = History(storage).observations()
    found = Counter((o.source, o.target, o.recipe) for o in observations if o.split == "validation")
    assert found == Counter((step.source, step.target, step.recipe) for step in made.steps)
    tested = Counter((o.source, o.target) for o in observations if o.split == "test")
    assert set(tested.values()) == {1}
    assert {target for source, target in tested if source == ALONE} == set(made.targets)
    names = [f"transfercast-{made.id[:12]}-{target}" for target in made.targets]
    trials = [trial for name in names for trial in optuna.load_study(study_name=name, storage=storage).trials]
    complete = [t.user_attrs["position"] for t in trials if t.state.name == "COMPLETE"]
    assert sorted(complete) == [step.position for step in made.steps]
    assert {trial.state.name for trial in trials} <= {"COMPLETE", "FAIL"}


def test_a_search_killed_at_any_moment_repeats_nothing_and_loses_nothing(table, storage, tmp_path):
    made = planned(table, 6)
    made.save(tmp_path / "plan.json")
    for wanted in (1, 4):
        process = worker(tmp_path / "plan.json", storage)
        while process.poll() is None:
            if (tmp_path / "history.db").exists() and len(History(storage)) >= wanted:
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.01)
        process.communicate()
    before = {o.run_key: o.finished_at for o in History(storage).observations()}
    process = worker(tmp_path / "plan.json", storage)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    trained_once(storage, made)
    after = {o.run_key: o.finished_at for o in History(storage).observations()}
    assert before.items() <= after.items()


def test_several_processes_share_one_plan(table, storage, tmp_path):
    made = planned(table, 6)
    made.save(tmp_path / "plan.json")
    workers = [worker(tmp_path / "plan.json", storage) for _ in range(3)]
    outputs = [process.communicate(timeout=180)[0] for process in workers]
    assert [process.returncode for process in workers] == [0, 0, 0], outputs
    trained_once(storage, made)


START = """
import sys, time
from pathlib import Path
from transfercast.core.plan import Plan
from transfercast.execution.study import TrialRecord
from transfercast.history.store import History
folder = Path(sys.argv[1])
plan = Plan.load(folder / "plan.json")
(folder / f"ready-{sys.argv[2]}").touch()
while len(list(folder.glob("ready-*"))) < 3:
    time.sleep(0.001)
for number in range(6):
    url = f"sqlite:///{folder}/{number}.db"
    History(url).describe(plan.columns)
    TrialRecord(plan, url)
"""


def test_workers_that_start_at_once_on_a_new_database_do_not_collide(table, tmp_path):
    planned(table, 1).save(tmp_path / "plan.json")
    command = [sys.executable, "-c", START, str(tmp_path)]
    workers = [subprocess.Popen([*command, str(n)], stderr=subprocess.PIPE, text=True) for n in range(3)]
    told = [process.communicate(timeout=120)[1] for process in workers]
    assert [process.returncode for process in workers] == [0, 0, 0], told


@pytest.mark.parametrize("ours_first", [True, False])
def test_our_tables_and_optuna_s_share_a_database_in_either_order(tmp_path, storage, ours_first):
    url = f"sqlite:///{tmp_path}/shared.db"
    steps = [lambda: History(url).append([]), lambda: optuna.create_study(storage=url, study_name="s", load_if_exists=True)]
    for step in steps if ours_first else steps[::-1]:
        step()
    assert len(History(url)) == 0
    assert optuna.load_study(study_name="s", storage=url).trials == []


def test_a_transfer_that_the_plan_has_as_done_elsewhere_is_not_trained_again(table, storage):
    made = planned(table, 2)
    last = made.steps[-1]
    elsewhere = made.model_copy(update={"steps": (*made.steps[:-1], last.model_copy(update={"done": True, "score": 0.9}))})
    result = search(elsewhere, storage)
    trained = {(one.source, one.target) for one in History(storage).observations() if one.split == "validation"}
    assert trained == {tuple(step.pair) for step in made.steps[:-1]}
    assert result.failures == ()
