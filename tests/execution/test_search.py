"""A search: baseline first, every step once whatever is killed and however many run, the test rows read once."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace

import optuna
import pytest

from transfercast.core.cache import ArrayCache
from transfercast.core.errors import InputError, TransfercastError
from transfercast.core.plan import Budget
from transfercast.core.records import ALONE, Recipe
from transfercast.execution import claims
from transfercast.execution.search import search
from transfercast.features.extract import extract_features
from transfercast.history.store import History
from transfercast.planning.order import plan
from transfercast.predictor.model import Predictor
from transfercast.sources.pool import SourcePool
from transfercast.tasks.family import read_family

FAST = Recipe(learning_rate=1e-2, epochs=2, batch_size=8, max_tokens=16)


@pytest.fixture(scope="module")
def measured(tmp_path_factory, family_toml, tiny_encoder):
    folder = tmp_path_factory.mktemp("measured")
    family = read_family(family_toml)
    pool = SourcePool.fit(folder / "pool", family.sources, encoder=str(tiny_encoder), recipe=FAST)
    return extract_features(pool, family.targets, recipe=FAST, documents=2, cache=ArrayCache(folder / "cache"))


@pytest.fixture
def table(measured, tmp_path):
    """The table on a copy of its pool, so that no test finds the models of another."""
    shutil.copytree(measured.provenance.pool, tmp_path / "pool")
    return replace(measured, provenance=measured.provenance.model_copy(update={"pool": str(tmp_path / "pool")}))


def planned(table, trials, recipes=None):
    table = table if recipes is None else table.with_recipes(recipes)
    return plan(Predictor.load(), table, Budget(trials=trials))


def test_a_search_runs_the_plan_records_it_and_tells_what_it_bought(table, tmp_path):
    made = planned(table, 4)
    storage = f"sqlite:///{tmp_path}/history.db"
    result = search(made, storage)
    history = History(storage)
    on_validation = [one for one in history.observations() if one.split == "validation"]
    assert len(on_validation) == len(made.steps) == 4 + len(made.targets)
    assert [one.source for one in on_validation[: len(made.targets)]] == [ALONE] * len(made.targets)
    assert Counter(one.target for one in history.observations() if one.split == "test") == Counter(made.targets)
    for target, best in result.bests.items():
        reached = [one.score for one in on_validation if one.target == target]
        assert best.validation == max(reached)
        assert best.score == best.score  # the test score is there
        assert os.listdir(best.model.parent) == [best.model.name]  # only the best model is kept
        assert (best.model / "model.safetensors").is_file()
    assert result.gain_over_baseline >= 0
    study = optuna.load_study(study_name=None, storage=storage)
    assert Counter(trial.state.name for trial in study.trials) == Counter(COMPLETE=len(made.steps))
    by_step = {t.user_attrs["position"]: t for t in study.trials}
    assert [(by_step[s.position].params["source"], by_step[s.position].params["target"]) for s in made.steps] == [
        tuple(step.pair) for step in made.steps
    ]
    assert history.schema() == tuple(sorted(made.columns, key=lambda c: c.name))


def test_searching_again_trains_nothing(table, tmp_path, monkeypatch):
    storage = f"sqlite:///{tmp_path}/history.db"
    first = search(planned(table, 2), storage)
    monkeypatch.setattr("transfercast.execution.search.fine_tune", lambda *a, **k: pytest.fail("trained again"))
    second = search(planned(table, 2), storage)
    assert second.bests == first.bests


def test_a_larger_plan_takes_over_what_a_smaller_one_found(table, tmp_path):
    storage = f"sqlite:///{tmp_path}/history.db"
    search(planned(table, 2), storage)
    before = len(History(storage))
    result = search(planned(table, 3), storage)
    transfers = [one for one in History(storage).observations() if one.source != ALONE and one.split == "validation"]
    assert len(transfers) == 3
    assert all((best.model / "model.safetensors").is_file() for best in result.bests.values())
    assert len(History(storage)) > before


def test_recipes_are_searched_beside_pairs(table, tmp_path):
    made = planned(table, 3, [FAST, FAST.model_copy(update={"adaptation": "features"})])
    result = search(made, f"sqlite:///{tmp_path}/history.db")
    assert {one.recipe for one in result.observations} <= {step.recipe for step in made.steps}
    assert len(result.observations) == len(made.steps)


def test_a_step_that_fails_is_told_and_the_rest_goes_on(table, tmp_path, monkeypatch, caplog):
    from transfercast.execution import search as module

    made = planned(table, 3)
    victim = made.steps[-1]
    trained = module.fine_tune

    def broken(task, checkpoint, *args, **options):
        if checkpoint.name == victim.source and task.name == victim.target:
            raise RuntimeError("out of memory")
        return trained(task, checkpoint, *args, **options)

    monkeypatch.setattr(module, "fine_tune", broken)
    result = search(made, f"sqlite:///{tmp_path}/history.db")
    assert result.failed == (victim.position,)
    assert "out of memory" in caplog.text
    assert len(result.observations) == len(made.steps) - 1
    monkeypatch.setattr(module, "fine_tune", trained)
    again = search(made, f"sqlite:///{tmp_path}/history.db")
    assert again.failed == ()
    assert len(again.observations) == len(made.steps)


def test_a_search_that_was_interrupted_goes_on_in_the_same_process(table, tmp_path, monkeypatch):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    made = planned(table, 2)
    with monkeypatch.context() as patched:
        patched.setattr("transfercast.execution.search.fine_tune", interrupted)
        with pytest.raises(KeyboardInterrupt):
            search(made, f"sqlite:///{tmp_path}/history.db")
    assert len(search(made, f"sqlite:///{tmp_path}/history.db").observations) == len(made.steps)


def test_a_target_whose_baseline_fails_ends_in_a_clear_error(table, tmp_path, monkeypatch):
    def broken(*args, **options):
        raise RuntimeError("disk full")

    monkeypatch.setattr("transfercast.execution.search.fine_tune", broken)
    monkeypatch.setattr(SourcePool, "found_alone", lambda *a: None)
    with pytest.raises(TransfercastError, match="trained alone failed"):
        search(planned(table, 1), f"sqlite:///{tmp_path}/history.db")


def test_a_pruner_stops_trials_on_their_learning_curves(table, tmp_path):
    class Always(optuna.pruners.BasePruner):
        def prune(self, study, trial):
            return trial.params["source"] != ALONE

    made = planned(table, 2)
    result = search(made, f"sqlite:///{tmp_path}/history.db", pruner=Always())
    assert {one.source for one in result.observations} == {ALONE}
    assert result.failed == ()


def test_a_plan_whose_pool_or_task_changed_is_refused_before_any_training(table, tmp_path):
    made = planned(table, 1)
    facts = dict(made.provenance.targets)
    target = made.targets[0]
    facts[target] = facts[target].model_copy(update={"fingerprint": "x"})
    changed = made.model_copy(update={"provenance": made.provenance.model_copy(update={"targets": facts})})
    with pytest.raises(InputError, match=f"target '{target}' has changed"):
        search(changed, f"sqlite:///{tmp_path}/history.db")
    sources = dict.fromkeys(made.provenance.sources, "x")
    changed = made.model_copy(update={"provenance": made.provenance.model_copy(update={"sources": sources})})
    with pytest.raises(InputError, match="has changed since"):
        search(changed, f"sqlite:///{tmp_path}/history.db")
    assert not (tmp_path / "history.db").exists()


def worker(plan_file, storage):
    command = [sys.executable, "-m", "transfercast", "search", str(plan_file), "--storage", storage, "--device", "cpu"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def trained_once(storage, made):
    observations = History(storage).observations()
    found = Counter((o.source, o.target, o.recipe) for o in observations if o.split == "validation")
    assert found == Counter((step.source, step.target, step.recipe) for step in made.steps)
    assert Counter(o.target for o in observations if o.split == "test") == Counter(made.targets)
    complete = [t for t in optuna.load_study(study_name=None, storage=storage).trials if t.state.name == "COMPLETE"]
    assert sorted(t.user_attrs["position"] for t in complete) == [step.position for step in made.steps]


def test_a_search_killed_at_any_moment_repeats_nothing_and_loses_nothing(table, tmp_path):
    made = planned(table, 6)
    made.save(tmp_path / "plan.json")
    storage = f"sqlite:///{tmp_path}/history.db"
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


def test_several_processes_share_one_plan(table, tmp_path):
    made = planned(table, 6)
    made.save(tmp_path / "plan.json")
    storage = f"sqlite:///{tmp_path}/history.db"
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


def test_a_live_worker_s_step_is_left_alone_and_a_dead_one_s_is_free_at_once(tmp_path):
    engine = History(tmp_path / "h.db").engine
    claims.enter(engine, "p", [0, 1, 2])
    assert claims.claim(engine, "p", last=[2]).position == 0
    claims.update(engine, "p", 1, state=claims.RUNNING, owner="elsewhere:1:0.00", heartbeat=time.time())
    assert claims.claim(engine, "p", last=[2]) is None  # 0 is ours and running, 1 beats elsewhere, 2 waits for both
    claims.update(engine, "p", 1, heartbeat=time.time() - 2 * claims.SILENT_SECONDS)
    assert claims.claim(engine, "p", last=[2]).position == 1
    host = claims.me().rsplit(":", 2)[0]
    claims.update(engine, "p", 1, owner=f"{host}:{2**22 + 1}:0.00", optuna_number=7)
    assert claims.claim(engine, "p", last=[2]) == claims.Claim(1, 7)
    for position in (0, 1):
        claims.update(engine, "p", position, state=claims.DONE)
    assert claims.claim(engine, "p", last=[2]).position == 2
    claims.update(engine, "p", 2, state=claims.DONE)
    assert claims.finished(engine, "p")


def test_a_reused_process_id_does_not_pass_for_the_old_owner():
    host, pid, started = claims.me().rsplit(":", 2)
    assert claims.alive(f"{host}:{pid}:{started}", None)
    assert not claims.alive(f"{host}:{pid}:{float(started) - 60:.2f}", None)


@pytest.mark.parametrize("ours_first", [True, False])
def test_our_tables_and_optuna_s_share_a_database_in_either_order(tmp_path, ours_first):
    url = f"sqlite:///{tmp_path}/shared.db"
    steps = [lambda: History(url).append([]), lambda: optuna.create_study(storage=url, study_name="s", load_if_exists=True)]
    for step in steps if ours_first else steps[::-1]:
        step()
    assert len(History(url)) == 0
    assert optuna.load_study(study_name="s", storage=url).trials == []
