"""The cache reads pickles, so it reads only what its user alone can have written."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

import numpy as np
import pytest

from transfercast.core.cache import ArrayCache, fingerprint


def used(folder: Path, caplog) -> tuple[bool, list[str]]:
    """Whether a value that is computed ends up below `folder`, and the warnings."""
    before = set(folder.rglob("output.pkl"))
    with caplog.at_level(logging.WARNING):
        assert ArrayCache(folder).get("numbers", fingerprint(version=1), lambda: np.arange(3)).tolist() == [0, 1, 2]
    return set(folder.rglob("output.pkl")) != before, [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_folder_that_others_can_write_to_is_not_used(tmp_path, caplog, mode):
    folder = tmp_path / "cache"
    folder.mkdir()
    folder.chmod(mode)
    written, warnings = used(folder, caplog)
    assert not written
    assert str(folder) in warnings[0]
    assert "other users" in warnings[0]


def test_a_planted_file_in_such_a_folder_is_not_run(tmp_path):
    folder = tmp_path / "cache"
    key = fingerprint(version=1)
    ArrayCache(folder).get("numbers", key, lambda: "planted")
    assert ArrayCache(folder).get("numbers", key, lambda: "computed") == "planted"
    folder.chmod(0o777)
    assert ArrayCache(folder).get("numbers", key, lambda: "computed") == "computed"


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_not_used(tmp_path, caplog):
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o700)
    os.chown(folder, 65534, 65534)
    written, warnings = used(folder, caplog)
    assert not written
    assert "belongs to another user" in warnings[0]


def test_a_place_where_no_folder_can_be_made_costs_a_warning(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    written, warnings = used(tmp_path / "file" / "cache", caplog)
    assert not written
    assert "cannot be used" in warnings[0]


def test_a_folder_of_ones_own_is_used_in_silence_and_made_private(tmp_path, caplog):
    assert used(tmp_path / "cache", caplog) == (True, [])
    assert stat.S_IMODE((tmp_path / "cache").stat().st_mode) == 0o700


def test_an_array_of_objects_has_no_fingerprint():
    with pytest.raises(TypeError, match=r"'x'.*Python objects"):
        fingerprint(x=np.array(["a", None], dtype=object))


def test_halves_of_surrogate_pairs_have_a_fingerprint():
    assert fingerprint(x="\ud800") != fingerprint(x="\ud801")
