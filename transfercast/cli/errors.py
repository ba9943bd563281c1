"""What a command says when it fails: one sentence and an exit code; of what nobody foresaw, a saved report as well."""

from __future__ import annotations

import platform
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
    """Commands whose mistakes are told without a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was named; errors become one line on stderr and an exit code."""
        try:
            return super().invoke(ctx)
        except TransfercastError as error:
            say_error(str(error))
            ctx.exit(error.exit_code)
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            say_error(f"{where}{reason(error)}.")
            ctx.exit(1)
        except RuntimeError as error:
            if isinstance(error, NotImplementedError | RecursionError) or type(error) is RuntimeError:
                say_unforeseen(error)
                ctx.exit(1)
            raise  # typer's own: exits and aborts
        except Exception as error:  # the last border: whatever it is, no traceback reaches a user
            if type(error).__module__.startswith(("typer.", "click.")):
                raise  # bad options, which typer tells by itself
            say_unforeseen(error)
            ctx.exit(1)


def say_error(message: str) -> None:
    """One line on stderr, on a terminal with indented lines below; terminal codes and passwords in it are not passed on."""
    typer.echo(wrapped(f"error: {in_one_line(redacted(message))}", sys.stderr, indent="  "), err=True)


def say_unforeseen(error: BaseException) -> None:
    """Save a report of an error that nobody foresaw, and say where it is."""
    what = f"{type(error).__name__}: {reason(error)}"
    say_error(f"something unforeseen went wrong ({what}). Report: {_saved(error)}. Please send it with what you did.")


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
    return "above, for no folder could be written"


def _report(error: BaseException) -> str:
    versions = [f"{name} {import_module(name).__version__}" for name in REPORTED if name in sys.modules]
    return "\n".join([
        f"transfercast {VERSION}, Python {platform.python_version()}, {platform.platform()}",
        ", ".join(versions),
        "command: " + shlex.join(sys.argv),
        "".join(traceback.format_exception(error)),
    ])  # fmt: skip
