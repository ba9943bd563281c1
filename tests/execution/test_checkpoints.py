"""Models of a search on disk, while other processes do the same."""

from __future__ import annotations

import shutil
import subprocess
import sys

from tests.core.test_core import observation
from transfercast.core.files import MARKER, mark, remove_leftovers
from transfercast.execution.checkpoints import CheckpointStore


def test_a_copy_of_a_model_whose_process_is_gone_is_not_taken_for_its_leftover(tmp_path, monkeypatch):
    tell = "from transfercast.core.owners import owner_id; print(owner_id())"
    gone = subprocess.run([sys.executable, "-c", tell], capture_output=True, text=True, check=True).stdout.strip()
    made = tmp_path / "made"
    made.mkdir()
    (made / "model.safetensors").write_bytes(b"weights")
    mark(made, gone)
    store = CheckpointStore(tmp_path / "searches", "search")
    copied = shutil.copytree

    def while_another_process_starts(*given, **options):
        copied(*given, **options)
        remove_leftovers(store.folder_of(observation()).parent)

    monkeypatch.setattr("transfercast.execution.checkpoints.shutil.copytree", while_another_process_starts)
    store.copy(observation(), made)
    assert (store.folder_of(observation()) / "model.safetensors").read_bytes() == b"weights"
    assert (made / MARKER).read_text().strip() == gone
