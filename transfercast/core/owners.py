"""Who owns a piece of work: a process, known so that a later one can tell whether it still lives.

Host names do not tell machines apart (containers may share one), and process numbers mean something only inside one
process namespace, so an owner names its machine by boot and namespace.
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
    """This process: machine, process number, and when it started, in seconds since the machine did."""
    return f"{machine_id()}:{os.getpid()}:{_seconds_after_boot(os.getpid()):.2f}"


def _seconds_after_boot(pid: int) -> float:
    """When a process started; counted from the boot, so that setting the clock does not make it another process."""
    booted = psutil.boot_time()
    return psutil.Process(pid).create_time() - booted


def is_alive(owner: str) -> bool | None:
    """Whether an owner's process lives; None where that cannot be known from here, for it is on another machine."""
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
