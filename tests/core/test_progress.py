"""Progress: bars on a terminal, plain lines elsewhere, both with an estimate of the time left."""

from __future__ import annotations

import io
import re
import time

import pytest
from rich.console import Console

from transfercast.core.progress import Watch, progress, shown_on, waiting


class Clock:
    """A clock that goes on only when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def watch_on(stream, clock, terminal):
    console = Console(file=stream, force_terminal=terminal, width=120, legacy_windows=False, _environ={"TERM": "xterm"})
    return Watch(console, clock)


def test_items_are_passed_on_and_a_short_loop_shows_nothing(capsys):
    assert [(a, b) for a in progress(range(2), "outer") for b in progress("xy", "inner")] == [
        (0, "x"), (0, "y"), (1, "x"), (1, "y"),
    ]  # fmt: skip
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""


def test_off_a_terminal_a_finished_item_is_one_plain_line_with_count_and_times(clock):
    stream = io.StringIO()
    with shown_on(watch_on(stream, clock, terminal=False)):
        for _ in progress(["a", "b", "c"], "sources"):
            clock.now += 70
    assert stream.getvalue().splitlines() == [
        "sources: 1 of 3, 0:01:10 elapsed, about 0:02:20 left",
        "sources: 2 of 3, 0:02:20 elapsed, about 0:01:10 left",
        "sources: 3 of 3, 0:03:30 elapsed, about 0:00:00 left",
    ]


def test_lines_come_at_most_every_few_seconds_and_the_last_always(clock):
    stream = io.StringIO()
    with shown_on(watch_on(stream, clock, terminal=False)):
        for _ in progress(range(60), "trials"):
            clock.now += 1
    counts = [int(re.match(r"trials: (\d+) of 60", line)[1]) for line in stream.getvalue().splitlines()]
    assert counts == [2, 7, 12, 17, 22, 27, 32, 37, 42, 47, 52, 57, 60]


def test_a_loop_inside_a_long_item_shows_a_sign_of_life_once_a_minute(clock):
    stream = io.StringIO()
    with shown_on(watch_on(stream, clock, terminal=False)):
        for _ in progress(range(1), "trials"):
            for _ in progress(range(20), "help: epochs"):
                clock.now += 10
    assert stream.getvalue().splitlines() == [
        "trials: 0 of 1; help: epochs: 6 of 20, 0:01:00 elapsed, about 0:02:20 left",
        "trials: 0 of 1; help: epochs: 12 of 20, 0:02:00 elapsed, about 0:01:20 left",
        "trials: 0 of 1; help: epochs: 18 of 20, 0:03:00 elapsed, about 0:00:20 left",
        "trials: 1 of 1, 0:03:20 elapsed, about 0:00:00 left",
    ]


def test_the_number_of_items_may_be_unknown(clock):
    stream = io.StringIO()
    with shown_on(watch_on(stream, clock, terminal=False)):
        for _ in progress(iter("ab"), "maps"):
            clock.now += 30
    assert stream.getvalue().splitlines() == ["maps: 1, 0:00:30 elapsed", "maps: 2, 0:01:00 elapsed"]


def test_on_a_terminal_the_outer_bar_has_an_estimate_after_its_first_item_however_long_items_take(clock):
    stream = io.StringIO()
    watch = watch_on(stream, clock, terminal=True)
    with shown_on(watch):
        for number in progress(range(3), "trials"):
            for _ in progress(range(2), "epochs"):
                clock.now += 300
            if number == 1:  # rich draws by a clock of its own; this is what it draws now
                clock.now += 100
                watch.bars.refresh()
    drawn = stream.getvalue()
    assert re.search(r"trials .*0/3.* 0:05:00 elapsed", drawn)  # the outer bar is there as soon as one of its inner loops is
    assert re.search(r"trials .*1/3.* 0:21:40 elapsed, about 0:08:20 left", drawn)
    assert "epochs" in drawn
    assert watch.loops == []
    assert not watch.bars.live.is_started


def test_names_of_loops_are_neither_markup_nor_terminal_codes(clock):
    for terminal in (False, True):
        stream = io.StringIO()
        with shown_on(watch_on(stream, clock, terminal)):
            for _ in progress(range(2), "[red]x\x1b]0;title\x07: epochs"):
                clock.now += 10
        assert "[red]x\\x1b]0;title\\x07: epochs" in stream.getvalue()


def test_a_loop_that_breaks_leaves_nothing_behind(clock):
    watch = watch_on(io.StringIO(), clock, terminal=True)

    def breaks():
        for _ in progress(range(5), "trials"):
            clock.now += 10
            raise RuntimeError

    with shown_on(watch), pytest.raises(RuntimeError):
        breaks()
    assert watch.loops == []


def test_on_a_terminal_the_first_item_is_shown_while_it_is_worked_on(clock, monkeypatch):
    monkeypatch.setattr("transfercast.core.progress.PATIENCE_SECONDS", 0.05)
    stream = io.StringIO()
    watch = watch_on(stream, clock, terminal=True)
    with shown_on(watch):
        for _ in progress(range(1), "trials"):
            deadline = time.monotonic() + 10
            while "trials" not in stream.getvalue() and time.monotonic() < deadline:
                time.sleep(0.01)
    assert re.search(r"trials .*0/1", stream.getvalue())
    assert not watch.bars.live.is_started


def test_a_wait_without_parts_shows_nothing_off_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr("transfercast.core.progress.PATIENCE_SECONDS", 0.0)
    with waiting("loading"):
        pass
    assert capsys.readouterr() == ("", "")
