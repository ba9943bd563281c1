"""The check that all cases share fails where it should: a table that cannot fail would guard nothing."""

from __future__ import annotations

import time

import pytest
import typer

from tests.robustness.campaign import MOST_SECONDS, REFUSED, Case, check
from tests.robustness.damage import nothing

PLAN = "plan features.parquet --trials 2"


@pytest.mark.parametrize(
    ("case", "told"),
    [
        (Case("another exit code", nothing, "plan none.parquet --trials 2", 0, "no such file"), "no such file"),
        (Case("another sentence", nothing, "plan none.parquet --trials 2", REFUSED, "is a folder"), "is not in"),
        (
            Case("a file that nobody said would come", nothing, PLAN, 0, "2 trials"),
            r"made, changed or removed: \['plan\.json'\]",
        ),
        (Case("a success taken for a failure", nothing, PLAN, REFUSED, "2 trials", ("plan.json",)), "2 trials"),
    ],
    ids=lambda value: value.id if isinstance(value, Case) else "",
)
def test_a_case_that_does_not_hold_fails(case, told, goods, tmp_path):
    with pytest.raises(AssertionError, match=told):
        check(case, goods, tmp_path, str)


def _spend(seconds):
    began = time.process_time()
    while time.process_time() - began < seconds:
        pass


ENDS = {
    "two-errors": (lambda: typer.echo("error: one\nerror: two", err=True) or exit(2), "error: two"),
    "a-terminal-code": (lambda: typer.echo("error: \x1b[2J", err=True) or exit(2), "x1b"),
    "a-password": (lambda: typer.echo("error: s3cret", err=True) or exit(2), "s3cret"),
    "unforeseen": (lambda: {}["key"], "unforeseen"),
    "too-slow": (lambda: _spend(MOST_SECONDS) or typer.echo("error: late", err=True) or exit(2), "processor time"),
}


@pytest.mark.parametrize("name", ENDS)
def test_a_command_that_ends_badly_fails_its_case(name, goods, tmp_path, monkeypatch):
    end, told = ENDS[name]
    monkeypatch.setattr("transfercast.cli.measures.show", lambda *arguments, **options: end())
    with pytest.raises(AssertionError, match=told):
        check(Case(name, nothing, "measures", REFUSED, "error|"), goods, tmp_path, str)
