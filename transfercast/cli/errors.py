"""Errors of commands: one sentence and an exit code, and for an unforeseen error also a saved report."""

from __future__ import annotations

import platform
import select
import shlex
import sys
import tempfile
import traceback
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from transfercast.cli.output import in_one_line, wrapped
from transfercast.core.errors import TransfercastError
from transfercast.core.files import reason
from transfercast.core.text import printable, redacted
from transfercast.core.version import VERSION

REPORTED = ("numpy", "pandas", "pyarrow", "sqlalchemy", "xgboost", "torch", "transformers")


class GuardedGroup(TyperGroup):
    """Commands that report errors without a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the named command; an error becomes one line on stderr and an exit code."""
        try:
            return super().invoke(ctx)
        except TransfercastError as error:
            say_error(str(error))
            ctx.exit(error.exit_code)
        except OSError as error:
            if isinstance(error, BrokenPipeError) and _is_output_closed():
                raise  # typer ends the command, without a message
            where = f"{error.filename}: " if error.filename else ""
            say_error(f"{where}{reason(error)}.")
            ctx.exit(1)
        except RuntimeError as error:
            if isinstance(error, NotImplementedError | RecursionError) or type(error) is RuntimeError:
                say_unforeseen(error)
                ctx.exit(1)
            raise  # typer's own: exits and aborts
        except Exception as error:  # a user sees no traceback
            if type(error).__module__.startswith(("typer.", "click.")):
                raise  # bad options, which typer reports itself
            say_unforeseen(error)
            ctx.exit(1)


def _is_output_closed() -> bool:
    """Whether the reader of stdout, such as `head`, has closed its pipe; false if that cannot be known."""
    if not hasattr(select, "poll"):
        return False
    waiting = select.poll()
    try:
        waiting.register(sys.stdout, select.POLLOUT)
    except OSError:  # stdout has no file descriptor
        return False
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in waiting.poll(0))


def say_error(message: str) -> None:
    """Print one line on stderr, without terminal codes and passwords; on a terminal its further lines are indented."""
    typer.echo(wrapped(f"error: {in_one_line(redacted(message))}", sys.stderr, indent="  "), err=True)


def say_unforeseen(error: BaseException) -> None:
    """Save a report of an unforeseen error, and print where it is."""
    what = f"{type(error).__name__}: {reason(error)}"
    say_error(f"an unforeseen error ({what}). Report: {_saved(error)}. Please send it, and describe what you did.")


def _saved(error: BaseException) -> str:
    name = f"transfercast-error-{datetime.now():%Y%m%d-%H%M%S-%f}.txt"
    text = printable(redacted(_report(error)))
    for folder in (Path.cwd(), Path(tempfile.gettempdir())):
        try:
            (folder / name).write_text(text, encoding="utf-8", errors="backslashreplace")
            return str(folder / name)
        except OSError:
            continue
    typer.echo(text, err=True)
    return "above, because no folder could be written"


def _report(error: BaseException) -> str:
    versions = [f"{name} {import_module(name).__version__}" for name in REPORTED if name in sys.modules]
    return "\n".join([
        f"transfercast {VERSION}, Python {platform.python_version()}, {platform.platform()}",
        ", ".join(versions),
        "command: " + shlex.join(sys.argv),
        "".join(traceback.format_exception(error)),
    ])  # fmt: skip
