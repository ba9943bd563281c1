"""An atlas that is collected: whole, resumed after kills and by several processes, without its models, too."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

import transfercast as tc
from transfercast.cli import app
from transfercast.core.errors import InputError
from transfercast.core.records import ALONE
from transfercast.history.store import History

COLLECT = """
[collect]
pairs = 4
batch = 2
repeated = 1
seeds = 2
rows = [8]
rows_pairs = 1
documents = 2
recipe = "full/lr=0.01/epochs=2/batch=8/tokens=16"
"""


@pytest.fixture(scope="module")
def spec(family_toml, tmp_path_factory) -> Path:
    path = family_toml.with_name("atlas.toml")
    path.write_text(family_toml.read_text() + COLLECT)
    return path


@pytest.fixture(scope="module")
def atlas(spec, tiny_encoder, tmp_path_factory):
    out = tmp_path_factory.mktemp("atlas") / "a"
    return out, tc.collect(spec, out, encoder=str(tiny_encoder), device="cpu")


def keys(out: Path) -> list[str]:
    return [observation.run_key for observation in History(out / "history.db").observations()]


def test_each_training_of_the_design_is_observed_once_on_validation_and_test(atlas):
    out, collected = atlas
    assert not collected.failed
    seen = History(out / "history.db").observations()
    runs = [(o.source, o.target, o.recipe, o.seed, o.split) for o in seen]
    assert collected.done == collected.runs == len(set(runs)) / 2 == len(runs) / 2
    assert {split for *_, split in runs} == {"validation", "test"}
    transfers = [o for o in seen if o.source != ALONE and o.split == "validation"]
    assert len(transfers) == 4 + 1 + 1
    assert all("logme" in o.features and any(name.startswith("ansat") for name in o.features) for o in transfers)
    assert sum(o.target.endswith(".8") for o in transfers) == 1
    assert sum(o.seed == 1 for o in transfers) == 1


def test_the_curve_of_each_training_is_kept_and_written(atlas):
    out, _ = atlas
    curves = pd.read_parquet(out / "curves.parquet")
    validation = {o.run_key: o.score for o in History(out / "history.db").observations() if o.split == "validation"}
    assert set(curves.run_key) == set(validation)
    assert (curves.groupby("run_key").epoch.max() == 1).all()  # of two epochs
    best = curves.groupby("run_key").score.max()
    assert all(best[key] == pytest.approx(score, abs=1e-6) for key, score in validation.items())


def test_a_start_after_the_last_training_trains_nothing(atlas, spec, tiny_encoder, monkeypatch):
    out, first = atlas
    monkeypatch.setattr("transfercast.collection.collector.fine_tune", lambda *_, **__: pytest.fail("trained again"))
    assert tc.collect(spec, out, encoder=str(tiny_encoder), device="cpu") == first


def test_an_atlas_goes_on_from_its_table_where_models_and_history_are_gone(atlas, spec, tiny_encoder, tmp_path, monkeypatch):
    _, first = atlas
    monkeypatch.setattr("transfercast.collection.collector.fine_tune", lambda *_, **__: pytest.fail("trained again"))
    History(tmp_path / "history.db").import_file(first.table)
    again = tc.collect(spec, tmp_path, encoder=str(tiny_encoder), device="cpu")
    assert (again.done, again.failed) == (first.done, {})


def test_when_the_time_is_up_no_source_and_no_transfer_is_begun(spec, tiny_encoder, tmp_path):
    begun = tc.collect(spec, tmp_path, encoder=str(tiny_encoder), device="cpu", minutes=0)
    assert (begun.done, begun.failed) == (0, {})
    assert not list((tmp_path / "pool").glob("sources/*"))


def test_the_table_teaches_a_predictor(atlas):
    out, _ = atlas
    targets = {o.target for o in History(out / "history.db").observations()}
    assert len(targets) >= 3
    tc.train_meta(out / "history.db", out / "meta", minutes=0)


def test_a_training_that_fails_is_told_the_others_go_on_and_the_next_start_tries_it_again(
    spec, tiny_encoder, tmp_path, monkeypatch
):
    from transfercast.collection import collector

    tune = collector.fine_tune

    def fails(task, checkpoint, recipe, *, seed, **options):
        if seed == 1:
            raise RuntimeError("out of memory")
        return tune(task, checkpoint, recipe, seed=seed, **options)

    with monkeypatch.context() as patched:
        patched.setattr(collector, "fine_tune", fails)
        first = tc.collect(spec, tmp_path, encoder=str(tiny_encoder), device="cpu")
    assert len(first.failed) == 1
    assert "out of memory" in next(iter(first.failed.values()))
    assert first.done == first.runs - 2  # the repeated pair, and its target alone with that seed
    second = tc.collect(spec, tmp_path, encoder=str(tiny_encoder), device="cpu")
    assert second.done == second.runs
    failed = [training for training in History(tmp_path / "history.db").trainings() if training.ended == "failed"]
    assert {(training.seed, training.why) for training in failed} == {(1, "out of memory")}


def test_an_atlas_of_another_design_is_refused_before_anything_is_trained(atlas, spec, tiny_encoder, tmp_path):
    out, _ = atlas
    other = spec.with_name("other.toml")
    other.write_text(spec.read_text().replace("pairs = 4", "pairs = 3"))
    with pytest.raises(InputError, match="its design differs"):
        tc.collect(other, out, encoder=str(tiny_encoder))


def test_the_command_says_how_far_it_is_and_what_comes_next(atlas, spec, tiny_encoder):
    out, collected = atlas
    told = CliRunner().invoke(app, ["collect", str(spec), "--out", str(out), "--encoder", str(tiny_encoder)])
    assert told.exit_code == 0, told.output
    assert f"{collected.runs} of {collected.runs} trainings are observed" in told.stdout
    assert "train-meta" in told.stdout


def test_killed_processes_lose_nothing_and_repeat_nothing(spec, tiny_encoder, tmp_path):
    command = [
        sys.executable,
        "-m",
        "transfercast",
        "collect",
        str(spec),
        "--out",
        str(tmp_path),
        "--encoder",
        str(tiny_encoder),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    before: set[str] = set()
    for patience in (7.0, 9.0):
        first, second = (subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) for _ in range(2))
        time.sleep(patience)
        for process in (first, second):
            process.send_signal(signal.SIGKILL)
            process.wait()
        now = set(keys(tmp_path)) if (tmp_path / "history.db").exists() else set()
        assert before <= now
        before = now
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = keys(tmp_path)
    assert before <= set(found)
    observations = History(tmp_path / "history.db").observations()
    runs = {(o.source, o.target, o.recipe, o.seed, o.split) for o in observations}
    assert len(found) == len(set(found)) == len(runs)
    assert f"{len(runs) // 2} of {len(runs) // 2} trainings" in done.stdout
