"""Work shared by processes is told of as work of this one: its results, what it logs, what goes wrong."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys

import joblib
import pytest

from transfercast.core.errors import InputError, TransfercastError
from transfercast.core.parallel import in_parallel

log = logging.getLogger("transfercast.somewhere")


def _square(number):
    log.warning("about to square %d", number)
    log.info("quietly")
    return os.getpid(), number**2


def _refuse(number):
    raise InputError(f"row {number} is wrong.")


def _die(number):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("jobs", [None, 1, 2])
def test_results_and_what_is_logged_are_the_same_in_one_process_and_in_two(jobs, caplog):
    with caplog.at_level(logging.WARNING):
        found = list(in_parallel(_square, [(number,) for number in range(6)], jobs))
    assert sorted(value for _, value in found) == [0, 1, 4, 9, 16, 25]
    assert ({pid for pid, _ in found} == {os.getpid()}) == (jobs != 2)
    told = [record.getMessage() for record in caplog.records if record.name == log.name]
    assert sorted(told) == [f"about to square {number}" for number in range(6)]


def test_threads_log_once_and_in_order_of_their_own(caplog):
    with joblib.parallel_config("threading", n_jobs=2), caplog.at_level(logging.INFO):
        list(in_parallel(_square, [(number,) for number in range(4)], None))
    told = [record.getMessage() for record in caplog.records if record.name == log.name]
    assert len(told) == 8


def test_an_error_of_another_process_is_the_one_that_was_raised():
    with pytest.raises(InputError, match=r"^row 3 is wrong\.$"):
        list(in_parallel(_refuse, [(3,), (3,)], 2))


@pytest.mark.filterwarnings("ignore")
def test_a_process_that_is_killed_is_one_sentence():
    with pytest.raises(TransfercastError, match="was killed, perhaps for want of memory; what was finished is kept"):
        list(in_parallel(_die, [(1,), (2,)], 2))


GROWING = """
import builtins, time
from transfercast.core.parallel import in_parallel
def grown(number):
    builtins.kept = b"x" * (400_000_000 if number > 1 else 1)  # of each process, after its first call
    time.sleep(1.1)  # joblib looks at the memory of its processes once a second
    return number
print(sorted(in_parallel(grown, [(number,) for number in range(6)], 2)))
"""


def test_where_warnings_are_errors_a_process_that_has_grown_is_replaced_and_the_work_is_done(tmp_path):
    script = tmp_path / "growing.py"
    script.write_text(GROWING, encoding="utf-8")
    ended = subprocess.run([sys.executable, "-W", "error", script], capture_output=True, text=True, timeout=90)
    assert ended.stdout.split("\n")[0] == "[0, 1, 2, 3, 4, 5]", ended.stderr
