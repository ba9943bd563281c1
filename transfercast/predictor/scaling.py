"""From a learner's outcomes to scores: the target's level, what the learner says of the pair, and the prior.

A forecast is level + (1 - p) points f(pair) + p range prior(pair), with p = HALF / (HALF + n) for n observations: more
observations, less prior. The level is the target's own score plus the mean gain with its encoder. Standings and shares of
the room mean the same in every metric, so all observations count where standings are learned; gains and scores rest on
those of the row's metric.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from transfercast.core.choices import Goal
from transfercast.predictor.design import Design, Observed
from transfercast.predictor.prior import RANGE, standings

HALF = 20.0
"""Observations at which half of a forecast is prior."""

PULL = 30.0
"""Observations at which an encoder's mean gain counts as much as that of all encoders."""

LEAST_ROOM = 0.02


@dataclass(frozen=True)
class Levels:
    """What is known of scores before any evidence on the pair.

    Gains are in shares of the room: what is left from the target's own score to the metric's highest value. A target at
    0.93 cannot gain 0.1, and its sources differ less.

    Attributes:
        observed: observations by metric.
        score: mean score by metric, which stands in for a baseline that is not known.
        gain: gain as a share of the room, by least squares.
        gain_with: the same by encoder, pulled toward `gain`.
    """

    observed: dict[str, int]
    score: dict[str, float]
    gain: float
    gain_with: dict[str, float]

    def baselines(self, design: Design) -> np.ndarray:
        """(n,) the target's own score, or what stands in for it."""
        typical = design.each(design.metric, lambda name: self.score.get(name, 0.5))
        return np.where(np.isnan(design.baseline), typical, design.baseline)

    def room(self, design: Design) -> np.ndarray:
        """(n,) points from the target's own score to the metric's highest value, at least LEAST_ROOM."""
        return np.asarray(np.maximum(design.metric_range[1] - self.baselines(design), LEAST_ROOM))

    def support(self, design: Design, goal: Goal) -> np.ndarray:
        """(n,) observations that a forecast of each row rests on."""
        if goal == "standing":
            return np.full(len(design), sum(self.observed.values()))
        return design.each(design.metric, lambda name: self.observed.get(name, 0))

    def gains(self, design: Design) -> np.ndarray:
        """(n,) share of the room to expect with the row's encoder, whatever the source."""
        return design.each(design.encoder, lambda name: self.gain_with.get(name, self.gain))


def levels_of(observed: Observed) -> Levels:
    """Levels from n observations."""
    metric, encoder = observed.design.metric, observed.design.encoder
    names = list(dict.fromkeys(metric))
    start = Levels(
        {name: int((metric == name).sum()) for name in names},
        {name: float(observed.score[metric == name].mean()) for name in names},
        0.0,
        {},
    )
    room = start.room(observed.design)
    moved, weight = (observed.score - start.baselines(observed.design)) * room, room**2
    gain = float(moved.sum() / weight.sum())
    pull = PULL * float(weight.mean())
    with_encoder = {
        name: float((moved[encoder == name].sum() + pull * gain) / (weight[encoder == name].sum() + pull))
        for name in dict.fromkeys(encoder)
    }
    return Levels(start.observed, start.score, gain, with_encoder)


@dataclass(frozen=True)
class Scaling:
    """From what a learner says to points of the metric.

    Attributes:
        goal: what the learner says.
        levels: of scores.
        offset: mean outcome in points, where the goal is not a standing.
        points: of an outcome of 1; for standings, as a share of the room.
        prior_points: from the lowest to the highest standing of the prior.
    """

    goal: Goal
    levels: Levels
    offset: float = 0.0
    points: float = 0.0
    prior_points: float = RANGE

    def of(self, design: Design) -> Placed:
        """Where n rows stand before their outcomes are known."""
        counts = self.levels.support(design, self.goal)
        share = HALF / (HALF + counts)
        groups = tuple(dict.fromkeys(column.group for column in design.schema))
        baselines = self.levels.baselines(design)
        level, points = baselines + self.offset, np.full(len(counts), self.points)
        if self.goal == "score":
            level = np.full(len(counts), self.offset)
        elif self.goal == "standing":
            room = self.levels.room(design)
            level, points = baselines + self.levels.gains(design) * room, points * room
        return Placed(
            level=(1 - share) * level + share * baselines,
            points=(1 - share) * points,
            prior=self.prior_points * share[:, None] * standings(design, groups),
            groups=groups,
            prior_share=share,
            support=counts,
        )

    def scores(self, design: Design, outcomes: np.ndarray) -> np.ndarray:
        """(n,) scores of rows of which a learner said `outcomes`, in the metric's range."""
        placed = self.of(design)
        return np.asarray(np.clip(placed.total(outcomes), *design.metric_range))


@dataclass(frozen=True)
class Placed:
    """A score is level + points x outcome + the sum of `prior`, (n, g) by `groups`; the rest is (n,)."""

    level: np.ndarray
    points: np.ndarray
    prior: np.ndarray
    groups: tuple[str, ...]
    prior_share: np.ndarray
    support: np.ndarray

    def total(self, outcomes: np.ndarray) -> np.ndarray:
        """(n,) scores."""
        return np.asarray(self.level + self.points * outcomes + self.prior.sum(axis=1))


def points_of_a_standing(observed: Observed, forecasts: np.ndarray, levels: Levels) -> float:
    """By which share of the room scores of a target move when the forecast standing moves by 1: least squares, at least 0."""
    groups = observed.design.groups
    member = (groups[:, None] == np.arange(groups.max() + 1)).astype(np.float64)
    counts = member.sum(axis=0)
    moved = observed.score - (member.T @ observed.score / counts)[groups]
    said = (forecasts - (member.T @ forecasts / counts)[groups]) * levels.room(observed.design)
    total = float(said @ said)
    return max(float(said @ moved) / total, 0.0) if total > 1e-12 else 0.0


def prior_points_of(observed: Observed) -> float:
    """Points that the prior's standings are worth: RANGE, as soon as there are observations pulled to what those show."""
    design = observed.design
    standing = standings(design, tuple(dict.fromkeys(column.group for column in design.schema))).sum(axis=1)
    ranked = float((standing**2).sum())
    member = (design.groups[:, None] == np.arange(design.groups.max() + 1)).astype(np.float64)
    moved = observed.score - (member.T @ observed.score / member.sum(axis=0))[design.groups]
    shown = max(float(standing @ moved) / ranked, 0.0) if ranked > 1e-12 else RANGE
    return (len(observed) * shown + HALF * RANGE) / (len(observed) + HALF)
