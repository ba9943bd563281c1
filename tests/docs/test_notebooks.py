"""The notebooks run from top to bottom on tiny data, and what a cell ends with is something to look at."""

from __future__ import annotations

import ast
import json

import pytest

import transfercast as tc
from tests.docs.pages import ROOT

NOTEBOOKS = sorted(path.name for path in (ROOT / "docs" / "notebooks").glob("*.ipynb"))
QUICK = tc.Recipe.parse("full/lr=0.01/epochs=1/batch=8/tokens=16")


def cells(name):
    content = json.loads((ROOT / "docs" / "notebooks" / name).read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == "code"]


def run(code, names):
    """Run a cell as a notebook does; what it shows is the value of an expression at its end."""
    tree = ast.parse(code)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    return None if last is None else eval(compile(ast.Expression(last.value), "cell", "eval"), names)


def test_there_are_the_two_notebooks():
    assert NOTEBOOKS == ["attribution.ipynb", "rank-and-plan.ipynb"]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_and_shows_something(name, here, capsys):
    names, shown = {}, []
    for code in cells(name):
        value = run(code.replace("tc.Recipe()", f"tc.Recipe.parse({QUICK.key!r})"), names)
        if value is not None:
            shown.append(value._repr_html_())
    assert len(shown) >= 3
    assert all("<table" in text or "<span" in text for text in shown)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_committed_without_output(name):
    content = json.loads((ROOT / "docs" / "notebooks" / name).read_text(encoding="utf-8"))
    assert all(not cell["outputs"] for cell in content["cells"] if cell["cell_type"] == "code")
