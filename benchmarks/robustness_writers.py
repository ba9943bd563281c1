"""Eight processes that write to one history at once, on SQLite and PostgreSQL: all is kept, each once, without an error.

Each writes five hundred observations of its own, in batches, and between them the same hundred as all others, in an order
of its own, so that transactions meet.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

from benchmarks.postgres import programs, server
from benchmarks.robustness_base import Tally
from transfercast.core.records import Observation

WRITERS, OWN, SHARED, BATCH = 8, 500, 100, 25


def writers(inputs: Path, tally: Tally) -> None:
    """Write to both kinds of database."""
    folder = inputs.parent / "writers"
    folder.mkdir()
    _written(f"sqlite:///{folder}/history.db", folder, tally)
    binaries = programs()
    if binaries is None:
        tally.skipped.append("writers on PostgreSQL: apt-get install postgresql, and pip install 'psycopg[binary]'")
        return
    with server(binaries) as new:
        _written(new(), folder, tally)


def _written(url: str, folder: Path, tally: Tally) -> None:
    from transfercast.history.store import History

    kind = url.split(":")[0]
    children = [_writer(url, number, folder / f"{kind}-{number}") for number in range(WRITERS)]
    for pid in children:
        os.waitpid(pid, 0)
    told = [(folder / f"{kind}-{number}").read_text(encoding="utf-8") for number in range(WRITERS)]
    history = History(url)
    there = len(history)
    history.engine.dispose()
    tally.cases += WRITERS
    new = sum(int(text) for text in told if text.isdigit())
    expected = WRITERS * OWN + SHARED
    for text in told:
        if not text.isdigit():
            tally.problem("tracebacks", f"a writer on {kind}: {text}")
    if there != expected:
        tally.problem("lost", f"writers on {kind}: {there} of {expected} observations", abs(expected - there))
    if new != expected:
        tally.problem("silent", f"writers on {kind}: told of {new} new observations, {expected} were")
    print(f"{kind}: {there} of {expected} observations, {new} told as new", flush=True)


def _writer(url: str, number: int, told: Path) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        from transfercast.history.store import History

        history, new = History(url), 0
        rng = random.Random(number)
        own = [_observation(f"w{number}", seed) for seed in range(OWN)]
        for begin in range(0, OWN, BATCH):
            shared = [_observation("all", seed) for seed in range(SHARED)]
            rng.shuffle(shared)
            new += history.append([*shared[:BATCH], *own[begin : begin + BATCH], *shared[BATCH:]])
        told.write_text(str(new), encoding="utf-8")
    except BaseException as error:
        told.write_text(f"{type(error).__name__}: {error}"[:300], encoding="utf-8")
    finally:
        os._exit(0)


def _observation(source: str, seed: int) -> Observation:
    return Observation(
        source=source, target="t", recipe="full", encoder="e", seed=seed, metric="positive_f1", split="validation", score=0.5,
        hours=0.1,
    )  # fmt: skip
