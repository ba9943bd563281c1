"""Versions of a predictor: none of several promotions at once gets lost, and there is always a way back."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders import past
from transfercast.core.errors import ArtifactError, InputError
from transfercast.core.files import mark
from transfercast.predictor import versions
from transfercast.predictor.predictor import Predictor
from transfercast.retraining.retrain import train_meta


def ids(*numbers: int) -> list[str]:
    return [f"{number:04d}-{number:08x}" for number in numbers]


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder with five versions, of which none was promoted."""
    for name in ids(1, 2, 3, 4, 5):
        (tmp_path / "versions" / name).mkdir(parents=True)
        mark(tmp_path / "versions" / name)
    return tmp_path


def test_a_version_promoted_twice_keeps_the_way_back(folder):
    one, two = ids(1, 2)
    for version in (one, two, two):
        versions.promote(folder, version)
    assert versions.roll_back(folder, lambda place: None) == one
    with pytest.raises(InputError, match="no earlier version"):
        versions.roll_back(folder, lambda place: None)


def test_pruning_counts_versions_and_not_promotions(folder):
    for version in ids(1, 2, 3, 4, 3, 4, 3, 4):
        versions.promote(folder, version)
    assert versions.prune(folder, keep=3) == ids(1)
    assert versions.promoted_ids(folder) == ids(2, 3, 4, 3, 4, 3, 4)
    assert versions.prune(folder, keep=1) == ids(2, 3)
    assert versions.promoted_ids(folder) == ids(4)
    assert versions.all_ids(folder) == ids(4, 5)  # made since, and not promoted


def test_an_old_version_that_is_in_force_again_outlives_pruning(folder):
    for version in ids(1, 2, 3, 1):
        versions.promote(folder, version)
    assert versions.prune(folder, keep=2) == ids(2)
    assert versions.promoted_ids(folder) == ids(1, 3, 1)


def test_pruning_deletes_only_what_transfercast_made(folder):
    (folder / "versions" / "0000 notes").mkdir()
    versions.promote(folder, ids(5)[0])
    versions.prune(folder, keep=1)
    assert (folder / "versions" / "0000 notes").is_dir()


def test_ids_go_on_after_number_9999(folder):
    (folder / "versions" / "9999-00000000").mkdir()
    assert versions.new_id(folder, "abcdef0123") == "10000-abcdef01"
    (folder / "versions" / "10000-abcdef01").mkdir()
    assert versions.new_id(folder, "abcdef0123") == "10001-abcdef01"


@pytest.mark.parametrize("name", ["../../victim", "/etc", "0001-0000000g", "..", "0001", "0009-00000009"])
def test_a_name_that_is_no_version_there_is_not_promoted(folder, name):
    with pytest.raises(InputError, match="no version"):
        versions.promote(folder, name)
    assert versions.promoted_ids(folder) == []


@pytest.mark.parametrize("content", [b"../../victim\n", b"/etc\n", b"\xff\xfe\x00", b"0001-00000001 \x1b[31m"])
def test_a_pointer_to_anything_but_a_version_is_refused(folder, content):
    (folder / "CURRENT").write_bytes(content)
    for use in (versions.current, versions.promoted_ids, Predictor.load):
        with pytest.raises(ArtifactError, match=r"CURRENT: .*Write the id"):
            use(folder)


PROMOTE = """
import sys
from pathlib import Path
from transfercast.predictor import versions
for version in sys.argv[2:]:
    versions.promote(Path(sys.argv[1]), version)
"""


def test_none_of_many_promotions_by_several_processes_gets_lost(folder):
    turns = [ids(*range(100 * process + 10, 100 * process + 60)) for process in range(4)]
    every = [version for turn in turns for version in turn]
    for version in every:
        (folder / "versions" / version).mkdir()
    processes = [subprocess.Popen([sys.executable, "-c", PROMOTE, str(folder), *turn]) for turn in turns]
    assert [process.wait(60) for process in processes] == [0] * 4
    promoted = versions.promoted_ids(folder)
    assert sorted(promoted) == sorted(every)
    assert all([version for version in promoted if version in turn] == turn for turn in turns)


@pytest.fixture(scope="module")
def three(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("meta")
    for seed in range(3):
        train_meta(past(4, seed=seed), folder, minutes=0, margin=100)
    return folder


@pytest.fixture
def meta(three, tmp_path) -> Path:
    return shutil.copytree(three, tmp_path / "meta")


def test_what_cannot_be_loaded_is_not_promoted(meta):
    first, _, third = versions.all_ids(meta)
    (meta / "versions" / first / "model.json").write_text("{}")
    with pytest.raises(ArtifactError, match="missing or changed since the manifest was written"):
        Predictor.promote(meta, first)
    assert Predictor.load(meta).id == third


def test_rolling_back_passes_over_what_cannot_be_loaded(meta, caplog):
    first, second, _ = versions.all_ids(meta)
    (meta / "versions" / second / "residuals.json").unlink()
    assert Predictor.roll_back(meta) == first
    assert second in caplog.text
    assert Predictor.load(meta).id == first


def test_a_damaged_champion_can_be_rolled_back(meta):
    _, second, third = versions.all_ids(meta)
    (meta / "versions" / third / "model.json").write_text("{}")
    assert Predictor.roll_back(meta) == second
