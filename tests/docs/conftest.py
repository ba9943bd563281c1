"""The folder of somebody who reads the docs: the files that they speak of, and a tiny encoder in place of the offline one."""

from __future__ import annotations

import random
import shutil

import pytest

import transfercast as tc
from tests.conftest import sentences, write_csv
from tests.docs.pages import ROOT, blocks
from transfercast.sources import encoders


@pytest.fixture(scope="session")
def models(tmp_path_factory, tiny_encoder):
    """A base encoder, and two models that were fine-tuned from it."""
    folder = tmp_path_factory.mktemp("newcomer")
    shutil.copytree(tiny_encoder, folder / "base")
    for name, cue in (("sentiment", "good"), ("irony", "not")):
        file = write_csv(folder / f"{name}.csv", sentences(40, cue, seed=3))
        tc.SourcePool.fit(folder / "pool", [tc.Task.from_csv(file)], encoder=str(tiny_encoder), recipe=tc.Recipe(epochs=1))
        shutil.copytree(folder / "pool" / "sources" / name, folder / name)
        (folder / name / "source.json").unlink()
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch, models, tiny_encoder):
    """The folder of somebody who has the files that the pages speak of, and as encoder a tiny one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(encoders, "_offline_folder", lambda: tiny_encoder)
    for name in ("base", "sentiment", "irony"):
        shutil.copytree(models / name, tmp_path / "models" / name)
    write_csv(tmp_path / "reviews.csv", sentences(60, "good", seed=9), "text,helpful")
    rng = random.Random(0)
    for split, number in (("train", 30), ("validation", 16), ("test", 16)):
        rows = [(f"{text} {rng.choice(('water', 'road'))}", label, i % 2, i % 3 // 2)
                for i, (text, label) in enumerate(sentences(number, "need", seed=number))]  # fmt: skip
        write_csv(tmp_path / "messages" / f"{split}.csv", rows, "text,request,donation,warning")
        for task in ("news", "tweets"):
            lines = [f"{word} {'B-THING' if word in ('water', 'road', task[:4]) else 'O'}\n"
                     for row in rows for word in row[0].split()[task == 'tweets':]]  # fmt: skip
            text = "".join(line + ("\n" if number % 6 == 5 else "") for number, line in enumerate(lines))
            (tmp_path / task).mkdir(exist_ok=True)
            (tmp_path / task / f"{split}.conll").write_text(text, encoding="utf-8")
    write_csv(tmp_path / "transfers.csv", [("a", "x", 0.5), ("b", "x", 0.6)], "source,target,score")
    (tmp_path / "tasks.toml").write_text(blocks(ROOT / "docs/guides/family.md")[0].text, encoding="utf-8")
    return tmp_path
