"""Pools from elsewhere, damaged or on a full disk: nothing leads out of them, and what is there stays."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.conftest import sentences, write_csv
from transfercast.core.errors import ArtifactError, InputError
from transfercast.core.files import MARKER
from transfercast.core.kinds import METRICS
from transfercast.core.records import Recipe
from transfercast.features.fit_maps import fit_maps
from transfercast.sources.esm import SpaceMap
from transfercast.sources.pool import SourcePool, adopt
from transfercast.sources.scores import warning_of
from transfercast.sources.source import Source, save_trained
from transfercast.tasks.family import read_family
from transfercast.tasks.task import Task

FAST = Recipe(learning_rate=1e-2, epochs=2, batch_size=8, max_tokens=16)


@pytest.fixture(scope="module")
def family(family_toml):
    return read_family(family_toml)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory, family, tiny_encoder):
    return SourcePool.fit(tmp_path_factory.mktemp("pool"), family.sources[:2], encoder=str(tiny_encoder), recipe=FAST).folder


@pytest.fixture
def pool(fitted, tmp_path):
    """A pool of the sources good and help that a test may damage."""
    shutil.copytree(fitted, tmp_path / "pool")
    return tmp_path / "pool"


def rewritten(pool, **changes):
    path = pool / "sources" / "help" / "source.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_no_name_in_a_pool_makes_fit_maps_replace_a_folder_elsewhere(pool, tmp_path):
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "thesis.txt").write_text("years of work")
    for name in ("../victim", str(victim), "..", "good"):
        rewritten(pool, name=name)
        held = SourcePool.load(pool)
        assert list(held) == ["good"]
        assert held.left_out["help"].startswith(f"{pool}/sources/help/source.json")
        fit_maps(held, tmp_path / "maps", rows=4)
    assert (victim / "thesis.txt").read_text() == "years of work"
    assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == ["good"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["maps", "pool", "victim"]


def test_a_map_does_not_replace_a_folder_of_somebody_else_s_and_no_work_is_done_before(pool, tmp_path, monkeypatch):
    (tmp_path / "maps" / "good").mkdir(parents=True)
    (tmp_path / "maps" / "good" / "thesis.txt").write_text("years of work")
    monkeypatch.setattr("transfercast.features.fit_maps.own_task", lambda source: pytest.fail("work was begun"))
    with pytest.raises(InputError, match="did not write"):
        fit_maps(SourcePool.load(pool), tmp_path / "maps")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="file is not a folder"):
        fit_maps(SourcePool.load(pool), tmp_path / "file")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"name": ["help"]}, "name: Input should be a valid string"),
        ({"name": 7}, "name: Input should be a valid string"),
        ({"name": "nobody"}, "the name 'nobody' is not that of its folder"),
        ({"kind": "opinion"}, "kind: "),
        ({"label_names": 3}, "label_names: "),
        ({"max_tokens": "many"}, r"max_tokens: .*\(found 'many'\)"),
        ({"max_tokens": 0}, "max_tokens: "),
        ({"scores": {"test": 7}}, r"its test score 7.0 is outside \[0, 1\] of positive_f1"),
        ({"scores": {"training": 0.5}}, "scores.training"),
        ({"scores": [0.5]}, "scores: "),
        ({"metric": "rouge"}, "metric: unknown metric; known are"),
        ({"recipe": "magic"}, "recipe: "),
        ({"seed": -1}, "seed -1"),
        ({"seconds": -1.0}, "seconds: "),
        ({"spec": "tasks.toml"}, "spec: "),
        ({"weights": "x"}, "'weights' is not known"),
        ({"checkpoint": 5}, "checkpoint: "),
        ({"checkpoint": "../../.."}, "leads out of the pool"),
        ({"checkpoint": "/etc"}, "leads out of the pool"),  # only what was adopted may lie elsewhere
        ({"checkpoint": "/etc/nowhere", "recipe": None}, "no folder at checkpoint"),
        ({"checkpoint": "nowhere"}, "no folder at checkpoint"),
        ({"format": 99}, "Upgrade transfercast"),
        ({"format": "one"}, "no format number"),
    ],
)
def test_a_wrong_field_of_a_record_is_named_and_the_other_sources_are_read(pool, changes, told, caplog):
    rewritten(pool, **changes)
    with pytest.raises(ArtifactError, match=told) as error:
        Source.read(pool / "sources" / "help")
    assert "\n" not in str(error.value)
    held = SourcePool.load(pool)
    assert list(held) == ["good"]
    assert held.left_out == {"help": str(error.value)}
    assert "source help is left out" in caplog.text


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b"\xff\xfe", b"[]", b'{"format": 1}'])
def test_a_record_that_is_none_is_one_error(pool, content):
    (pool / "sources" / "help" / "source.json").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"help/source\.json"):
        Source.read(pool / "sources" / "help")


def test_links_that_lead_out_of_a_pool_are_not_followed(pool, fitted, tmp_path):
    shutil.rmtree(pool / "sources" / "help")
    (pool / "sources" / "help").symlink_to(fitted / "sources" / "help")
    assert "a link that leads out of the pool" in SourcePool.load(pool).left_out["help"]
    (pool / "sources" / "help").unlink()
    shutil.copytree(fitted / "sources" / "help", pool / "sources" / "help")
    assert set(SourcePool.load(pool)) == {"good", "help"}
    weights = pool / "sources" / "help" / "model.safetensors"
    weights.unlink()
    weights.symlink_to(fitted / "sources" / "help" / "model.safetensors")
    assert "a link that leads out of the pool" in SourcePool.load(pool).left_out["help"]


def test_a_trained_source_is_not_adopted_in_its_own_place(pool):
    before = (pool / "sources" / "good" / "model.safetensors").read_bytes()
    with pytest.raises(InputError, match="another source 'good' is there already"):
        adopt(pool, "good", str(pool / "sources" / "good"))
    assert (pool / "sources" / "good" / "model.safetensors").read_bytes() == before


def test_an_adopted_checkpoint_may_lie_elsewhere_and_is_found_again(pool, fitted, tmp_path):
    adopt(pool, "other", str(fitted / "sources" / "good"))
    assert SourcePool.load(pool)["other"].checkpoint == fitted / "sources" / "good"


@pytest.mark.parametrize("score", [7.0, -0.1, float("nan"), float("inf")])
def test_an_adopted_score_that_its_metric_cannot_take_is_refused_before_anything_is_written(pool, score):
    with pytest.raises(InputError, match=r"source 'other': score .* is outside \[0, 1\] of positive_f1"):
        adopt(pool, "other", str(pool / "sources" / "good"), score=score)
    assert not (pool / "sources" / "other").exists()


@pytest.mark.parametrize("labels", [{"0": "a", "2": "c"}, {"1": "a", "2": "b"}])
def test_a_checkpoint_that_does_not_name_all_its_classes_is_refused(pool, labels, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(pool / "sources" / "good", folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"id2label": labels}))
    with pytest.raises(InputError, match=r"config\.json: id2label must name the classes 0 to 1"):
        adopt(tmp_path / "other", "model", str(folder))
    assert not (tmp_path / "other").exists()


def test_every_folder_of_a_pool_and_of_maps_is_marked_as_ours(pool, family, tmp_path):
    held = SourcePool.load(pool)
    held.target_model(family.targets[0], FAST)
    fit_maps(held, tmp_path / "maps", rows=4)
    adopt(pool, "other", str(pool / "sources" / "good"))
    folders = [*(pool / "sources").iterdir(), *(pool / "targets").glob("*/*"), *(tmp_path / "maps").iterdir()]
    assert len(folders) == 6
    assert all((folder / MARKER).is_file() for folder in folders)


def test_weights_are_readable_by_whom_the_other_files_are(pool, family, tmp_path, tiny_encoder):
    before = os.umask(0o027)
    try:
        held = SourcePool.fit(tmp_path / "new", family.sources[:1], encoder=str(tiny_encoder), recipe=FAST)
        fit_maps(held, tmp_path / "maps", rows=4)
    finally:
        os.umask(before)
    for folder in (held["good"].checkpoint, tmp_path / "maps" / "good"):
        assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o640}


@contextmanager
def full_disk():
    """No file may grow beyond a kilobyte, as good as a full disk for what writes one.

    Lifted within the test: pytest's own output may go to a longer file.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_one_error_of_whatever_is_saved_and_leaves_nothing(family, tmp_path, tiny_encoder):
    weights = np.ones((64, 64), dtype=np.float32)
    with full_disk(), pytest.raises(InputError, match=r"the model cannot be written .*Make room"):
        SourcePool.fit(tmp_path / "new", family.sources[:1], encoder=str(tiny_encoder), recipe=FAST)
    with full_disk(), pytest.raises(InputError, match=r"the map cannot be written .*Make room"):
        SpaceMap(weights, weights[0]).save(tmp_path / "maps" / "x", base_model="b", task="t", pooling="mean")
    assert not [*(tmp_path / "new" / "sources").iterdir(), *(tmp_path / "maps").iterdir()]


