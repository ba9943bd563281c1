"""Ids of processes that own a piece of work, by which a later process can check whether the owner still runs.

Host names do not identify machines (containers may share one), and process numbers are unique only inside one
process namespace, so an owner's id identifies its machine by boot and namespace.
"""

from __future__ import annotations

import functools
import hashlib
import os
import socket
from pathlib import Path

import psutil


@functools.cache
def machine_id() -> str:
    """This boot of this machine, and this process namespace: 16 hexadecimal digits."""
    parts = [socket.gethostname()]
    for place, read in (
        ("/proc/sys/kernel/random/boot_id", lambda path: Path(path).read_text(encoding="ascii").strip()),
        ("/proc/self/ns/pid", os.readlink),
    ):
        try:
            parts.append(read(place))
        except OSError:  # not Linux: boot time and host name must do
            parts.append(f"{psutil.boot_time():.0f}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def owner_id() -> str:
    """Id of this process: machine, process number, and start time in seconds after the boot."""
    return f"{machine_id()}:{os.getpid()}:{_seconds_after_boot(os.getpid()):.2f}"


def _seconds_after_boot(pid: int) -> float:
    """Start time of a process in seconds after the boot, so that setting the clock does not change its id."""
    booted = psutil.boot_time()
    return psutil.Process(pid).create_time() - booted


def is_alive(owner: str) -> bool | None:
    """Whether an owner's process still runs; None if that cannot be known, because it is on another machine."""
    try:
        machine, pid, started = owner.rsplit(":", 2)
        number, since = int(pid), float(started)
    except ValueError:
        return None
    if machine != machine_id():
        return None
    try:
        return abs(_seconds_after_boot(number) - since) < 1.0
    except (psutil.NoSuchProcess, OverflowError, ValueError):
        return False
