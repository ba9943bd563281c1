"""Progress with time left, on stderr, of loops that take over two seconds.

On a terminal every loop has a bar, with those of nested loops below the outer one's. Elsewhere (a log, cron, a notebook's
server) the outer loop writes a plain line for a finished item, at most one every few seconds; a loop inside a long item writes
one line a minute, to show that it still runs. Processes that share the items of a loop show nothing themselves.
"""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from transfercast.core.text import printable

T = TypeVar("T")

PATIENCE_SECONDS = 2.0
LINE_SECONDS = 5.0
NESTED_LINE_SECONDS = 60.0

_watch: ContextVar[Watch | None] = ContextVar("watch", default=None)


class Watch:
    """The display of progress, and the loops that are running, the outer ones first.

    Args:
        console: where to show it: as bars on a terminal, as plain lines elsewhere.
        clock: gives seconds that never decrease.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self.console = console
        self.clock = clock
        self.loops: list[_Loop] = []
        self.last_line = -float("inf")
        self._first = threading.Timer(PATIENCE_SECONDS, self._show_bars)
        self._first.daemon = True
        self._lock = threading.Lock()
        self.bars = Progress(
            TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(),
            _Times(), console=console, transient=True, get_time=clock,
        )  # fmt: skip

    def begin(self, what: str, total: int | None) -> _Loop:
        """Add a loop that starts now."""
        loop = _Loop(self, printable(what), total)
        with self._lock:
            self.loops.append(loop)
        if self.console.is_terminal and not self.console.quiet and self._first.ident is None:
            self._first.start()  # so that the first item, too, is shown while it is worked on
        return loop

    def show(self) -> None:
        """Update the display; called between items."""
        loop = self.loops[-1]
        if self.clock() - loop.started < PATIENCE_SECONDS:
            return
        if self.console.is_terminal:
            self._show_bars()
        else:
            self._write_line(loop)

    def _show_bars(self) -> None:
        with self._lock:
            for shown in self.loops:
                self.bars.update(shown.bar, completed=shown.done, visible=True)
            if self.loops:
                self.bars.start()

    def _write_line(self, loop: _Loop) -> None:
        pause = LINE_SECONDS if loop is self.loops[0] else NESTED_LINE_SECONDS
        ends = loop is self.loops[0] and loop.done == loop.total
        silent = self.clock() - max(self.last_line, self.loops[0].started)
        if loop.done and (ends or silent >= pause or (loop is self.loops[0] and self.last_line < loop.started)):
            line = "; ".join([*(outer.count() for outer in self.loops[:-1]), f"{loop.count()}, {loop.times()}"])
            self.console.print(line, markup=False, highlight=False, soft_wrap=True)
            self.last_line = self.clock()

    def end(self, loop: _Loop) -> None:
        """Take a loop off the display."""
        with self._lock:
            self.loops.remove(loop)
            self.bars.remove_task(loop.bar)
            if self.loops:
                return
            self._first.cancel()
            if self.bars.live.is_started:
                self.bars.stop()


class _Loop:
    """One loop that is watched."""

    def __init__(self, watch: Watch, what: str, total: int | None) -> None:
        self.clock = watch.clock
        self.what, self.total, self.done = what, total, 0
        self.started = self.advanced = watch.clock()
        self.bar = watch.bars.add_task(what, total=total, visible=False, loop=self)

    def advance(self) -> None:
        """Count one more finished item."""
        self.done += 1
        self.advanced = self.clock()

    def seconds_left(self) -> float | None:
        """Seconds for the remaining items at the mean pace; None before the first is finished, or if the total is unknown."""
        if not self.done or self.total is None:
            return None
        pace = (self.advanced - self.started) / self.done
        return max(0.0, pace * (self.total - self.done) - (self.clock() - self.advanced))

    def times(self) -> str:
        """The time that the loop has taken, and the expected time left."""
        left = self.seconds_left()
        elapsed = f"{_clock_time(self.clock() - self.started)} elapsed"
        return elapsed if left is None else f"{elapsed}, about {_clock_time(left)} left"

    def count(self) -> str:
        """The number of finished items, in words."""
        return f"{self.what}: {self.done}" + ("" if self.total is None else f" of {self.total}")


class _Times(ProgressColumn):
    """Time elapsed and left, of one bar."""

    def render(self, task: Task) -> Text:
        return Text(task.fields["loop"].times())


def _clock_time(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


@contextmanager
def shown_on(watch: Watch) -> Iterator[None]:
    """Show the progress of all loops in the block on this console instead of on stderr."""
    token = _watch.set(watch)
    try:
        yield
    finally:
        _watch.reset(token)


def progress(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Iterate over `items` and show the progress of the loop.

    Args:
        items: any iterable.
        what: name of the items, one or two words.
        total: number of items, if `len(items)` does not give it.
    """
    outer = _watch.get()
    watch = outer or Watch(Console(stderr=True, quiet=multiprocessing.parent_process() is not None))
    if total is None and isinstance(items, Sized):
        total = len(items)
    token = _watch.set(watch)
    loop = watch.begin(what, total)
    try:
        for item in items:
            watch.show()
            yield item
            loop.advance()
        watch.show()
    finally:
        watch.end(loop)
        _watch.reset(token)


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """On a terminal, show that a long block without steps is running, such as the import of a large library.

    Args:
        what: a few words that name it.
    """
    if not Console(stderr=True).is_terminal:
        yield
        return
    for _ in progress([None], what):
        yield
