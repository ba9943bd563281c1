"""A newcomer types what README and guides say, in order, on small data: everything works, and nothing has to be guessed."""

from __future__ import annotations

import shlex

import pytest
from typer.testing import CliRunner

import transfercast as tc
from tests.builders import past
from tests.docs.pages import ROOT, blocks
from transfercast.cli import app

PAGES = ("README.md", "docs/index.md", *(f"docs/guides/{name}.md" for name in (
    "pool-and-csv", "family", "names", "hub-models", "team", "cron")))  # fmt: skip
QUICKLY = {
    "fit-sources": ("--recipe", "full/lr=0.01/epochs=2/batch=8/tokens=16"),
    "features": ("--recipe", "full/lr=0.01/epochs=2/batch=8/tokens=16", "--documents", "2"),
    "recommend": ("--recipe", "full/lr=0.01/epochs=2/batch=8/tokens=16", "--documents", "2"),
    "train-meta": ("--minutes", "0"),
}
"""What is added to commands so that they take seconds; the pages leave it at the defaults."""


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
