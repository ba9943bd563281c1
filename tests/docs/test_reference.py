"""The reference names everything that is public, and is what the program says of itself."""

from __future__ import annotations

import doctest
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


FIRST_METHODS = [
    tc.FeatureTable.load, tc.FeatureTable.save, tc.FeatureTable.with_recipes, tc.Forecast.to_frame, tc.Forecast.why_for,
    tc.History.append, tc.History.export_file, tc.History.frames, tc.History.import_file, tc.Plan.load, tc.Plan.save,
    tc.Plan.to_frame, tc.Predictor.fit, tc.Predictor.load, tc.Predictor.predict, tc.Predictor.save, tc.Recipe.parse,
    tc.SourcePool.adopt, tc.SourcePool.fit, tc.SourcePool.load, tc.Task.from_csv, tc.Task.from_dataset,
]  # fmt: skip
"""Methods that a user of the public classes calls first."""


def has_example(documented) -> bool:
    """Whether a docstring has a section with an example that pytest runs and whose output it checks."""
    _, section, text = (documented.__doc__ or "").partition("Example:\n")
    examples = doctest.DocTestParser().get_examples(text)
    return bool(section) and any(example.want and not example.options.get(doctest.SKIP) for example in examples)


def test_every_public_object_has_an_example_in_its_docstring():
    public = [getattr(tc, name) for name in tc.__all__ if name != "__version__"]
    assert [one.__qualname__ for one in [*public, *FIRST_METHODS] if not has_example(one)] == []


def test_every_link_of_the_readme_leads_to_a_file():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", readme)
    assert len(links) > 15
    assert [link for link in links if not (ROOT / link).exists()] == []
