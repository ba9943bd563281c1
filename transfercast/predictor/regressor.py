"""From a learner's outcomes to scores: the target's level, what the learner says of the pair, and the prior.

A forecast is level + (1 - p) points f(pair) + p range prior(pair), with p = HALF / (HALF + n) for n observations: more
observations, less prior. The level is the target's own score plus the mean gain with its encoder. Standings and shares of
the room mean the same in every metric, so all observations count where standings are learned; gains and scores rest on
those of the row's metric.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from transfercast.core.choices import Goal, Learner
from transfercast.core.table import Column
from transfercast.predictor.design import Design, Observed, columns_of, uses_history
from transfercast.predictor.inputs import Inputs
from transfercast.predictor.learner import LEARNERS, PARTS, Model, Part, Settings, fit_model
from transfercast.predictor.past import past_of
from transfercast.predictor.prior import RANGE, standings
from transfercast.predictor.situations import Situation, situations_of
from transfercast.predictor.standing import top

HALF = 20.0
"""Observations at which half of a forecast is prior."""

PULL = 30.0
"""Observations at which an encoder's mean gain counts as much as that of all encoders."""

LEAST_ROOM = 0.02


@dataclass(frozen=True, slots=True)
class Choice:
    """What is learned, from what, and how.

    Attributes:
        goal: `standing` within the target, `gain` over its own score, or `score`.
        features: a feature set; see `design.columns_of`.
        learner, settings: see `learner`.
    """

    goal: Goal = "standing"
    features: str = "all"
    learner: Learner = LEARNERS[0]
    settings: Settings = field(default_factory=Settings)


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
        total = placed.level + placed.points * outcomes + placed.prior.sum(axis=1)
        return np.asarray(np.clip(total, *design.metric_range))


@dataclass(frozen=True)
class Placed:
    """A score is level + points x outcome + the sum of `prior`, (n, g) by `groups`; the rest is (n,)."""

    level: np.ndarray
    points: np.ndarray
    prior: np.ndarray
    groups: tuple[str, ...]
    prior_share: np.ndarray
    support: np.ndarray


@dataclass(frozen=True)
class Prediction:
    """Scores of n rows with their parts.

    Attributes:
        score: (n,) in the metric's range.
        base: (n,) and why: (n, g) by `groups`, which sum to the score; g is 0 where reasons were not asked for.
        prior_share: (n,) in [0, 1].
        support: (n,) observations that the forecast rests on.
        outcome: (n,) what the learner says, before level and prior.
    """

    score: np.ndarray
    base: np.ndarray
    why: np.ndarray
    groups: tuple[str, ...]
    prior_share: np.ndarray
    support: np.ndarray
    outcome: np.ndarray


@dataclass(frozen=True)
class Fitted:
    """A fitted regressor.

    Attributes:
        choice: what was learned.
        schema: columns of measures and recipes that it was fitted on, in order.
        inputs: describes rows; None when nothing was observed.
        models: by situation.
        scaling: from outcomes to points.
    """

    choice: Choice
    schema: tuple[Column, ...]
    inputs: Inputs | None
    models: dict[Situation, Model]
    scaling: Scaling

    def predict(self, design: Design, explain: bool = True) -> Prediction:
        """Forecast the rows of a design; standings are taken among the rows given of each target.

        Args:
            design: n rows.
            explain: also say why, which takes most of the time.
        """
        placed = self.scaling.of(design)
        parts, rest, columns, outcome = self._learned(design, explain)
        score = placed.level + placed.points * outcome + placed.prior.sum(axis=1)
        clipped = np.clip(score, *design.metric_range)
        if not explain:
            empty = np.empty((len(score), 0))
            return Prediction(clipped, clipped, empty, (), placed.prior_share, placed.support, outcome)
        groups = tuple(dict.fromkeys((*placed.groups, *(column.group for column in columns))))
        why = np.zeros((len(score), len(groups)))
        for number, group in enumerate(placed.groups):
            why[:, groups.index(group)] += placed.prior[:, number]
        for number, column in enumerate(columns):
            why[:, groups.index(column.group)] += placed.points * parts[:, number]
        base = placed.level + placed.points * rest + clipped - score
        return Prediction(clipped, base, why, groups, placed.prior_share, placed.support, outcome)

    def _learned(self, design: Design, explain: bool) -> tuple[np.ndarray, np.ndarray, tuple[Column, ...], np.ndarray]:
        """(n, f) contributions, (n,) rest, f columns, and (n,) outcomes: the sums of both."""
        n = len(design.metric)
        if self.inputs is None:
            return np.empty((n, 0)), np.zeros(n), (), np.zeros(n)
        features, situation = self.inputs.rows(design)
        parts, rest, outcome = np.zeros_like(features), np.zeros(n), np.zeros(n)
        for name in dict.fromkeys(situation):
            rows = situation == name
            model = self.models.get(name, self.models["new target"])
            if explain:
                parts[rows], rest[rows] = model.explain(features[rows])
                outcome[rows] = parts[rows].sum(axis=1) + rest[rows]
            else:
                outcome[rows] = model.predict(features[rows])
        return parts, rest, self.inputs.columns, outcome


