"""From a learner's outcomes to scores: the target's level, what the learner says of the pair, and the prior.

With b the target's own score, r the room above it, f what the learner says and q the prior's standing, a forecast is

    standing: b + g r + (1 - p) a r f + p c q        (a, g: shares of the room)
    gain:     b + (1 - p) (m + a f)   + p c q
    score:    p b + (1 - p) (m + a f) + p c q

cut to the metric's range. p = HALF / (HALF + n) for n observations: more observations, less prior; p = 1 where a = 0, that is
where nothing was learned. `Scaling` names m `offset`, a `points` and c `prior_points`; g is one of `Levels.gains`.

Standings and shares of the room mean the same in every metric, so all observations count where standings are learned; gains and
scores rest on those of the row's metric. Rows of a target err together, so whatever is a mean over targets is pulled toward
what is assumed without any, by PULL_TARGETS.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from transfercast.core.choices import Goal
from transfercast.predictor.design import Design, Observed
from transfercast.predictor.prior import RANGE, SPREAD, standings

HALF = 20.0
"""Observations at which half of a forecast is prior."""

PULL = 30.0
"""Observations at which an encoder's mean gain counts as much as that of all encoders."""

PULL_TARGETS = 3.0
"""Targets at which what was observed counts as much as what is assumed without any: scores of ASSUMED, gains of 0, RANGE.

Where the assumption is right, the mean of G targets pulled like that costs at most 4 % of RMSE for any G: with w = G / (G + 3),
the squared error grows from 1 to 1 + w^2 / G, which is 1.08 for two targets, 1.083 for three, and 1.082 for four.
"""

STEEPEST = 2.0
"""A standing that is forecast varies less than a true one, so one step of it may be worth more; at most so many times."""

ASSUMED = 0.5
"""Score of a target of which nothing is known."""

LEAST_ROOM = 0.02


@dataclass(frozen=True)
class Levels:
    """What is known of scores before any evidence on the pair.

    Gains are in shares of the room: what is left from the target's own score to the metric's highest value. A target at
    0.93 cannot gain 0.1, and its sources differ less.

    Attributes:
        observed: observations by metric.
        score: by metric, what stands in for a baseline that is not known: the mean score, pulled toward ASSUMED.
        gain: gain as a share of the room, by least squares, pulled toward 0.
        gain_with: the same by encoder, pulled toward `gain`.
    """

    observed: dict[str, int]
    score: dict[str, float]
    gain: float
    gain_with: dict[str, float]

    def baselines(self, design: Design) -> np.ndarray:
        """(n,) the target's own score, or what stands in for it."""
        typical = design.each(design.metric, lambda name: self.score.get(name, ASSUMED))
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
    counts = {name: int((metric == name).sum()) for name in names}
    means = {name: float(observed.score[metric == name].mean()) for name in names}
    kept = {name: _kept(observed.design.targets[metric == name]) for name in names}
    start = Levels(counts, means, 0.0, {})
    room = start.room(observed.design)
    moved, weight = (observed.score - start.baselines(observed.design)) * room, room**2
    gain = _kept(observed.design.targets) * float(moved.sum() / weight.sum())
    pull = PULL * float(weight.mean())
    with_encoder = {
        name: float((moved[encoder == name].sum() + pull * gain) / (weight[encoder == name].sum() + pull))
        for name in dict.fromkeys(encoder)
    }
    pulled = {name: kept[name] * means[name] + (1 - kept[name]) * ASSUMED for name in names}
    return Levels(counts, pulled, gain, with_encoder)


def _kept(targets: np.ndarray) -> float:
    """Share of a mean over rows of `targets` that stays when it is pulled; in [1/4, 1)."""
    count = len(np.unique(targets))
    return count / (count + PULL_TARGETS)


@dataclass(frozen=True)
class Scaling:
    """From what a learner says to points of the metric.

    Attributes:
        goal: what the learner says.
        levels: of scores.
        offset: mean outcome in points, where the goal is not a standing.
        points: of an outcome of 1; for standings, as a share of the room.
        prior_points: from the lowest to the highest standing of the prior.
        shared_error: standard deviation of the error that the rows of a target share, in score units.
        own_error: that of the rest of a row's error.
    """

    goal: Goal
    levels: Levels
    offset: float = 0.0
    points: float = 0.0
    prior_points: float = RANGE
    shared_error: float = 0.0
    own_error: float = SPREAD

    def of(self, design: Design) -> Placed:
        """Where n rows stand before their outcomes are known."""
        counts = self.levels.support(design, self.goal)
        share = HALF / (HALF + counts) if self.points > 0 else np.ones(len(counts))
        groups = tuple(dict.fromkeys(column.group for column in design.schema))
        baselines = self.levels.baselines(design)
        points = np.full(len(counts), self.points)
        if self.goal == "standing":
            room = self.levels.room(design)
            level, points = baselines + self.levels.gains(design) * room, points * room
        else:
            learned = self.offset + (baselines if self.goal == "gain" else 0.0)
            level = (1 - share) * learned + share * baselines
        return Placed(
            level=level,
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
    """Score units that the prior's standings are worth: RANGE, pulled by the observed targets to what those show."""
    design = observed.design
    standing = standings(design, tuple(dict.fromkeys(column.group for column in design.schema))).sum(axis=1)
    ranked = float((standing**2).sum())
    member = (design.groups[:, None] == np.arange(design.groups.max() + 1)).astype(np.float64)
    moved = observed.score - (member.T @ observed.score / member.sum(axis=0))[design.groups]
    shown = max(float(standing @ moved) / ranked, 0.0) if ranked > 1e-12 else RANGE
    kept = _kept(design.targets)
    return kept * shown + (1 - kept) * RANGE


def scaling_of_prior(observed: Observed) -> Scaling:
    """Observed levels, and the prior for the order: nothing that a learner says counts."""
    return Scaling("standing", levels_of(observed), prior_points=prior_points_of(observed))
