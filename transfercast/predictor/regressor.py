"""The regressor: rows are described, a learner says where each stands, and scaling makes a score of it, with its reasons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from transfercast.core.choices import Goal, Learner
from transfercast.core.table import Column
from transfercast.predictor.design import Design, Observed, columns_of, uses_history
from transfercast.predictor.inputs import Inputs
from transfercast.predictor.learner import LEARNERS, PARTS, PENALTIES, Model, Part, Settings, fit_model, fit_ridges
from transfercast.predictor.past import past_of
from transfercast.predictor.scaling import Levels, Scaling, levels_of, points_of_a_standing, prior_points_of, scaling_of_prior
from transfercast.predictor.situations import Situation, situations_of
from transfercast.predictor.standing import top


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
        return self._explained(design) if explain else self.predict_each([design])[0]

    def predict_each(self, designs: Sequence[Design]) -> list[Prediction]:
        """Forecast designs that do not know of one another, without reasons; trees are walked once for all of them."""
        if not designs:
            return []
        described = [self._described(design) for design in designs]
        features, situation = (np.concatenate(part) for part in zip(*described, strict=True))
        outcomes = np.zeros(len(features))
        for model, rows in self._models_of(situation):
            outcomes[rows] = model.predict(features[rows])
        ends = np.cumsum([len(design) for design in designs])[:-1]
        return [self._scored(design, outcome) for design, outcome in zip(designs, np.split(outcomes, ends), strict=True)]

    def _scored(self, design: Design, outcome: np.ndarray) -> Prediction:
        placed = self.scaling.of(design)
        score = np.clip(placed.total(outcome), *design.metric_range)
        return Prediction(score, score, np.empty((len(score), 0)), (), placed.prior_share, placed.support, outcome)

    def _explained(self, design: Design) -> Prediction:
        placed = self.scaling.of(design)
        features, situation = self._described(design)
        parts, rest = np.zeros_like(features), np.zeros(len(design))
        for model, rows in self._models_of(situation):
            parts[rows], rest[rows] = model.explain(features[rows])
        outcome = parts.sum(axis=1) + rest
        score = placed.total(outcome)
        clipped = np.clip(score, *design.metric_range)
        columns = () if self.inputs is None else self.inputs.columns
        groups = tuple(dict.fromkeys((*placed.groups, *(column.group for column in columns))))
        why = np.zeros((len(score), len(groups)))
        for number, group in enumerate(placed.groups):
            why[:, groups.index(group)] += placed.prior[:, number]
        for number, column in enumerate(columns):
            why[:, groups.index(column.group)] += placed.points * parts[:, number]
        base = placed.level + placed.points * rest + clipped - score
        return Prediction(clipped, base, why, groups, placed.prior_share, placed.support, outcome)

    def _described(self, design: Design) -> tuple[np.ndarray, np.ndarray]:
        """(n, f) features and (n,) situations; no feature where nothing was observed."""
        if self.inputs is None:
            return np.empty((len(design), 0)), np.full(len(design), "new target", dtype=object)
        return self.inputs.rows(design)

    def _models_of(self, situation: np.ndarray) -> Iterator[tuple[Model, np.ndarray]]:
        """Each model that is needed, with the (n,) mask of its rows; none where nothing was observed."""
        if self.models:
            for name in dict.fromkeys(situation):
                yield self.models.get(name, self.models["new target"]), situation == name


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

    def prior_only(self) -> Fitted:
        """The prior with observed levels, for observations that are too few to learn from."""
        silent = fit_ridges(np.zeros((1, len(self.inputs.columns))), np.zeros(1), PENALTIES[:1])[0]
        choice = Choice(self.goal, self.features, "ridge")
        return Fitted(
            choice, self.inputs.schema, self.inputs, {"new target": Model(silent, {})}, scaling_of_prior(self.observed)
        )

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
