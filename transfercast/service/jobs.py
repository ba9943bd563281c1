"""Retraining in the background: a process of its own, so that forecasts are not slowed down and nothing of it stays here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from transfercast.core.errors import InputError

HISTORY_VARIABLE = "TRANSFERCAST_HISTORY"  # read by train-meta in place of --history
MOST_REMEMBERED = 50
MOST_TEXT = 4_000

State = Literal["running", "done", "failed"]


@dataclass(slots=True)
class Job:
    """One retraining.

    Attributes:
        id: to ask for it by.
        state: running, done (whether promoted or not), failed.
        started, seconds: when, in seconds since the epoch, and for how long.
        message: what it said last: its verdict, or its error.
        rows: quality of feature sets and champion, when done.
    """

    id: str
    state: State = "running"
    started: float = field(default_factory=time.time)
    seconds: float = 0.0
    message: str = ""
    rows: list[dict[str, object]] = field(default_factory=list)


class Jobs:
    """Retrainings of one predictor from one history, one at a time.

    Args:
        history: URL or file.
        folder: of the predictor's versions.
        afterwards: called when a retraining has ended well.
    """

    def __init__(self, history: str, folder: Path, afterwards: Callable[[], None]) -> None:
        self._history, self._folder, self._afterwards = history, folder, afterwards
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()

    def start(self, minutes: float, margin: float) -> Job:
        """Begin a retraining.

        Raises:
            InputError: if one is running.
        """
        with self._lock:
            running = next((job for job in self._jobs.values() if job.state == "running"), None)
            if running is not None:
                raise InputError(f"retraining {running.id} is running; wait for it.")
            job = Job(uuid.uuid4().hex[:12])
            self._jobs[job.id] = job
            while len(self._jobs) > MOST_REMEMBERED:
                del self._jobs[next(iter(self._jobs))]
        command = [
            sys.executable, "-m", "transfercast", "train-meta", "--out", str(self._folder),
            "--minutes", str(minutes), "--margin", str(margin), "--json",
        ]  # fmt: skip
        threading.Thread(target=self._run, args=(job, command), name=f"retraining {job.id}", daemon=True).start()
        return job

    def find(self, name: str) -> Job | None:
        """A retraining by its id, while it is remembered."""
        return self._jobs.get(name)

    def all(self) -> list[Job]:
        """All that are remembered, the last first."""
        return list(reversed(self._jobs.values()))

    def _run(self, job: Job, command: list[str]) -> None:
        # the URL may hold a password, and other users can read command lines
        environment = {**os.environ, HISTORY_VARIABLE: self._history}
        ended = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, env=environment)
        job.message = ended.stderr.strip()[-MOST_TEXT:]
        if ended.returncode == 0:
            job.rows = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]
            self._afterwards()
        job.seconds = time.time() - job.started
        job.state = "done" if ended.returncode == 0 else "failed"
