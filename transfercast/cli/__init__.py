"""The command line: `transfercast COMMAND`. Exit codes: 0 success, 2 bad input, 3 bad artifact, 1 any other failure."""

from __future__ import annotations

import logging
from importlib import import_module

import typer

from transfercast.cli.errors import GuardedGroup
from transfercast.cli.output import SafeFormatter
from transfercast.core.version import VERSION

app = typer.Typer(
    name="transfercast",
    cls=GuardedGroup,
    help="Forecast transfer learning: which source to transfer from, what score to expect, and how sure that is.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

COMMANDS = (
    "demo", "recommend", "rank", "fit-sources", "pool", "features", "explain", "plan", "search", "history", "evaluate",
    "train-meta", "collect", "fit-maps", "fetch-maps", "push", "pull", "measures", "cache", "doctor", "serve",
)  # fmt: skip


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"transfercast {VERSION}")
        raise typer.Exit


@app.callback()
def _common(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
    verbose: bool = typer.Option(False, "--verbose", help="Log the progress of the work on stderr."),
) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(SafeFormatter("%(levelname)s: %(message)s"))
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, handlers=[handler])


for _name in COMMANDS:
    import_module(f"transfercast.cli.{_name.replace('-', '_')}")


def main() -> None:
    """Run the command line."""
    app()