NOTHING_OBSERVED = Fitted(Choice(), (), None, {}, Scaling("standing", Levels({}, {}, 0.0, {})))


def outcomes_of(observed: Observed, goal: Goal, levels: Levels) -> tuple[np.ndarray, float, float]:
    """What the learner is to say of n observed rows: (n,) of mean 0 and deviation 1; with offset and scale in points."""
    if goal == "standing":
        values = np.zeros(len(observed))
        for group in np.unique(observed.design.groups):
            rows = observed.design.groups == group
            values[rows] = top(observed.score[rows])
        values /= values.std() or 1.0
        return values, 0.0, points_of_a_standing(observed, values, levels)
    values = observed.score - (levels.baselines(observed.design) if goal == "gain" else 0.0)
    spread = float(values.std()) or 1.0
    return (values - values.mean()) / spread, float(values.mean()), spread


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


@dataclass(frozen=True)
class Lesson:
    """Observed rows as the learners get them; several learners can be fitted on one.

    Attributes:
        observed: n observed transfers.
        goal, features: of the choice.
        inputs: describes rows.
        examples: (n, f) by situation.
        outcomes: (n,) what to learn; `offset` and `points` lead back to the metric.
        levels: of scores.
    """

    observed: Observed
    goal: Goal
    features: str
    inputs: Inputs
    examples: dict[Situation, np.ndarray]
    outcomes: np.ndarray
    offset: float
    points: float
    levels: Levels

    def fit(self, learner: Learner, settings: Settings, points: float | None = None) -> Fitted:
        """Fit one learner; `points` as in `scaling`."""
        models = {situation: self.model(situation, PARTS[learner], settings) for situation in self.examples}
        choice = Choice(self.goal, self.features, learner, settings)
        return Fitted(choice, self.inputs.schema, self.inputs, models, self.scaling(points))

    def model(self, situation: Situation, parts: Sequence[Part], settings: Settings) -> Model:
        """Fit boosters `parts` on a ridge, for one situation."""
        design, features = self.observed.design, self.examples[situation]
        return fit_model(parts, settings, features, self.outcomes, design.groups, design.targets)

    def scaling(self, points: float | None = None) -> Scaling:
        """Scaling with `points` of a standing, or those of the observed standings themselves, which promise too much."""
        used = self.points if points is None else points
        return Scaling(self.goal, self.levels, self.offset, used, prior_points_of(self.observed))


def lesson_of(observed: Observed, goal: Goal, features: str, situations: tuple[Situation, ...] | None = None) -> Lesson:
    """Describe observed rows for learning.

    Args:
        observed: n observed transfers.
        goal: what to learn.
        features: a feature set; see `design.columns_of`.
        situations: to be ready for; by default all that the observations have examples of.
    """
    past = past_of(observed) if uses_history(features) else None
    inputs = Inputs(past, columns_of(observed.design.schema, features), goal)
    levels = levels_of(observed)
    outcomes, offset, points = outcomes_of(observed, goal, levels)
    ready: tuple[Situation, ...] = ("new target",) if past is None else (situations or situations_of(past))
    examples = {situation: inputs.examples(observed, situation) for situation in ready}
    return Lesson(observed, goal, features, inputs, examples, outcomes, offset, points, levels)
