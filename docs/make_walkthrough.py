"""Runs walkthrough.md: its Python and its commands, in order, in an empty folder, and compares what is printed.

`python docs/make_walkthrough.py` writes the page anew with what is printed now; with `--check` it changes nothing, and fails
where the program prints something else. Numbers, durations and the order of rows differ between machines and are not compared.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from typer.testing import CliRunner

from transfercast.cli import app

PAGE = Path(__file__).with_name("walkthrough.md")
_BLOCK = re.compile(r"```(console|python)\n(.*?)```", re.DOTALL)
_PASSING = ("Note: ", "warning: ", "WARNING: ")
"""Sentences on the data; whether they come depends on scores."""


class Printed(NamedTuple):
    """A command, what the page says that it prints, and what it prints."""

    command: str
    written: str
    now: str

    @property
    def is_same(self) -> bool:
        """Whether both are the same but for numbers and the order of rows."""
        return skeleton(self.written) == skeleton(self.now)


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
        kept.append(re.sub(r"[-+]?\d[\d.e-]*( ?(s|min|h)\b)?", "#", " ".join(line.split())))
    if rows > 1:
        kept.append(f"{rows - 1} rows")
    return kept


def run(text: str, more: dict[str, list[str]] | None = None) -> Iterator[Printed]:
    """Run a page's blocks in the current folder.

    Args:
        text: of the page.
        more: arguments that are added to a command, so that a test takes little time.
    """
    for kind, code in _BLOCK.findall(text):
        if kind == "python":
            exec(compile(code, "walkthrough", "exec"), {})
            continue
        command, _, written = code.partition("\n")
        words = shlex.split(command.removeprefix("$ transfercast "))
        told = CliRunner().invoke(app, [*words, *(more or {}).get(words[0], [])])
        if told.exit_code != 0:
            raise SystemExit(f"{command}\n{told.output}")
        yield Printed(command, written, shortened(told.stdout))


def shortened(text: str) -> str:
    """What is printed, without blanks at the ends of lines and without the folder."""
    return "".join(f"{line.rstrip()}\n" for line in text.replace(f"{Path.cwd()}/", "").splitlines())


def main() -> None:
    """Write or check the page."""
    text = PAGE.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="walkthrough-") as folder, contextlib.chdir(folder):
        os.environ["XDG_CACHE_HOME"] = folder
        printed = list(run(text))
    if "--check" in sys.argv:
        wrong = [one.command for one in printed if not one.is_same]
        raise SystemExit(f"these print something else: {', '.join(wrong)}" if wrong else 0)
    for one in printed:
        text = text.replace(f"{one.command}\n{one.written}```", f"{one.command}\n{one.now}```")
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
