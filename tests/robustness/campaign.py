"""A case is a row of a table: what is wrong, how the input comes about, the command, the exit code, and what must be said.

One check holds for all: the right exit code, one `error:` line that says what a user needs, no report of something
unforeseen, no terminal code, no hang, and no file or folder made, changed or removed beside what the command is for.
"""

from __future__ import annotations

import contextlib
import gc
import os
import re
import shlex
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from click.testing import Result
from typer.testing import CliRunner

from transfercast.cli import app

MOST_SECONDS = 2.0
"""Of processor time a case may take; of wall time ten times as much, for other work may share the machine."""

REFUSED, DAMAGED = 2, 3
"""Exit codes: what the user brought cannot be used; what transfercast wrote is damaged."""

SKIPPED_FOLDERS = ("/proc", "/sys", "/dev")

Prepare = Callable[[Path], object]
"""Makes the input in the folder that it is given, out of good ones that lie there already."""


@dataclass(frozen=True, slots=True)
class Case:
    """One bad (or unusual) input.

    Attributes:
        id: what is wrong with it.
        prepare: makes it.
        command: what is run in its folder; a good input that it names is copied there first.
        code: the exit code, or the codes of which each is right.
        says: pattern, without case, of what must be said, in the error or in a warning before it.
        makes: files and folders that the command is for; nothing else may come or change.
        needs: good inputs to copy that the command does not name.
    """

    id: str
    prepare: Prepare
    command: str
    code: int | tuple[int, ...]
    says: str
    makes: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command did: its exit code, all that it printed, and the seconds of processor and wall time."""

    code: int
    output: str
    error: str
    processor_seconds: float
    wall_seconds: float


class HangError(BaseException):
    """A command ran for far too long; no handler of exceptions may swallow it."""


def check(case: Case, goods: Path, folder: Path, log: Callable[[], str]) -> None:
    """Run a case in an empty folder and see that all holds that must hold for every case.

    Args:
        case: the row.
        goods: folder of good inputs.
        folder: empty; the case's own.
        log: gives what was logged during the case.
    """
    copy_named([*shlex.split(case.command), *case.needs], goods, folder)
    case.prepare(folder)
    before = contents(folder)
    outcome = run(case.command, folder)
    said = f"{outcome.output}\n{log()}"
    codes = case.code if isinstance(case.code, tuple) else (case.code,)
    assert "unforeseen" not in said, said + report_of(folder)
    assert "Traceback" not in said, said
    assert "s3cret" not in said, said
    assert outcome.code in codes, said
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", outcome.output), repr(outcome.output)
    if outcome.code != 0:
        assert len(errors_in(outcome.error)) == 1, said
    assert re.search(case.says, one_line(said), re.IGNORECASE), f"{case.says!r} is not in: {said}"
    after = contents(folder)
    allowed = case.makes if outcome.code == 0 else ()
    strange = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    strange -= {name for name in strange if name.startswith(allowed)} if allowed else set()
    assert not strange, f"made, changed or removed: {sorted(strange)}"
    assert outcome.processor_seconds < MOST_SECONDS, f"{outcome.processor_seconds:.1f} s of processor time"


def copy_named(words: list[str], goods: Path, folder: Path) -> None:
    """Copy the good inputs that words of a command name, alone, as the start of a path, or behind an equals sign."""
    there = {path.name for path in goods.iterdir()}
    for word in words:
        for part in re.split("[/=:@]", word)[:2]:
            good, place = goods / part, folder / part
            if part in there and not place.exists():
                shutil.copytree(good, place, symlinks=True) if good.is_dir() else shutil.copy(good, place)


def run(command: str, folder: Path, seconds: float = 10 * MOST_SECONDS) -> Outcome:
    """Run a command of transfercast in a folder, in this process, and break it off after so many seconds."""
    with contextlib.chdir(folder), no_hang(seconds), no_garbage_of_others():
        started, processor = time.perf_counter(), time.process_time()
        result: Result = CliRunner().invoke(app, shlex.split(command), color=True)  # else codes were taken out unseen
        took = time.process_time() - processor, time.perf_counter() - started
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Outcome(result.exit_code, result.output, result.stderr, *took)


@contextlib.contextmanager
def no_garbage_of_others() -> Iterator[None]:
    """Collect no garbage meanwhile: what earlier tests left behind takes up to seconds, and is not of this command."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextlib.contextmanager
def no_hang(seconds: float) -> Iterator[None]:
    """Break off what runs for longer."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise HangError(f"no end after {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def errors_in(text: str) -> list[str]:
    """The errors that were told: lines with `error:`, and the boxes in which wrong options are told."""
    return [line for line in text.splitlines() if line.startswith("error:") or "─ Error ─" in line]


def one_line(text: str) -> str:
    """Without line ends and frames, which stand wherever the width of a terminal has it."""
    return " ".join(re.sub("[─│╭╮╰╯]", " ", text).split())


def contents(folder: Path) -> dict[str, bytes | str]:
    """All that lies in a folder: bytes of files, targets of links, and what else each path is.

    Left out are the files that SQLite has beside an open database, which go with the process (and this one goes on), and
    the locks of a predictor's folder, which stay on purpose.
    """
    found: dict[str, bytes | str] = {}
    for path in sorted(folder.rglob("*")):
        name = os.fsdecode(path.relative_to(folder))
        if name.endswith(("-wal", "-shm", ".retraining.lock", ".current.lock")):
            continue
        if path.is_symlink():
            found[name] = f"link to {os.readlink(path)}"
        elif path.is_file():
            found[name] = path.read_bytes()
        else:
            found[name] = "folder" if path.is_dir() else "special"
    return found


def report_of(folder: Path) -> str:
    """The last lines of a report of something unforeseen."""
    reports = sorted(folder.glob("transfercast-error-*.txt"))
    return reports[-1].read_text(encoding="utf-8")[-1500:] if reports else ""
