"""A newcomer types what README and guides say, in order, on small data: everything works, and nothing has to be guessed."""

from __future__ import annotations

import random
import shlex
import shutil

import pytest
from typer.testing import CliRunner

import transfercast as tc
from tests.builders import past
from tests.conftest import sentences, write_csv
from tests.docs.pages import ROOT, blocks
from transfercast.cli import app
from transfercast.sources import encoders

PAGES = ("README.md", "docs/index.md", *(f"docs/guides/{name}.md" for name in (
    "pool-and-csv", "family", "names", "hub-models", "team", "cron")))  # fmt: skip
QUICKLY = {
    "fit-sources": ("--recipe", "full/lr=0.01/epochs=2/batch=8/tokens=16"),
    "features": ("--recipe", "full/lr=0.01/epochs=2/batch=8/tokens=16", "--documents", "2"),
    "recommend": ("--recipe", "full/lr=0.01/epochs=2/batch=8/tokens=16", "--documents", "2"),
    "train-meta": ("--minutes", "0"),
}
"""What is added to commands so that they take seconds; the pages leave it at the defaults."""


@pytest.fixture(scope="module")
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


def prepare(page):
    """What a reader of the page has done before."""
    if page == "docs/guides/cron.md":
        tc.History("history.db").append(past().observations(), past().schema())


def type_in(command):
    command = command.replace("postgresql://me@db.example.org/transfers", "sqlite:///team.db")
    program, name, *rest = shlex.split(command, comments=True)
    assert program == "transfercast", command
    told = CliRunner().invoke(app, [name, *rest, *QUICKLY.get(name, ())])
    assert told.exit_code == 0, f"{command}\n{told.output}"
    return told


@pytest.mark.parametrize("page", PAGES)
def test_what_the_page_says_to_type_works(page, here, capsys):
    prepare(page)
    for block in blocks(ROOT / page):
        if block.file:
            (here / block.file).write_text(block.text, encoding="utf-8")
        elif block.is_run and block.kind == "sh":
            if block.note == "without a pool":
                (here / "pool").rename(here / "set aside")
            for command in block.commands():
                type_in(command)
            if block.note == "without a pool":
                (here / "set aside").rename(here / "pool")
        elif block.is_run:
            exec(compile(block.text, page, "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("page", PAGES)
def test_every_block_that_is_not_run_says_why(page):
    for block in blocks(ROOT / page):
        if block.note not in ("", "without a pool") and not block.file:
            assert block.note.startswith("not run: "), block.note
            assert len(block.note) > len("not run: ") + 5


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 120
