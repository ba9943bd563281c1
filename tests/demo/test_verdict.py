"""The demo's verdict: what a budget bought against LogME's order and against everything."""

from __future__ import annotations

import math

import pytest

from tests.execution.test_result import training
from transfercast.core.records import ALONE, Pair
from transfercast.demo.verdict import Bought, bought, verdict
from transfercast.execution.result import SearchResult

SCORES = {("x", "a"): 0.55, ("y", "a"): 0.70, ("z", "a"): 0.40, ("x", "b"): 0.35, ("y", "b"): 0.20, ("z", "b"): 0.45}
LOGME = {Pair(*pair): value for pair, value in zip(SCORES, (3.0, 1.0, 2.0, 3.0, 2.0, 1.0), strict=True)}
ALONE_SCORES = {"a": 0.50, "b": 0.40}


def result_of(*pairs):
    baselines = [training(0, ALONE, target, score) for target, score in ALONE_SCORES.items()]
    transfers = [training(1, *pair, SCORES[pair], SCORES[pair] - ALONE_SCORES[pair[1]]) for pair in pairs]
    return SearchResult((*baselines, *transfers), {}, ALONE_SCORES, {})


@pytest.fixture
def rows():
    # The plan tries y > a, z > b and x > b. LogME's first of a is x, its first two of b are x and y, both worse than alone.
    return bought(result_of(("y", "a"), ("z", "b"), ("x", "b")), result_of(*SCORES), LOGME)


def test_each_way_to_spend_holds_the_best_of_what_it_tried_and_of_the_target_alone(rows):
    assert rows == [
        Bought("a", 1, 3, 0.50, 0.70, "y", 0.55, "x", 0.70, "y"),
        Bought("b", 2, 3, 0.40, 0.45, "z", 0.40, ALONE, 0.45, "z"),
    ]


def test_the_verdict_says_what_was_gained_against_logme_and_everything_and_on_test(rows):
    # plan (0.20 + 0.05) / 2 = 0.125, LogME (0.05 + 0) / 2 = 0.025, everything 0.125
    assert verdict(rows, -0.01) == (
        "3 of 6 trainings gained +0.125 F1 over the targets alone on validation, more than the same number in LogME's "
        "order (+0.025); all 6 gained +0.125. On test rows, which were not used to choose, the plan's models gained -0.010."
    )


@pytest.mark.parametrize(("plan", "words"), [(0.52, "less than"), (0.548, "as much as"), (0.56, "more than")])
def test_the_verdict_says_so_where_the_plan_did_no_better_than_logme(plan, words):
    row = Bought("a", 1, 3, 0.50, plan, "y", 0.55, "x", 0.70, "y")
    text = verdict([row], math.nan)
    assert f"{words} the same number in LogME's order" in text
    assert "test rows" not in text
