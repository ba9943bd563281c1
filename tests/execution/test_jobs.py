"""Several jobs find what one job finds, whichever backend runs them; a kill among them loses nothing."""

from __future__ import annotations

import math
import subprocess
import sys
import time

import joblib
import numpy as np
import psutil
import pytest
from safetensors.numpy import load_file

from tests.execution.conftest import FAST, planned
from tests.execution.test_failures import failing
from tests.execution.test_search import trained_once
from transfercast.core.cache import ArrayCache
from transfercast.core.errors import InputError
from transfercast.core.records import ALONE
from transfercast.execution.search import search
from transfercast.execution.study import storage_url_of
from transfercast.features.extract import extract_features
from transfercast.history.store import History
from transfercast.sources.models import pick_device
from transfercast.sources.pool import SourcePool
from transfercast.tasks.family import read_family


@pytest.fixture(scope="module")
def family(family_toml):
    return read_family(family_toml)


@pytest.fixture(scope="module")
def one_by_one(family, tiny_encoder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("one-by-one") / "pool"
    return SourcePool.fit(folder, family.sources, encoder=str(tiny_encoder), recipe=FAST)


def assert_same(pool, other):
    assert list(pool) == list(other)
    for name, source in pool.items():
        assert other[name].identity == source.identity
        assert other[name].scores == pytest.approx(source.scores)
        weights = load_file(other[name].checkpoint / "model.safetensors")
        for key, values in load_file(source.checkpoint / "model.safetensors").items():
            np.testing.assert_allclose(weights[key], values, atol=1e-5)


def test_a_pool_fitted_by_two_jobs_is_the_one_fitted_by_one(one_by_one, family, tiny_encoder, tmp_path):
    pool = SourcePool.fit(tmp_path / "pool", family.sources, encoder=str(tiny_encoder), recipe=FAST, jobs=2)
    assert_same(one_by_one, pool)


def test_threads_take_turns_for_training_has_one_random_state(one_by_one, family, tiny_encoder, tmp_path):
    with joblib.parallel_config("threading", n_jobs=3):
        pool = SourcePool.fit(tmp_path / "pool", family.sources, encoder=str(tiny_encoder), recipe=FAST)
    assert_same(one_by_one, pool)


def found_by(result):
    return {(one.source, one.target, one.recipe): pytest.approx(one.score) for one in result.observations}


def test_a_search_of_two_jobs_finds_what_one_finds_in_the_plan_s_order(table, tmp_path):
    made = planned(table, 4)
    one, two = (search(made, tmp_path / f"{jobs}.db", jobs=jobs) for jobs in (1, 2))
    assert found_by(two) == found_by(one)
    assert [training.step for training in two.trainings] == [training.step for training in one.trainings]
    assert two.baseline_tests == pytest.approx(one.baseline_tests)
    assert {target: best.pair for target, best in two.bests.items()} == {t: best.pair for t, best in one.bests.items()}
    trained_once(f"sqlite:///{tmp_path}/2.db", made)


@pytest.mark.filterwarnings("ignore")
def test_a_dask_cluster_fits_measures_and_searches(one_by_one, family, tiny_encoder, table, tmp_path):
    distributed = pytest.importorskip("distributed")
    made = planned(table, 2)
    expected = search(made, tmp_path / "one.db")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=2, processes=True, dashboard_address=None) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config("dask"),
    ):
        pool = SourcePool.fit(tmp_path / "fitted", family.sources, encoder=str(tiny_encoder), recipe=FAST)
        measured = extract_features(
            pool, family.targets[:2], recipe=FAST, only=["single_task"], cache=ArrayCache(tmp_path / "cache")
        )
        found = search(made, tmp_path / "dask.db")
    assert_same(one_by_one, pool)
    assert {candidate.target for candidate in measured.candidates} == {"good", "help"}
    assert found_by(found) == found_by(expected)
    trained_once(f"sqlite:///{tmp_path}/dask.db", made)


def test_a_step_that_fails_in_one_of_several_jobs_is_told_with_its_cause(table, storage, monkeypatch):
    made = planned(table, 3)
    victim = made.steps[-1]
    failing(monkeypatch, RuntimeError("out of memory"), victim.source, victim.target)
    with joblib.parallel_config("threading", n_jobs=2):
        result = search(made, storage)
    assert [(one.position, one.cause) for one in result.failures] == [(victim.position, "RuntimeError: out of memory")]


@pytest.mark.parametrize("victim", ["a worker", "the search"])
def test_a_kill_among_several_jobs_loses_nothing_and_a_rerun_goes_on(table, storage, tmp_path, victim):
    made = planned(table, 4)
    made.save(tmp_path / "plan.json")
    command = [sys.executable, "-m", "transfercast", "search", str(tmp_path / "plan.json"), "--storage", storage, "--jobs", "2"]
    log = tmp_path / "log"
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=file)
    while process.poll() is None and len(History(storage)) < 2:
        time.sleep(0.02)
    workers = [child for child in psutil.Process(process.pid).children() if "LokyProcess" in " ".join(child.cmdline())]
    if victim == "the search":
        process.kill()
    else:
        workers[0].kill()
    returned = process.wait(timeout=120)
    if victim == "a worker":
        assert returned == 1
        assert "a process that shared the work was killed" in log.read_text()
        assert "Traceback" not in log.read_text()
    before = {one.run_key for one in History(storage).observations()}
    assert search(made, storage).failures == ()
    trained_once(storage, made)
    assert before <= {one.run_key for one in History(storage).observations()}
    assert psutil.wait_procs(workers, timeout=60)[1] == []  # none is left behind


def test_trainings_go_round_the_gpus_of_a_machine_unless_one_was_named(monkeypatch):
    assert pick_device("cpu", 3).type == "cpu"
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    for several, wanted in ((1, ["cuda", "cuda", "cuda"]), (2, ["cuda:0", "cuda:1", "cuda:0"])):
        monkeypatch.setattr("torch.cuda.device_count", lambda several=several: several)
        assert [str(pick_device(None, turn)) for turn in range(3)] == wanted


def test_the_baseline_s_gain_is_known_whatever_ends_first(table, storage):
    result = search(planned(table, 3), storage, jobs=2)
    assert all(math.isnan(training.gain) == (training.step.source == ALONE) for training in result.trainings)


def test_jobs_write_into_the_file_that_a_relative_url_names_here_in_a_folder_that_is_made(tmp_path, monkeypatch):
    for name in ("here", "elsewhere"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    url = storage_url_of("sqlite:///new/trials.db")
    assert url == storage_url_of("new/trials.db") == f"sqlite:///{tmp_path / 'here' / 'new' / 'trials.db'}"
    assert (tmp_path / "here" / "new").is_dir()
    assert storage_url_of("postgresql://me@host/db") == "postgresql+psycopg://me@host/db"
    with pytest.raises(InputError, match=r"Write it as sqlite:///history\.db"):
        storage_url_of("sqlite:no://url")
