"""The reference names everything that is public, and is what the program says of itself."""

from __future__ import annotations

import importlib.util
import re

import transfercast as tc
from tests.docs.pages import ROOT
from transfercast.cli import COMMANDS


def cli_page():
    spec = importlib.util.spec_from_file_location("make_cli_page", ROOT / "docs" / "make_cli_page.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.page()


def test_the_command_line_page_is_what_the_commands_say():
    written = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert written == cli_page(), "run: python docs/make_cli_page.py"


def test_every_command_stands_on_the_command_line_page():
    written = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert [name for name in COMMANDS if f"## transfercast {name}" not in written] == []


def test_every_public_name_stands_in_the_python_reference_once():
    named = re.findall(r"auto(?:class|function):: transfercast\.(\w+)", (ROOT / "docs" / "api.md").read_text("utf-8"))
    assert sorted(named) == sorted(name for name in tc.__all__ if name != "__version__")


def test_every_link_of_the_readme_leads_to_a_file():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", readme)
    assert len(links) > 15
    assert [link for link in links if not (ROOT / link).exists()] == []
