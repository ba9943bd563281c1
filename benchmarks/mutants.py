"""Do the tests notice wrong lines? Each mutant is one changed line of deciding; the tests of its file must fail.

    python -m benchmarks.mutants [--only NAME] [--limit SECONDS]        last line: {"killed": ..., "mutants": ..., ...}

The package is copied to a temporary folder, where one line at a time is changed and the named test files are run. A mutant
whose tests fail, or take longer than the limit, is killed. `mutants.toml` lists them, chosen by hand: a sign, a bound, a mask
or a share that one might well get wrong. A line that is no longer there is an error, so that the list stays true.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import tomllib
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
LIBRARIES = ("pandas", "pydantic", "scipy.stats", "sklearn.linear_model", "hypothesis")
"""Imported once, before processes are forked, for they take longer than the tests."""

OPTIONS = ("-x", "-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning")


class Mutant(NamedTuple):
    """In `file` the text `right`, which stands there once, becomes `wrong`; `tests` are to notice."""

    file: str
    right: str
    wrong: str
    tests: tuple[str, ...]


def mutants(only: str = "") -> list[Mutant]:
    """The mutants of `mutants.toml`, of files with `only` in their name."""
    groups = tomllib.loads((Path(__file__).with_suffix(".toml")).read_text(encoding="utf-8"))["of"]
    return [
        Mutant(group["file"], right, wrong, tuple(group["tests"]))
        for group in groups
        if only in group["file"]
        for right, wrong in group["changes"]
    ]


def is_killed(mutant: Mutant, copy: Path, limit: float) -> bool:
    """Whether the tests fail on the changed copy; the file is put right again.

    Raises:
        ValueError: if the line does not stand there exactly once.
    """
    path = copy / mutant.file
    text = path.read_text(encoding="utf-8")
    if text.count(mutant.right) != 1:
        raise ValueError(f"{mutant.file}: {mutant.right!r} stands there {text.count(mutant.right)} times, not once.")
    path.write_text(text.replace(mutant.right, mutant.wrong), encoding="utf-8")
    process = multiprocessing.get_context("fork").Process(target=_test, args=(copy, mutant.tests))
    process.start()
    try:
        process.join(limit)
        if process.exitcode is None:
            process.kill()
            return True
        if process.exitcode not in (0, 1):
            raise ValueError(f"{mutant.file}: with {mutant.wrong!r} no test was run (pytest ended with {process.exitcode}).")
        return process.exitcode == 1
    finally:
        path.write_text(text, encoding="utf-8")


def _test(copy: Path, tests: tuple[str, ...]) -> None:
    """Run tests on the copy, in a process that was forked after the libraries were imported, and end with pytest's status."""
    os.chdir(copy)
    sys.path[:] = [str(copy), *(path for path in sys.path if Path(path or ".").resolve() != ROOT)]
    with open(os.devnull, "w") as nothing, redirect_stdout(nothing), redirect_stderr(nothing):
        status = pytest.main([*OPTIONS, *tests])
    os._exit(int(status))


def main() -> None:
    """Run all mutants, or those of one file, and name the survivors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="of files with this in their name")
    parser.add_argument("--limit", type=float, default=300.0, help="seconds for the tests of one mutant")
    given = parser.parse_args()
    chosen = mutants(given.only)
    for name in LIBRARIES:
        import_module(name)
    sys.dont_write_bytecode = True
    survivors, checked = list[str](), set[tuple[str, ...]]()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        for part in ("transfercast", "tests", "benchmarks"):
            shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        for mutant in chosen:
            if mutant.tests not in checked:
                if is_killed(mutant._replace(wrong=mutant.right), copy, given.limit):
                    raise ValueError(f"{', '.join(mutant.tests)} fail without any change, so they can say nothing.")
                checked.add(mutant.tests)
            told = f"{mutant.file}: {mutant.right}  ->  {mutant.wrong or '(nothing)'}"
            killed = is_killed(mutant, copy, given.limit)
            print(f"{'killed  ' if killed else 'SURVIVED'}  {told}", flush=True)
            if not killed:
                survivors.append(told)
    print(json.dumps({"killed": len(chosen) - len(survivors), "mutants": len(chosen), "survivors": survivors}))


if __name__ == "__main__":
    main()
