"""Disks that are full or read-only, and a database that somebody else has locked, under every command that writes.

On a full disk a command must say so in one line, leave nothing half-written, and do its work when there is room again.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.robustness_base import (
    Child,
    Tally,
    done,
    features,
    fit_sources,
    judge,
    leftovers,
    may_mount,
    remounted,
    small_disk,
    well,
)  # fmt: skip

SHARES = (0.02, 0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 0.95)
"""Of the bytes that a command writes, for which there is room."""

PAGE = 4096


HOLD = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1])
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
time.sleep(float(sys.argv[2]))
"""
"""A process of its own: a fork of one that holds a lock would believe that it holds it, too."""


@dataclass(frozen=True)
class Writing:
    """A command that writes below the folder where it is run.

    Attributes:
        arguments: of the command, and of those that must have run before it.
        before: commands whose results it needs.
        needs: inputs that are copied there first.
    """

    arguments: list[str]
    before: Sequence[list[str]] = ()
    needs: tuple[str, ...] = ()


def _commands(inputs: Path) -> dict[str, Writing]:
    planned = [features(inputs), ["plan", "features.parquet", "--trials", "4"]]
    imported = ["history", "import", "observed.csv", "--history", "history.db"]
    return {
        "fit-sources": Writing(fit_sources(inputs)),
        "features": Writing(features(inputs), needs=("pool",)),
        "plan": Writing(planned[1], planned[:1], ("pool",)),
        "search": Writing(["search", "plan.json"], planned, ("pool",)),
        "fit-maps": Writing(["fit-maps", "pool"], needs=("pool",)),
        "history import": Writing(imported, needs=("observed.csv",)),
        "history export": Writing(["history", "export", "out.csv"], [imported], ("observed.csv",)),
        "train-meta": Writing(
            ["train-meta", "--history", "observed.csv", "--out", "meta", "--minutes", "0", "--html", "page.html"],
            (),
            ("observed.csv",),
        ),
        "evaluate": Writing(["evaluate", "observed.csv", "--jobs", "1", "--out", "evaluation"], (), ("observed.csv",)),
        "explain": Writing(["explain", "pool/sources/good", "we need good water", "--html", "why.html"], (), ("pool",)),
    }


def disks(inputs: Path, tally: Tally) -> None:
    """Every command on full and read-only disks, and on a locked database."""
    from tests.builders import past

    past().export_file(inputs / "observed.csv")
    commands = _commands(inputs)
    _locked(inputs, tally)
    if not may_mount():
        tally.skipped.append("full and read-only disks: mounting a tmpfs needs root")
        return
    disk = inputs.parent / "disk"
    for name, command in commands.items():
        size = _written(command, inputs, disk)
        for share in SHARES:
            _full(f"{name}, a disk full after {share:.0%}", command, inputs, disk, round(size * share), tally)
        _read_only(f"{name}, a read-only disk", command, inputs, disk, tally)


def _prepared(command: Writing, inputs: Path, disk: Path) -> int:
    """The folder as the command finds it; its bytes."""
    for name in command.needs:
        place = inputs / name
        shutil.copytree(place, disk / name) if place.is_dir() else shutil.copy(place, disk / name)
    for arguments in command.before:
        well(arguments, disk, inputs.parent / "log")
    return _bytes(disk)


def _bytes(disk: Path) -> int:
    status = shutil.disk_usage(disk)
    return status.used


def _run(command: Writing, inputs: Path, disk: Path) -> Child:
    return done(command.arguments, disk, inputs.parent / "log", inputs.parent / "cache")


def _written(command: Writing, inputs: Path, disk: Path) -> int:
    """How many bytes a command adds where there is room."""
    with small_disk(disk, None):
        before = _prepared(command, inputs, disk)
        well(command.arguments, disk, inputs.parent / "log", inputs.parent / "cache")
        return max(_bytes(disk) - before, PAGE)


def _full(what: str, command: Writing, inputs: Path, disk: Path, room: int, tally: Tally) -> None:
    with small_disk(disk, None):
        used = _prepared(command, inputs, disk)
        remounted(disk, f"size={used + max(room, PAGE)}")
        ended = _run(command, inputs, disk)
        judge(ended, what, tally, (0, 1, 2))
        if ended.code and not _names_the_reason(ended.output):
            tally.problem("silent", f"{what}: no word of the disk: {ended.output[-300:]!r}")
        _nothing_left(what, disk, tally)
        remounted(disk, f"size={2**28}")
        ended = _run(command, inputs, disk)
        judge(ended, f"{what}, then room again", tally, (0,))
        _nothing_left(f"{what}, then room again", disk, tally)


def _names_the_reason(said: str) -> bool:
    return any(word in said.lower() for word in ("no space", "is full", "disk"))


def _read_only(what: str, command: Writing, inputs: Path, disk: Path, tally: Tally) -> None:
    with small_disk(disk, None):
        _prepared(command, inputs, disk)
        remounted(disk, "ro")
        ended = _run(command, inputs, disk)
        judge(ended, what, tally, (1, 2))
        if ended.code and not any(word in ended.output.lower() for word in ("read-only", "readonly", "unable to open")):
            tally.problem("silent", f"{what}: no word of the disk: {ended.output[-300:]!r}")


def _nothing_left(what: str, disk: Path, tally: Tally) -> None:
    left = leftovers(disk)
    if left:
        tally.problem("left", f"{what}: {', '.join(left[:5])}", len(left))


def _locked(inputs: Path, tally: Tally) -> None:
    """A database locked for a while is waited for; one locked for ever ends in one line."""
    folder = inputs.parent / "locked"
    folder.mkdir()
    shutil.copy(inputs / "observed.csv", folder)
    arguments = ["history", "import", "observed.csv", "--history", "history.db"]
    well([*arguments[:-1], "history.db"], folder, inputs.parent / "log")
    for seconds, expected in ((3.0, (0,)), (100.0, (1, 2))):
        what = f"history import, database locked for {seconds:.0f} s"
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(folder / "history.db"), str(seconds)], stdout=subprocess.PIPE
        )
        assert holder.stdout is not None
        holder.stdout.readline()
        judge(done(arguments, folder, inputs.parent / "log"), what, tally, expected)
        holder.kill()
        holder.wait()
    shutil.rmtree(folder)
