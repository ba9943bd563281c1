"""What commands print: names from outside never act on the terminal, and sentences never mix with JSON on stdout."""

from __future__ import annotations

import io
import json
import logging

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from tests.execution.test_result import best, training
from transfercast.cli import app
from transfercast.cli.errors import say_error
from transfercast.cli.explain import _coloured
from transfercast.cli.output import SafeFormatter, say, show
from transfercast.core.plan import Plan
from transfercast.core.records import ALONE
from transfercast.core.text import duration
from transfercast.execution.result import Failure, SearchResult
from transfercast.history.store import History
from transfercast.history.tables import OBSERVATIONS
from transfercast.report.attribution import Word

HOSTILE = "[red]x[/red] :smile: \x1b]52;c;AAAA\x07\x1b[2J\nerror: forged"


def safe(text, lines):
    assert "\x1b" not in text
    assert "\x07" not in text
    assert text.count("\n") == lines, text
    return text


def test_a_table_shows_names_as_they_are_neither_as_markup_nor_as_terminal_codes(capsys):
    show([{"[bold]source": HOSTILE, "score": 0.5}], False, title="[red]Title")
    out = safe(capsys.readouterr().out, lines=3)
    assert "[red]Title" in out
    assert "[bold]source" in out
    assert r"[red]x[/red] :smile: \x1b]52;c;AAAA\x07\x1b[2J\nerror: forged" in out


def test_an_error_is_one_line_whatever_is_in_it(capsys):
    say_error(f"{HOSTILE}: postgresql://me:s3cret@db/x")
    assert "s3cret" not in safe(capsys.readouterr().err, lines=1)


def test_the_history_of_a_hostile_name_is_shown_safely(tmp_path):
    with History(tmp_path / "h.db").engine.begin() as connection:  # as others may have written it: the history refuses it
        row = {"source": HOSTILE, "target": HOSTILE, "recipe": "full", "encoder": HOSTILE, "seed": 0, "metric": "accuracy",
               "split": "test", "score": 0.5, "hours": 0.0, "device": "", "finished_at": "", "source_fingerprint": "",
               "target_fingerprint": "", "run_key": "k", "features": {}}  # fmt: skip
        connection.execute(sa.insert(OBSERVATIONS).values(row))
    done = CliRunner().invoke(app, ["history", "show", "--history", str(tmp_path / "h.db")])
    assert done.exit_code == 0, done.output
    assert "\x1b" not in done.output
    assert "[red]x[/red]" in done.output.replace("\n", "")


def test_words_that_are_explained_are_printed_safely(capsys):
    _coloured([Word("\x1b[31m[red]", 0.5, (0.5,)), Word("\x9b2J", -0.5, (0.5,))])
    out = safe(capsys.readouterr().out, lines=1)
    assert r"\x1b[31m[red](+0.500) \x9b2J(-0.500)" in out


def test_log_lines_and_their_tracebacks_are_printed_safely():
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(SafeFormatter("%(levelname)s: %(message)s"))
    logger = logging.Logger("test")
    logger.addHandler(handler)
    try:
        raise ValueError("\x1b[2J postgresql://me:s3cret@db/x")
    except ValueError:
        logger.exception("source %s", "\x1b]0;title\x07")
    text = stream.getvalue()
    assert "\x1b" not in text
    assert "s3cret" not in text
    assert text.startswith(r"ERROR: source \x1b]0;title\x07")
    assert "Traceback" in text


def test_the_command_line_logs_safely(monkeypatch):
    handlers = []
    monkeypatch.setattr(logging, "basicConfig", lambda **options: handlers.extend(options["handlers"]))
    CliRunner().invoke(app, ["measures", "--json"])
    assert [type(handler.formatter) for handler in handlers] == [SafeFormatter]


@pytest.mark.parametrize(
    ("hours", "text"),
    [(0.0, "0 s"), (0.005, "18 s"), (0.03, "108 s"), (0.25, "15.0 min"), (1.9, "114.0 min"), (3.0, "3.0 h"), (None, None)],
)
def test_durations_are_in_units_that_people_read(hours, text):
    assert duration(hours) == text


def test_sentences_go_to_stderr_where_stdout_is_for_a_script(capsys):
    say("a sentence", as_json=True)
    assert capsys.readouterr() == ("", "a sentence\n")


@pytest.fixture
def searched(monkeypatch):
    """The command `search` with a result that has everything to say: a tie, a zero, a failure."""
    trainings = (training(0, ALONE, "a", 0.5), training(1, "x", "a", 0.49, -0.01), training(2, "y", "a", 0.0, -0.5))
    chosen = best(ALONE, "a", 0.5, 0.4, (trainings[1].candidate,))
    result = SearchResult(trainings, {"a": chosen}, {"a": 0.5}, {"a": 0.4}, (Failure(3, "z -> a", HOSTILE),))
    monkeypatch.setattr(Plan, "load", lambda path: None)
    monkeypatch.setattr("transfercast.execution.search.search", lambda *arguments, **options: result)
    return lambda *options: CliRunner().invoke(app, ["search", "plan.json", *options])


def test_a_search_says_how_transfers_did_and_what_its_figures_cannot_tell(searched):
    done = searched()
    assert done.exit_code == 1
    words = " ".join(done.stdout.split())
    assert "0 of 2 transfers beat the target alone on validation; mean gain of all transfers -0.255." in words
    assert "Note: a: x is within a standard error" in words
    assert "Note: y -> a: positive_f1 is 0.000" in words
    assert "Step 3 failed, z -> a: [red]x[/red]" in words
    assert "15.0 min" in words  # of 0.25 hours
    assert "std. error" in words
    assert "\x1b" not in done.output


def test_json_of_a_search_is_rows_alone_with_its_sentences_on_stderr(searched):
    done = searched("--json")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["score"] for row in rows if "score" in row] == [0.5, 0.49, 0.0]
    assert rows[0]["gain"] is None
    assert rows[0]["hours"] == 0.25
    assert rows[-1]["target"] == "a"
    assert "0 of 2 transfers" in done.stderr
    assert "Step 3 failed" in done.stderr
