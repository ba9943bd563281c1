"""Writes cli.md, the reference of the command line, from the commands themselves: `python docs/make_cli_page.py`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from transfercast.cli import app

PAGE = Path(__file__).with_name("cli.md")
_HEAD = """# Command line

Made from the commands by `python docs/make_cli_page.py`. `transfercast COMMAND --help` prints the same.

`--json` prints JSON lines instead of a table, for scripts. Exit codes: 0 success, 2 bad input, 3 a damaged or foreign file, 1
any other failure. `transfercast --install-completion` lets your shell complete commands and options.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *_sections(typer.main.get_command(app), "transfercast")])


def _sections(command: Any, name: str) -> Iterator[str]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield f"## {name}\n\n{_prose(command.help)}\n\n{_table(command)}"
        return
    for word in sorted(inner):
        yield from _sections(inner[word], f"{name} {word}")


def _prose(help_text: str) -> str:
    """Paragraphs; examples as code."""
    parts = []
    for part in re.split(r"\n\s*\n", help_text.strip()):
        joined = " ".join(part.split())
        example = joined.removeprefix("Example: ")
        parts.append(_escaped(joined) if example == joined else f"```sh\n{example}\n```")
    return "\n\n".join(parts)


def _table(command: Any) -> str:
    rows = ["| | default | |", "|---|---|---|"]
    for param in command.params:
        if param.name == "help" or getattr(param, "hidden", False):
            continue
        is_argument = param.param_type_name == "argument"
        names = param.name.replace("_", "-").upper() if is_argument else ", ".join(param.opts)
        about = _escaped(" ".join((param.help or "").split()))
        rows.append(f"| `{names}` | {_default(param)} | {about} |")
    return "\n".join(rows) + "\n"


def _default(param: Any) -> str:
    if param.required:
        return "needed"
    default = getattr(param, "default", None)
    return "" if default in (None, False, ()) or callable(default) else f"`{default}`"


def _escaped(text: str) -> str:
    return re.sub(r"([|<>*_\[\]])", r"\\\1", text)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
