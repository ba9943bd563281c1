"""Many hands on one plan, with trainings that sleep: three workers killed at random moments, and four against one.

What is measured is the search itself: turn-taking, records, checkpoints. A training that sleeps makes its model, calls back
after each epoch, and leaves the cores to others.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.postgres import programs, server
from benchmarks.robustness_base import Tally, judge, start, well
from benchmarks.robustness_base import features as features_command
from benchmarks.robustness_kills import BOTH, JOBS, kills

EPOCHS = 2
RATES = ("0.01", "0.02", "0.03", "0.04", "0.05", "0.06", "0.07")
TRIALS = 40
"""So that four workers share them evenly; the targets alone are those that were measured, and take no time."""
PROBLEMS = ("lost", "repeated", "orphans", "left", "differing", "tracebacks", "hangs")


@contextmanager
def asleep(seconds: float) -> Iterator[None]:
    """Let trainings of this process, and of those that it forks, take so many seconds and hardly any work."""
    from transfercast.core.trainings import EpochRecord
    from transfercast.sources.encoders import load_tokenizer
    from transfercast.sources.finetune import Trained
    from transfercast.sources.models import new_model

    def sleeping(task: Any, checkpoint: Path, recipe: Any, *, seed: int, after_epoch: Any = None, **_: Any) -> Trained:
        import torch

        torch.manual_seed(seed)
        model = new_model(checkpoint, task, keep_head=True, mean=False)
        record = EpochRecord(0.5, 0.5, seconds / EPOCHS)
        for epoch in range(EPOCHS):
            time.sleep(seconds / EPOCHS)
            if after_epoch is not None:
                after_epoch(epoch, record)
        return Trained(model.eval(), load_tokenizer(checkpoint), seconds, (record,) * EPOCHS, EPOCHS - 1, 0.0, 0.0)

    with mock.patch("transfercast.execution.worker.fine_tune", sleeping):
        yield


def killed(inputs: Path, given: argparse.Namespace) -> dict[str, object]:
    """Kill workers of three on each database; what was lost, trained again, or left running."""
    told: dict[str, object] = {}
    search = next(job for job in JOBS if job.name == "search")
    for kind in given.database or BOTH:
        tally = Tally()
        with asleep(0.3):
            job = replace(search, name=f"search by three on {kind}", workers=3, databases=(kind,))
            kills(inputs, tally, given.kills, given.seed, (job,))
        told[f"kills_{kind}"] = tally.kills
        told |= {f"{name}_{kind}": getattr(tally, name) for name in PROBLEMS}
        for line in (*tally.problems, *tally.skipped):
            print(line)
        print(f"{kind}: {tally.kills} kills, {[getattr(tally, name) for name in PROBLEMS]}", flush=True)
    return told


def throughput(inputs: Path, seconds: float = 6.0) -> dict[str, object]:
    """Trainings an hour of four workers over those of one, on PostgreSQL."""
    binaries = programs()
    if binaries is None:
        print("throughput: left out, for PostgreSQL's programs or psycopg are missing")
        return {"throughput_four": None}
    folder = inputs.parent / "many"
    folder.mkdir()
    log, cache = folder / "log", folder.parent / "cache"
    shutil.copytree(inputs / "pool", folder / "pool")
    well(features_command(inputs), folder, log, cache)
    rates = [part for rate in RATES for part in ("--lr", rate)]
    well(["plan", "features.parquet", "--trials", str(TRIALS), *rates], folder, log, cache)
    taken: dict[int, float] = {}
    with server(binaries) as new, asleep(seconds):
        for workers in (1, 4):
            taken[workers] = _seconds(folder, new(), workers, cache)
            print(f"{workers} workers: {taken[workers]:.1f} s", flush=True)
    return {"throughput_four": taken[1] / taken[4], "seconds_one": taken[1], "seconds_four": taken[4]}


def _seconds(folder: Path, url: str, workers: int, cache: Path) -> float:
    started, tally = time.perf_counter(), Tally()
    arguments = ["search", "plan.json", "--storage", url]
    children = [start(arguments, folder, folder / f"log{number}", cache) for number in range(workers)]
    for child in children:
        child.wait(600)
        judge(child, f"{workers} workers", tally, (0,))
    if tally.problems:
        raise SystemExit("; ".join(tally.problems))
    return time.perf_counter() - started
