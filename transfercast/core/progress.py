"""Progress with time left, on stderr, for what takes over two seconds; silent when nobody watches."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sized
from contextvars import ContextVar
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

T = TypeVar("T")

PATIENCE_SECONDS = 2.0
_outer: ContextVar[Progress | None] = ContextVar("outer_progress", default=None)


def progress(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Pass `items` on, showing a bar after two seconds; nested calls add a bar below the outer one's.

    Args:
        items: anything that can be looped over; the loop does not know that it is watched.
        what: a word or two, shown before the bar.
        total: how many items there are, where `len(items)` cannot tell.
    """
    outer = _outer.get()
    bars = outer or Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("left"), TimeRemainingColumn(), console=Console(stderr=True), transient=True,
    )  # fmt: skip
    if total is None:
        total = len(items) if isinstance(items, Sized) else None
    token = _outer.set(bars)
    task = bars.add_task(what, total=total, visible=False)
    started = time.monotonic()
    try:
        for item in items:
            if time.monotonic() - started > PATIENCE_SECONDS and bars.console.is_terminal:
                bars.update(task, visible=True)
                bars.start()
            yield item
            bars.advance(task)
    finally:
        bars.remove_task(task)
        if outer is None and bars.live.is_started:
            bars.stop()
        _outer.reset(token)
