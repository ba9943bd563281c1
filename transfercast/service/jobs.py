"""Retraining in a separate process, so that forecasts are not slowed down and its memory is released afterwards.

The process is `transfercast train-meta`. It writes its result to a file, and ends when its standard input is closed. That
happens when this process ends in any way, so no retraining outlives the service that started it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from transfercast.core import environment
from transfercast.core.errors import ArtifactError, InputError, TransfercastError
from transfercast.core.files import parse_json, reason
from transfercast.core.text import redacted
from transfercast.core.validation import checked
from transfercast.service.limits import MOST_RETRAININGS

MOST_TEXT = 4_000
STOP_SECONDS = 5.0
"""Time that a process has to end when it is asked to, before it is killed."""

CANCELLED = "cancelled; the predictor in force is the one from before"

State = Literal["running", "done", "failed", "cancelled"]


@dataclass(slots=True)
class Job:
    """One retraining.

    Attributes:
        id: identifies it in requests.
        state: running, done (whether promoted or not), failed, cancelled.
        started, seconds: its start, in seconds since the epoch, and its duration.
        version, promoted: the new version, and whether it is in force; None until done.
        message: its verdict, or its error.
        rows: quality of feature sets and champion, when done.
    """

    id: str
    state: State = "running"
    started: float = field(default_factory=time.time)
    seconds: float = 0.0
    version: str | None = None
    promoted: bool | None = None
    message: str = ""
    rows: list[dict[str, Any]] = field(default_factory=list)


class _Report(BaseModel):
    """The fields that are read from the report of a retraining."""

    model_config = ConfigDict(extra="ignore")

    version: str
    promoted: bool
    reason: str
    rows: list[dict[str, Any]]


class Jobs:
    """Retrainings of one predictor from one history, one at a time.

    Args:
        history: URL or file.
        folder: folder of the predictor's versions.
        afterwards: called when a retraining has succeeded.
    """

    def __init__(self, history: str, folder: Path, afterwards: Callable[[], None]) -> None:
        self._history, self._folder, self._afterwards = history, folder, afterwards
        self._jobs: dict[str, Job] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def start(self, minutes: float, margin: float) -> Job:
        """Start a retraining.

        Raises:
            InputError: if one is running.
        """
        with self._lock:
            running = self._running()
            if running is not None:
                raise InputError(f"retraining {running.id} is running; wait for it, or DELETE /v1/retrain/{running.id}.")
            job = Job(uuid.uuid4().hex[:12])
            self._jobs[job.id] = job
            while len(self._jobs) > MOST_RETRAININGS:
                del self._jobs[next(iter(self._jobs))]
        command = [
            sys.executable, "-m", "transfercast", "train-meta", "--out", str(self._folder), "--minutes", str(minutes),
            "--margin", str(margin), "--end-with-stdin", "--report",
        ]  # fmt: skip
        threading.Thread(target=self._run, args=(job, command), name=f"retraining {job.id}", daemon=True).start()
        return job

    def find(self, name: str) -> Job | None:
        """A retraining by its id, if it is still remembered."""
        return self._jobs.get(name)

    def all(self) -> list[Job]:
        """All remembered retrainings, the latest first."""
        return list(reversed(self._jobs.values()))

    def cancel(self, job: Job) -> None:
        """Cancel a retraining; one that has ended is not changed."""
        with self._lock:
            if job.state != "running":
                return
            job.state, job.message = "cancelled", CANCELLED
            job.seconds = time.time() - job.started
            process = self._process
        if process is not None:
            _end(process)

    def stop(self) -> None:
        """End the running retraining, if any."""
        running = self._running()
        if running is not None:
            self.cancel(running)

    def _running(self) -> Job | None:
        return next((job for job in self._jobs.values() if job.state == "running"), None)

    def _run(self, job: Job, command: list[str]) -> None:
        """Wait for the process; the job's state is no longer `running` afterwards, also after an error."""
        state: State = "failed"
        try:
            with tempfile.TemporaryDirectory(prefix="transfercast-") as place:
                report, said = Path(place) / "report.json", Path(place) / "stderr"
                code = self._wait(job, [*command, str(report)], said)
                if code == 0:
                    _take(report, job)
                    state = "done"
                else:
                    job.message = said.read_text(encoding="utf-8", errors="replace").strip()[-MOST_TEXT:] or _how_it_ended(code)
        except (OSError, TransfercastError) as error:
            job.message = f"could not be run ({reason(error)})"
        finally:
            job.message = redacted(job.message)
            with self._lock:
                self._process = None
                if job.state == "running":
                    job.state, job.seconds = state, time.time() - job.started
                else:
                    job.message = CANCELLED
        if job.state == "done":
            self._afterwards()

    def _wait(self, job: Job, command: list[str], said: Path) -> int:
        variables = {**os.environ, environment.HISTORY: self._history}
        with (
            said.open("wb") as stderr,
            subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=stderr, env=variables
            ) as process,
        ):
            with self._lock:
                self._process = process
                cancelled = job.state != "running"
            if cancelled:  # before the process was started
                _end(process)
            return process.wait()


def _take(report: Path, job: Job) -> None:
    """Read the result that a process reported.

    Raises:
        OSError, ArtifactError: if there is no report, or it is incomplete.
    """
    content = checked(_Report, str(report), parse_json(report.read_bytes(), str(report)), ArtifactError)
    job.version, job.promoted, job.message, job.rows = content.version, content.promoted, content.reason, content.rows


def _how_it_ended(code: int) -> str:
    return f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
