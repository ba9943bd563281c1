"""Turn-taking: a living worker's step is its own, a dead one's is free, on one machine and across several."""

from __future__ import annotations

import subprocess
import sys
import time

import psutil
import pytest
import sqlalchemy as sa

from transfercast.core import owners
from transfercast.execution import claims
from transfercast.history.store import History
from transfercast.history.tables import STEPS


@pytest.fixture
def engine(tmp_path):
    return History(tmp_path / "h.db").engine


def overwrite(engine, position, **values):
    """Change a step as another process would have."""
    with engine.begin() as connection:
        connection.execute(sa.update(STEPS).where(STEPS.c.position == position).values(**values))


def state(engine, position):
    return claims.states(engine, "p")[position].state


def test_a_living_worker_s_step_is_left_alone_and_a_dead_one_s_is_free_at_once(engine):
    claims.enter(engine, "p", [0, 1, 2])
    assert claims.claim(engine, "p", last=[2]) == 0
    overwrite(engine, 1, state=claims.RUNNING, owner="elsewhere:1:0.00", heartbeat=time.time())
    assert claims.claim(engine, "p", last=[2]) is None  # 0 is ours and running, 1 beats elsewhere, 2 waits for both
    overwrite(engine, 1, heartbeat=time.time() - 2 * claims.SILENT_SECONDS)
    assert claims.claim(engine, "p", last=[2]) == 1
    overwrite(engine, 1, owner=f"{owners.machine_id()}:{2**22 + 1}:0.00", heartbeat=time.time())
    assert claims.claim(engine, "p", last=[2]) == 1
    for position in (0, 1):
        claims.update(engine, "p", position, state=claims.DONE)
    assert claims.claim(engine, "p", last=[2]) == 2
    claims.update(engine, "p", 2, state=claims.DONE)
    assert claims.finished(engine, "p")


def test_two_machines_of_one_host_name_and_process_number_do_not_run_the_same_step(engine, monkeypatch):
    # Containers on host networking share the name of the host, and each counts its processes from 1.
    claims.enter(engine, "p", [0])
    ours = owners.owner_id()
    assert claims.claim(engine, "p") == 0
    monkeypatch.setattr(owners, "machine_id", lambda: "b" * 16)
    assert owners.owner_id().split(":")[1:] == ours.split(":")[1:]
    assert claims.claim(engine, "p") is None  # the other's heart beats
    assert claims.at_work(engine, "p") == {0}
    overwrite(engine, 0, heartbeat=time.time() - 2 * claims.SILENT_SECONDS)
    assert claims.claim(engine, "p") == 0


def test_machines_of_one_host_name_differ_by_boot_and_by_process_namespace(monkeypatch):
    machine = owners.machine_id.__wrapped__
    ours = machine()
    assert machine() == ours
    with monkeypatch.context() as other:
        other.setattr("os.readlink", lambda path: "pid:[1]")
        assert machine() != ours
    with monkeypatch.context() as other:
        other.setattr("pathlib.Path.read_text", lambda path, encoding: "another boot")
        assert machine() != ours


def test_a_living_process_of_this_machine_keeps_its_step_although_its_heart_was_stopped_for_long(engine):
    # A machine that was suspended wakes with old heartbeats everywhere.
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        started = psutil.Process(other.pid).create_time() - psutil.boot_time()
        claims.enter(engine, "p", [0])
        long_ago = time.time() - 10 * claims.SILENT_SECONDS
        owner = f"{owners.machine_id()}:{other.pid}:{started:.2f}"
        overwrite(engine, 0, state=claims.RUNNING, owner=owner, heartbeat=long_ago)
        assert claims.claim(engine, "p") is None
    finally:
        other.communicate()
    assert claims.claim(engine, "p") == 0


@pytest.mark.parametrize("owner", ["myhost:123:1700000000.00", "nothing", "", "a:b:c"])
def test_owners_as_earlier_versions_wrote_them_are_read_as_elsewhere(owner):
    assert claims.owner_works(owner, time.time())
    assert not claims.owner_works(owner, time.time() - 2 * claims.SILENT_SECONDS)
    assert not claims.owner_works(owner, None)


def test_a_reused_process_id_does_not_pass_for_the_old_owner():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        started = psutil.Process(child.pid).create_time() - psutil.boot_time()
        assert claims.owner_works(f"{owners.machine_id()}:{child.pid}:{started:.2f}", None)
        assert not claims.owner_works(f"{owners.machine_id()}:{child.pid}:{started - 60:.2f}", None)
    finally:
        child.communicate()


def test_setting_the_clock_does_not_make_this_process_another(monkeypatch):
    before = owners.owner_id()
    boot_time = psutil.boot_time
    monkeypatch.setattr(psutil, "boot_time", lambda: boot_time() + 3600)
    create_time = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: create_time(self) + 3600)
    assert owners.owner_id() == before
    assert owners.is_alive(before)


def test_what_failed_is_tried_again_at_the_next_start_and_so_is_what_rests_on_it(engine):
    rests_on = {0: 3, 1: 3, 2: 4}
    claims.enter(engine, "p", range(5), rests_on)
    for position, outcome in enumerate((claims.DONE, claims.FAILED, claims.DONE, claims.DONE, claims.DONE)):
        assert claims.claim(engine, "p") == position
        claims.update(engine, "p", position, state=outcome)
    claims.enter(engine, "p", range(5), rests_on)
    assert [state(engine, position) for position in range(5)] == ["done", "planned", "done", "planned", "done"]


def test_a_step_that_another_has_taken_over_is_not_closed_by_its_old_owner(engine):
    claims.enter(engine, "p", [0])
    claims.claim(engine, "p")
    overwrite(engine, 0, owner="elsewhere:1:0.00", heartbeat=time.time())
    claims.update(engine, "p", 0, state=claims.DONE)
    assert state(engine, 0) == claims.RUNNING


def test_the_heart_beats_on_when_the_database_is_away_for_a_moment(engine, monkeypatch):
    claims.enter(engine, "p", [0])
    claims.claim(engine, "p")
    overwrite(engine, 0, heartbeat=1.0)
    monkeypatch.setattr(claims, "BEAT_SECONDS", 0.01)
    written, updates = claims.update, []

    def away_at_first(*arguments, **values):
        updates.append(values)
        if len(updates) == 1:
            raise sa.exc.OperationalError("UPDATE", {}, OSError("database is locked"))
        written(*arguments, **values)

    monkeypatch.setattr(claims, "update", away_at_first)
    with claims.heartbeat(engine, "p", 0):
        deadline = time.monotonic() + 10
        while claims.states(engine, "p")[0].heartbeat == 1.0 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert claims.states(engine, "p")[0].heartbeat > 1.0