def test_a_disk_that_is_full_only_for_the_tokenizer_is_the_same_error(tmp_path):
    def full(folder):
        raise Exception("No space left on device (os error 28)")  # as tokenizers says it

    trained = SimpleNamespace(
        model=SimpleNamespace(save_pretrained=lambda folder, **options: None), tokenizer=SimpleNamespace(save_pretrained=full)
    )
    with pytest.raises(InputError, match=r"the model cannot be written \(No space left on device"):
        save_trained(trained, tmp_path)


KILLED = """
import os, signal, sys
from transfercast.core.records import Recipe
from transfercast.sources import pool
from transfercast.tasks.family import read_family
save = pool.save_trained
def killed(trained, folder):
    save(trained, folder)
    os.kill(os.getpid(), signal.SIGKILL)
pool.save_trained = killed
recipe = Recipe(learning_rate=1e-2, epochs=2, batch_size=8, max_tokens=16)
pool.SourcePool.fit(sys.argv[1], read_family(sys.argv[2]).sources[:1], encoder=sys.argv[3], recipe=recipe)
"""


def test_what_a_kill_left_half_written_is_gone_after_the_next_run(family, family_toml, tiny_encoder, tmp_path):
    command = [sys.executable, "-c", KILLED, str(tmp_path / "pool"), str(family_toml), str(tiny_encoder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == -signal.SIGKILL, done.stderr
    (left,) = (tmp_path / "pool" / "sources").iterdir()
    assert left.name.startswith(".good.")
    with pytest.raises(InputError, match="no sources"):
        SourcePool.load(tmp_path / "pool")
    SourcePool.fit(tmp_path / "pool", family.sources[:1], encoder=str(tiny_encoder), recipe=FAST)
    assert [path.name for path in (tmp_path / "pool" / "sources").iterdir()] == ["good"]


@pytest.mark.parametrize("place", ["file", "file/below", "pool/sources"])
def test_a_pool_that_cannot_be_written_is_told_before_anything_is_trained(place, family, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool" / "sources").write_text("mine")
    monkeypatch.setattr("transfercast.sources.pool.trained_alone", lambda *_, **__: pytest.fail("a training was begun"))
    with pytest.raises(InputError, match=r"is not a folder\. Name another place"):
        SourcePool.fit(tmp_path / place.removesuffix("/sources"), family.sources, encoder="offline", recipe=FAST)
    with pytest.raises(InputError, match=r"cannot be written, for /proc takes no files"):
        SourcePool.fit("/proc/pool", family.sources, encoder="offline", recipe=FAST)


@pytest.mark.parametrize("metric", METRICS)
def test_a_score_of_exactly_nothing_is_warned_of_and_any_other_is_not(metric):
    assert warning_of(0.01, metric) is None
    assert warning_of(1.0, metric) is None
    assert warning_of(0.0, metric).startswith(f"{metric} is 0.000: it ")


def test_a_source_that_ranks_rows_no_better_than_chance_is_pointed_at(family, tmp_path, tiny_encoder, caplog):
    # two positive rows in 30, of no common word; with its threshold on validation such a model has an F1 above 0 all the same
    rows = [(text, int(number in (0, 7))) for number, (text, _) in enumerate(sentences(30, "storm", seed=1))]
    paths = {split: str(write_csv(tmp_path / f"{split}.csv", rows)) for split in ("validation", "test")}
    task = Task.from_csv(write_csv(tmp_path / "rare.csv", rows), text="text", label="label", **paths)
    recipe = Recipe(learning_rate=1e-7, epochs=1, batch_size=8, max_tokens=16)
    pool = SourcePool.fit(tmp_path / "pool", [task], encoder=str(tiny_encoder), recipe=recipe)
    assert pool["rare"].scores["validation"] > 0
    assert pool["rare"].warning.startswith(
        f"on validation, average precision is {pool['rare'].average_precision:.3f}, and one of"
    )
    assert "source rare: on validation" in caplog.text
    assert "--recipe" in caplog.text
