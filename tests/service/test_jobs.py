"""A retraining ends with the service that began it, can be cancelled, and never stays running when it is not."""

from __future__ import annotations

import subprocess
import sys
import time

import psutil
import pytest

from transfercast.core.errors import InputError
from transfercast.service import jobs as module
from transfercast.service.jobs import Job, Jobs


def until_ended(job: Job, seconds: float = 20.0) -> Job:
    deadline = time.monotonic() + seconds
    while job.state == "running" and time.monotonic() < deadline:
        time.sleep(0.02)
    return job


@pytest.fixture
def begin(tmp_path, monkeypatch):
    """Jobs whose process is a program of the test's own; the report's path is its last argument."""
    begun = []

    def of(code: str) -> Jobs:
        run = module.Jobs._wait
        monkeypatch.setattr(
            Jobs, "_wait", lambda self, job, command, said: run(self, job, [sys.executable, "-c", code, command[-1]], said)
        )
        begun.append(Jobs("sqlite:///h.db", tmp_path, lambda: None))
        return begun[-1]

    yield of
    for jobs in begun:
        jobs.stop()


SLEEP = "import time; time.sleep(60)"


def test_one_that_is_cancelled_is_ended_and_another_can_begin(begin):
    jobs = begin(SLEEP)
    job = jobs.start(1, 0)
    with pytest.raises(InputError, match=f"DELETE /v1/retrain/{job.id}"):
        jobs.start(1, 0)
    jobs.cancel(job)
    assert job.state == "cancelled"
    assert job.seconds < 20
    second = jobs.start(1, 0)
    jobs.cancel(second)
    jobs.cancel(second)  # it has ended, and stays as it is
    assert [known.state for known in jobs.all()] == ["cancelled", "cancelled"]


STUBBORN = """
import os, pathlib, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path({place!r}).write_text(str(os.getpid()))
time.sleep(60)
"""


def test_stopping_ends_what_is_running_even_if_it_does_not_want_to(begin, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "STOP_SECONDS", 0.2)
    place = tmp_path / "pid"
    jobs = begin(STUBBORN.format(place=str(place)))
    job = jobs.start(1, 0)
    deadline = time.monotonic() + 20
    while not (place.exists() and place.read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)
    jobs.stop()
    assert job.state == "cancelled"
    while psutil.pid_exists(int(place.read_text())) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not psutil.pid_exists(int(place.read_text()))


def test_one_that_cannot_be_started_has_failed_and_the_next_can_begin(begin, monkeypatch):
    jobs = begin(SLEEP)

    def no_processes(*args, **kwargs):
        raise OSError(11, "Resource temporarily unavailable")

    with monkeypatch.context() as broken:
        broken.setattr(subprocess, "Popen", no_processes)
        job = until_ended(jobs.start(1, 0))
    assert (job.state, job.message) == ("failed", "could not be run (Resource temporarily unavailable)")
    assert jobs.start(1, 0).state == "running"


@pytest.mark.parametrize(
    ("code", "message"),
    [("import os; os.kill(os.getpid(), 9)", "ended by SIGKILL"), ("raise SystemExit(7)", "ended with code 7"),
     ("import sys; sys.exit('error: no such history.')", "error: no such history."), ("", "could not be run"),
     ("import sys; open(sys.argv[1], 'w').write('{')", "could not be run"),
     ("import sys; open(sys.argv[1], 'w').write('{}')", "could not be run"),
     ("import sys; sys.exit('postgresql://tc:S3KRET@db/x is down')", "postgresql://tc:***@db/x is down"),
     ("import sys; sys.stderr.buffer.write(bytes([255, 10])); sys.exit(1)", "\N{REPLACEMENT CHARACTER}")],
)  # fmt: skip
def test_however_one_fails_it_says_so(begin, code, message):
    job = until_ended(begin(code).start(1, 0))
    assert job.state == "failed"
    assert job.message.startswith(message)


def test_what_came_of_one_is_what_its_report_says(begin):
    report = '{"version": "0002-x", "promoted": false, "reason": "worse", "rows": [{"RMSE": null}], "margin": 1}'
    job = until_ended(begin(f"import sys; open(sys.argv[1], 'w').write({report!r}); print('{{not a row}}')").start(1, 0))
    assert (job.state, job.version, job.promoted, job.message) == ("done", "0002-x", False, "worse")
    assert job.rows == [{"RMSE": None}]


BEGIN_AND_WAIT = """
import subprocess, sys, time
process = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE)
print(process.pid, flush=True)
time.sleep(60)
"""

END_WITH_STDIN = """
import threading, time
from transfercast.cli.train_meta import _end_with_stdin
threading.Thread(target=_end_with_stdin, daemon=True).start()
print("on", flush=True)
time.sleep(60)
"""


def test_a_retraining_ends_when_the_process_that_began_it_is_killed():
    command = [sys.executable, "-c", BEGIN_AND_WAIT, sys.executable, "-c", END_WITH_STDIN]
    service = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    retraining = psutil.Process(int(service.stdout.readline()))
    assert service.stdout.readline() == "on\n"
    service.kill()
    service.communicate()
    gone, alive = psutil.wait_procs([retraining], timeout=10)
    assert gone
    assert not alive
