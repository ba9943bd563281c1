"""Repeat an action in a separate thread while a block runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def repeated(action: Callable[[], None], seconds: float, name: str, at_end: Callable[[], None] | None = None) -> Iterator[None]:
    """Call `action` every so many seconds while the block runs; the thread has ended when the block has.

    Args:
        action: must not raise; an error ends the repetition.
        seconds: time before each call.
        name: name of the thread.
        at_end: called last, in the thread.
    """
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(seconds):
            action()
        if at_end is not None:
            at_end()

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
