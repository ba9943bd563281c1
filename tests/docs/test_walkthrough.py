"""The walkthrough is what the program prints: heads of tables, numbers of rows and sentences, run on a tiny encoder."""

from __future__ import annotations

import importlib.util

from tests.docs.pages import ROOT

spec = importlib.util.spec_from_file_location("make_walkthrough", ROOT / "docs" / "make_walkthrough.py")
walkthrough = importlib.util.module_from_spec(spec)
spec.loader.exec_module(walkthrough)

QUICKLY = {
    "fit-sources": ["--recipe", "full/lr=0.01/epochs=1/batch=16/tokens=32"],
    "features": ["--recipe", "full/lr=0.01/epochs=1/batch=16/tokens=32", "--documents", "1"],
}


def test_every_command_of_the_walkthrough_prints_what_stands_there(here):
    text = walkthrough.PAGE.read_text(encoding="utf-8")
    printed = list(walkthrough.run(text, QUICKLY))
    assert len(printed) == 8
    assert [one for one in printed if not one.written] == []
    remade = "run: python docs/make_walkthrough.py"
    for one in printed:
        assert walkthrough.skeleton(one.now) == walkthrough.skeleton(one.written), f"{one.command}\n{one.now}\n{remade}"


def test_another_head_or_sentence_is_noticed_and_another_number_is_not():
    first = "source  score\na        0.5\n1 sources in pool. Next: transfercast features"
    assert walkthrough.skeleton(first) == walkthrough.skeleton(first.replace("0.5", "0.7").replace("1 sources", "7 sources"))
    for old, new in (("score", "points"), ("Next", "Then"), ("a        0.5\n", "")):
        assert walkthrough.skeleton(first) != walkthrough.skeleton(first.replace(old, new))
