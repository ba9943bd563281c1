"""Gain for a budget, compared with training everything, and with as many trainings in LogME's order."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from transfercast.core.records import ALONE, Pair
from transfercast.execution.result import SearchResult, Training

SAME = 0.005
"""Mean gains that differ by less than this are called equal."""


@dataclass(frozen=True, slots=True)
class Bought:
    """Best validation scores of one target under each policy; never below the score of the target alone.

    Attributes:
        target: its name.
        trainings, all_trainings: numbers of transfers in the plan, and of all transfers.
        alone: score of the target trained alone.
        plan, logme, everything: best score after the plan's trainings, after as many in LogME's order, and after all.
        plan_source, logme_source, everything_source: source of the model with that score.
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
    """One row for each target.

    Args:
        result: result of the plan within the budget.
        everything: result of all candidates, with one recipe each.
        logme: LogME of each pair.
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
    """The comparison in sentences.

    Args:
        rows: one row for each target.
        test_gain: test score of the plan's chosen models minus that of the targets alone, mean over targets; NaN if unknown.
    """
    plan, logme, everything = (
        sum(ways) / len(rows)
        for ways in zip(*((r.plan - r.alone, r.logme - r.alone, r.everything - r.alone) for r in rows), strict=True)
    )
    ran, there = sum(row.trainings for row in rows), sum(row.all_trainings for row in rows)
    against = "as much as" if abs(plan - logme) < SAME else "more than" if plan > logme else "less than"
    words = (
        f"{ran} of {there} trainings gained {plan:+.3f} F1 over the targets alone on validation, {against} the same "
        f"number in LogME's order ({logme:+.3f}); all {there} gained {everything:+.3f}."
    )
    if not math.isnan(test_gain):
        words += f" On test rows, which were not used to choose, the plan's models gained {test_gain:+.3f}."
    return words
