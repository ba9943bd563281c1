"""What a budget bought: against trying everything, and against as many trainings in LogME's order alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from transfercast.core.records import ALONE, Pair
from transfercast.execution.result import SearchResult, Training

SAME = 0.005
"""Mean gains less than this apart are called equal."""


@dataclass(frozen=True, slots=True)
class Bought:
    """Of one target, the validation score in hand after each way to spend: at least that of the target alone.

    Attributes:
        target: its name.
        trainings, all_trainings: transfers that the plan had, and that there are.
        alone: without any transfer.
        plan, logme, everything: after the plan's trainings, as many in LogME's order, and all.
        plan_source, logme_source, everything_source: of the model in hand.
    """

    target: str
    trainings: int
    all_trainings: int
    alone: float
    plan: float
    plan_source: str
    logme: float
    logme_source: str
    everything: float
    everything_source: str


def bought(result: SearchResult, everything: SearchResult, logme: Mapping[Pair, float]) -> list[Bought]:
    """One row a target.

    Args:
        result: of the plan within the budget.
        everything: of all candidates, one recipe each.
        logme: by pair.
    """
    rows = []
    for target, alone in everything.baselines.items():
        every = [t for t in everything.trainings if t.step.target == target and t.step.source != ALONE]
        planned = [t for t in result.trainings if t.step.target == target and t.step.source != ALONE]
        by_logme = sorted(every, key=lambda training: -logme[training.step.pair])[: len(planned)]
        in_hand = [_in_hand(trainings, alone) for trainings in (planned, by_logme, every)]
        (plan, plan_source), (by_rank, rank_source), (most, most_source) = in_hand
        rows.append(Bought(target, len(planned), len(every), alone, plan, plan_source, by_rank, rank_source, most, most_source))
    return rows


def _in_hand(trainings: list[Training], alone: float) -> tuple[float, str]:
    return max([(alone, ALONE), *((t.observation.score, t.step.source) for t in trainings)], key=lambda run: run[0])


def verdict(rows: list[Bought], test_gain: float) -> str:
    """The comparison in words.

    Args:
        rows: one a target.
        test_gain: of the plan's chosen models over the targets alone, mean over targets; NaN where unknown.
    """
    plan, logme, everything = (
        sum(ways) / len(rows)
        for ways in zip(*((r.plan - r.alone, r.logme - r.alone, r.everything - r.alone) for r in rows), strict=True)
    )
    ran, there = sum(row.trainings for row in rows), sum(row.all_trainings for row in rows)
    against = "as much as" if abs(plan - logme) < SAME else "more than" if plan > logme else "less than"
    words = (
        f"{ran} of {there} trainings gained {plan:+.3f} F1 over the targets alone on validation, where all {there} gained "
        f"{everything:+.3f}. That is {against} LogME alone would have with {ran} ({logme:+.3f})."
    )
    if not math.isnan(test_gain):
        words += f" On test rows, which chose nothing, the plan's models gained {test_gain:+.3f}."
    return words
