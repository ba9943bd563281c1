"""Runs walkthrough.md: its Python and its commands, in order, in an empty folder, and compares what is printed.

`python docs/make_walkthrough.py` writes the page anew with what is printed now; with `--check` it changes nothing, and fails
where the program prints something else. Numbers, durations and the order of rows differ between machines and are not compared.
It trains eleven small models: two to four minutes of one core.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import os
import re
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from typer.testing import CliRunner

from transfercast.cli import app

PAGE = Path(__file__).with_name("walkthrough.md")
_BLOCK = re.compile(r"```(console|python)\n(.*?)```", re.DOTALL)
_NUMBER = re.compile(r"\b(\d{4}-[0-9a-f]{8}|[0-9a-f]{12,})\b|[-+]?\d[\d.e-]*( ?(s|min|h)\b)?")
"""A version of a predictor, the id of a plan, or a number with its unit of time."""
_PASSING = ("Note: ", "warning: ", "WARNING: ")
"""Sentences on the data; whether they come depends on scores."""


class Command(NamedTuple):
    """A command of the page, as it is typed after `transfercast`, and what the page says that it prints."""

    line: str
    written: str

    @property
    def words(self) -> list[str]:
        """Name and arguments."""
        return shlex.split(self.line)


def commands(text: str) -> list[Command]:
    """The commands of a page, in order."""
    shown = [code.partition("\n") for kind, code in _BLOCK.findall(text) if kind == "console"]
    return [Command(first.removeprefix("$ transfercast "), rest) for first, _, rest in shown]


def skeleton(text: str) -> list[str]:
    r"""Heads of tables and sentences with numbers masked; of the rows of a table only how many there are.

    >>> skeleton("source  score\na        0.5\nb        0.7\n2 sources in pool.")
    ['source score', '2 rows', '# sources in pool.']
    """
    kept: list[str] = []
    rows = 0
    for line in text.splitlines():
        if not line.strip() or line.startswith(_PASSING):
            continue
        is_row = bool(re.search(r"\S {2,}\S", line))
        if is_row and rows:
            rows += 1
            continue
        if rows > 1:
            kept.append(f"{rows - 1} rows")
        rows = 1 if is_row else 0
        kept.append(_NUMBER.sub("#", " ".join(line.split())))
    if rows > 1:
        kept.append(f"{rows - 1} rows")
    return kept


def differences(command: Command, now: str) -> list[str]:
    """Lines of the page (-) that are not printed now (+), below the command; none where both are the same."""
    lines = difflib.unified_diff(skeleton(command.written), skeleton(now), f"transfercast {command.line}", n=0, lineterm="")
    return list(lines)


def printed(command: Command) -> str:
    """What a command prints now, in the current folder, without blanks at the ends of lines and without the folder.

    Raises:
        SystemExit: if the command fails.
    """
    done = CliRunner().invoke(app, command.words)
    if done.exit_code != 0:
        raise SystemExit(f"transfercast {command.line}\n{done.output}")
    return "".join(f"{line.rstrip()}\n" for line in done.stdout.replace(f"{Path.cwd()}/", "").splitlines())


def run(text: str) -> Iterator[tuple[Command, str]]:
    """Run a page's blocks in the current folder: each command with what it prints now."""
    remaining = iter(commands(text))
    for kind, code in _BLOCK.findall(text):
        if kind == "python":
            exec(compile(code, "walkthrough", "exec"), {})
        else:
            command = next(remaining)
            yield command, printed(command)


def main() -> None:
    """Write or check the page."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--check", action="store_true", help="compare, and change nothing")
    only_check = options.parse_args().check
    text = PAGE.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="walkthrough-") as folder, contextlib.chdir(folder):
        os.environ["XDG_CACHE_HOME"] = folder
        done = list(run(text))
    if only_check:
        wrong = [line for command, now in done for line in differences(command, now)]
        raise SystemExit("\n".join(wrong) if wrong else 0)
    for command, now in done:
        head = f"$ transfercast {command.line}\n"
        text = text.replace(f"{head}{command.written}```", f"{head}{now}```")
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
