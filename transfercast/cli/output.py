"""Output of commands: a table for people, JSON lines for scripts."""

from __future__ import annotations

import json
import logging
import math
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from transfercast.core.text import duration, printable, redacted

if TYPE_CHECKING:
    from transfercast.tasks.task import Task

PIPE_WIDTH = 200  # a pipe or file has no width of its own, and a folded table is hard to read there

__all__ = ["AsJson", "Device", "SafeFormatter", "duration", "in_one_line", "say", "say_tasks", "show"]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON lines instead of a table.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps; by default the best there is.")]


def show(rows: Iterable[dict[str, Any]], as_json: bool, title: str | None = None, digits: int = 3) -> None:
    """Print rows of the same keys; a table has its header from the first row.

    Names and values are shown as they are: what looks like markup is no markup, and terminal codes are escaped.
    """
    listed = list(rows)
    if as_json:
        for row in listed:
            typer.echo(json.dumps({name: _plain(value) for name, value in row.items()}, ensure_ascii=True))
        return
    heading = None if title is None else Text(printable(title))
    table = Table(title=heading, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for name, value in (listed[0] if listed else {}).items():
        justify: Literal["left", "right"] = "right" if isinstance(value, int | float) else "left"
        table.add_column(Text(in_one_line(name)), justify=justify, overflow="fold")
    for row in listed:
        table.add_row(*(Text(_cell(value, digits)) for value in row.values()))
    Console(width=None if sys.stdout.isatty() else PIPE_WIDTH).print(table, highlight=False)


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cell(value: Any, digits: int) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, float):
        return f"{value:.{digits}f}"
    return in_one_line(str(value))


def in_one_line(text: str) -> str:
    """`text` with line feeds and all that a terminal would obey written as escapes."""
    return printable(text).replace("\n", "\\n")


def say(text: str, as_json: bool) -> None:
    """A sentence for people: on stdout, or on stderr when stdout is for a script."""
    typer.echo(printable(redacted(text)), err=as_json)


def say_tasks(tasks: Iterable[Task], as_json: bool) -> None:
    """How each task's file was understood, and on stderr what may make its scores wrong."""
    for task in tasks:
        say(task.about, as_json)
        for note in task.notes:
            typer.echo(f"warning: {task.name}: {printable(redacted(note))}", err=True)


class SafeFormatter(logging.Formatter):
    """Log lines, with their tracebacks, without terminal codes and passwords."""

    def format(self, record: logging.LogRecord) -> str:
        """The whole text of a record."""
        return printable(redacted(super().format(record)))
