"""One function over many arguments, by the backend that joblib is set to: in turn, in processes, or on a cluster.

Processes that joblib starts share the cores: two processes on two cores compute with one thread each. Messages that another
process logs are logged again by the caller when the call is done, as if the call had been made in this process.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from typing import Any, TypeVar

from joblib import Parallel, delayed

from transfercast.core.errors import TransfercastError
from transfercast.core.owners import owner_id

RANDOM_STATE = threading.Lock()
"""Held while a model is trained. Torch has one random state a process; threads take turns, so results are those of one job."""

PARENT_SECONDS = 1.0

Result = TypeVar("Result")
Logged = tuple[str, int, str]
"""A logger's name, a level and a message."""


def in_parallel(function: Callable[..., Result], arguments: Iterable[tuple[Any, ...]], jobs: int | None) -> Iterator[Result]:
    """Results as they are finished, or in the order of the arguments with a backend that cannot do so (multiprocessing).

    Args:
        function: called with each of the arguments.
        arguments: one tuple for each call.
        jobs: calls at a time; None takes the number that `joblib.parallel_config` sets, else one.

    Raises:
        TransfercastError: if a process that shared the work was killed. Errors of a call are raised as they are.
    """
    # joblib replaces a process whose memory has grown, and warns of it in the thread that hands out the work; where warnings
    # are errors, that thread would end, and the caller wait for ever
    warnings.filterwarnings("ignore", "A worker stopped while some jobs were given", UserWarning)
    caller, level = owner_id(), logging.getLogger().getEffectiveLevel()
    calls = [delayed(_logged)(caller, level, function, given) for given in arguments]
    try:
        for result, records in _results(calls, jobs):
            for name, severity, message in records:
                logging.getLogger(name).log(severity, "%s", message)
            yield result
    except BrokenProcessPool as error:
        raise TransfercastError(
            "a process that shared the work was killed, perhaps for want of memory; what was finished is kept. "
            "Start again, with fewer jobs."
        ) from error


def _results(calls: list[Any], jobs: int | None) -> Iterator[tuple[Any, list[Logged]]]:
    try:
        yield from Parallel(n_jobs=jobs, return_as="generator_unordered")(calls)
    except ValueError as error:
        if "return_as" not in str(error):
            raise
        yield from Parallel(n_jobs=jobs)(calls)


class _Collector(logging.Handler):
    """Keeps the messages that one thread logs."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[Logged] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.records.append((record.name, record.levelno, record.getMessage()))


def _logged(caller: str, level: int, function: Callable[..., Result], given: tuple[Any, ...]) -> tuple[Result, list[Logged]]:
    """The result of a call, and, if it was made in another process, the messages that it logged at `level` and above."""
    if owner_id() == caller:
        return function(*given), []
    if caller.split(":")[1] == str(os.getppid()):
        _end_with_parent(os.getppid())
    collector, root = _Collector(), logging.getLogger()
    before = root.level
    root.addHandler(collector)
    root.setLevel(level)
    _at_work.add(threading.get_ident())
    try:
        return function(*given), collector.records
    finally:
        _at_work.discard(threading.get_ident())
        root.setLevel(before)
        root.removeHandler(collector)


_at_work: set[int] = set()
"""Threads of this process that are running a call."""


@cache
def _end_with_parent(parent: int) -> None:
    """End this process when its parent was killed and no call is running; otherwise it would wait for five minutes."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_SECONDS)
        while _at_work:
            time.sleep(PARENT_SECONDS)
        os._exit(0)

    threading.Thread(target=watch, name="watch of the parent", daemon=True).start()
