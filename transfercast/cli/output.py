"""Output of commands: a table and sentences for people, as wide as their terminal; JSON lines for scripts."""

from __future__ import annotations

import json
import logging
import math
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from transfercast.core.text import printable, redacted

if TYPE_CHECKING:
    from transfercast.tasks.task import Task

NARROWEST = 30
"""A text needs at least this number of columns; with fewer, it is printed below its row."""
INDENT = 6 * " "

PIPE_WIDTH = 200  # a pipe or file has no width, and a folded table is hard to read there

_NUMBER = re.compile(r"[-+]?\d[\d.,]*( ?[%A-Za-z]{1,3})?|-")
"""A number with its unit, or none."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON lines instead of a table.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 or mps; by default the fastest that is available.")]


def show(rows: Iterable[dict[str, Any]], as_json: bool, title: str | None = None, digits: int = 3) -> None:
    """Print rows of the same keys as a table, with a header from the first row, or as JSON lines.

    Names and values are shown literally: markup in them has no effect, and terminal codes are escaped. If a table is too wide,
    long texts are printed in lines of their own below their rows.
    """
    listed = list(rows)
    if as_json:
        for row in listed:
            typer.echo(json.dumps({name: _plain(value) for name, value in row.items()}, ensure_ascii=True))
        return
    console = Console(width=width_of(sys.stdout) or PIPE_WIDTH)
    if title is not None:
        console.print(Text(printable(title), style="italic"), highlight=False)
    if listed:
        columns = [_Column(in_one_line(name), [_cell(row[name], digits) for row in listed]) for name in listed[0]]
        _print_table(columns, console)


class _Column:
    """A column of a table: numbers are aligned right, texts left."""

    def __init__(self, name: str, cells: list[str]) -> None:
        self.name = name
        self.cells = cells
        self.is_text = not all(_NUMBER.fullmatch(cell) for cell in cells)
        self.width = max(map(cell_len, (name, *cells)))

    def padded(self, cell: str) -> str:
        """A cell, padded to the width of the column."""
        blanks = " " * (self.width - cell_len(cell))
        return cell + blanks if self.is_text else blanks + cell


def _print_table(columns: list[_Column], console: Console) -> None:
    beside, below = _divided(columns, console.width)
    if not below:
        table = Table(box=None, header_style="bold", pad_edge=False)
        for one in beside:
            table.add_column(Text(one.name), justify="left" if one.is_text else "right", overflow="fold")
        for cells in zip(*(one.cells for one in beside), strict=True):
            table.add_row(*map(Text, cells))
        return console.print(table, highlight=False)
    console.print(Text("  ".join(one.padded(one.name) for one in beside), style="bold"))
    for number in range(len(columns[0].cells)):
        lines = "  ".join(one.padded(one.cells[number]) for one in beside)
        told = "; ".join(f"{one.name}: {one.cells[number]}" for one in below if one.cells[number] not in ("", "-"))
        if told:
            lines += "\n" + textwrap.fill(told, console.width, initial_indent=INDENT, subsequent_indent=INDENT)
        console.print(Text(lines), highlight=False)


def _divided(columns: list[_Column], width: int) -> tuple[list[_Column], list[_Column]]:
    """Columns of the table, and columns whose cells are printed below the rows: the widest texts, never the first one."""
    beside, moved = list(columns), set[_Column]()
    while (over := sum(one.width + 2 for one in beside) - 2 - width) > 0:
        widest = max([one for one in beside if one.is_text][1:], key=lambda one: one.width, default=None)
        if widest is None or (not moved and widest.width - over >= NARROWEST):
            break  # the table folds cells that are too wide
        beside.remove(widest)
        moved.add(widest)
    return beside, [one for one in columns if one in moved]


def width_of(stream: TextIO) -> int | None:
    """Columns of a terminal, or the value of COLUMNS; None for a pipe or file without it."""
    if os.environ.get("COLUMNS", "").isdigit() or stream.isatty():
        return shutil.get_terminal_size().columns
    return None


def wrapped(text: str, stream: TextIO, indent: str = "") -> str:
    """`text` in lines that fit the stream, cut at blanks; a longer word, such as a path, is not cut.

    Args:
        text: one or several lines; unchanged if the stream has no width.
        stream: the stream that it will be written to.
        indent: beginning of each line after a cut.
    """
    width = width_of(stream)
    if width is None:
        return text
    return "\n".join(
        line
        if len(line) <= width
        else textwrap.fill(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
        for line in text.split("\n")
    )


def condensed(rows: Sequence[dict[str, Any]], common: Sequence[str] = ()) -> tuple[list[dict[str, Any]], str]:
    """Rows without empty and constant columns, and a sentence with the values that all rows share.

    Args:
        rows: rows of the same keys. Columns without any value are left out.
        common: columns that move into the sentence if all rows have the same value. If recipes differ, their common parts do.

    >>> condensed([{"a": "x", "recipe": "full/lr=1"}, {"a": "y", "recipe": "full/lr=2"}], ["recipe"])
    ([{'a': 'x', 'recipe': 'lr=1'}, {'a': 'y', 'recipe': 'lr=2'}], 'Of all: recipe full/...')
    """
    kept = [name for name in (rows[0] if rows else ()) if any(not _is_empty(row[name]) for row in rows)]
    lines, told = [{name: row[name] for name in kept} for row in rows], []
    for name in (name for name in common if name in kept):
        values = [line[name] for line in lines]
        if len(set(values)) == 1:
            told.append(f"{name} {values[0]}")
            lines = [{key: value for key, value in line.items() if key != name} for line in lines]
        elif name == "recipe":
            parts = [value.split("/") for value in values]
            shared = [part for part in parts[0] if all(part in one for one in parts)]
            for line, one in zip(lines, parts, strict=True):
                line[name] = "/".join(part for part in one if part not in shared) or "as said above"
            told += [f"recipe {'/'.join(shared)}/..."] if shared else []
    return lines, f"Of all: {', '.join(told)}" if told else ""


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _is_empty(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def _cell(value: Any, digits: int) -> str:
    if value != "" and _is_empty(value):
        return "-"
    if isinstance(value, float):
        text = f"{value:.{digits}f}"
        return text if float(text) else f"{0:.{digits}f}"  # no -0.000
    return in_one_line(str(value))


def in_one_line(text: str) -> str:
    """`text` with line feeds and terminal codes written as escapes."""
    return printable(text).replace("\n", "\\n")


def say(text: str, as_json: bool) -> None:
    """Print sentences for people: on stdout, or on stderr if stdout has JSON lines."""
    typer.echo(wrapped(printable(redacted(text)), sys.stderr if as_json else sys.stdout), err=as_json)


def say_next(command: str, as_json: bool, lead: str = "Next") -> None:
    """Print the next command, on a line of its own that is never cut, so that it can be copied."""
    typer.echo(printable(redacted(f"{lead}: {command}")), err=as_json)


def say_tasks(tasks: Iterable[Task], as_json: bool) -> None:
    """Print how each task's file was understood, and on stderr warnings of what may make its scores wrong."""
    for task in tasks:
        say(task.about, as_json)
        for note in task.notes:
            typer.echo(wrapped(f"warning: {task.name}: {printable(redacted(note))}", sys.stderr, indent="  "), err=True)


class SafeFormatter(logging.Formatter):
    """Log lines and their tracebacks, without terminal codes and passwords."""

    def format(self, record: logging.LogRecord) -> str:
        """The whole text of a record."""
        return wrapped(printable(redacted(super().format(record))), sys.stderr, indent="  ")
