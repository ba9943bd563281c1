"""Learning from a history: learner and settings are chosen on targets held out of it, and bounds come from the same.

The observations are cut into folds by target. Each learner forecasts each fold from the others; that with the least mean
regret is fitted on all. Whoever evaluates holds targets out of the observations given here, so that neither choice nor
bounds have seen them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from transfercast.core.choices import Goal, Learner
from transfercast.predictor.bounds import Residuals, shared_and_own
from transfercast.predictor.design import Observed
from transfercast.predictor.folds import MOST_FOLDS, folds_by
from transfercast.predictor.learner import LEARNERS, PARTS, REGRESSORS, Settings
from transfercast.predictor.ranking import mean_regret
from transfercast.predictor.regressor import NOTHING_OBSERVED, Fitted, lesson_of, outcomes_of
from transfercast.predictor.scaling import STEEPEST, levels_of, points_of_a_standing, scaling_of_prior
from transfercast.predictor.situations import Situation

FEWEST_TO_LEARN = 3
"""Targets. With fewer nothing is learned: the prior orders, and levels are those observed."""

FEWEST_TARGETS, FEWEST_ROWS = 5, 100
"""With fewer there is no choice, for nothing could be told from so few, and a ridge is taken: trees need more."""

CLEARLY = 2.0
"""Standard errors; choosing by less follows the noise of a few targets."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to learn.

    Attributes:
        goal, features: see `regressor.Choice`.
        learners: to choose from; none leaves the prior alone.
        settings: of the learners.
        seconds: for tuning settings with Optuna; with 0 they stay as they are, and the result does not depend on time.
    """

    goal: Goal = "standing"
    features: str = "all"
    learners: tuple[Learner, ...] = LEARNERS
    settings: Settings = field(default_factory=Settings)
    seconds: float = 0.0


@dataclass(frozen=True)
class Learned:
    """What was learned.

    Attributes:
        fitted: on all observations.
        residuals: truth minus forecast of held-out rows, by target; empty with fewer than two targets.
        regrets: mean regret of each learner on held-out targets, where there was a choice.
    """

    fitted: Fitted
    residuals: Residuals
    regrets: dict[Learner, float] = field(default_factory=dict)

    def about(self) -> dict[str, Any]:
        """The choice, as plain values."""
        choice = self.fitted.choice
        learner = choice.learner if self.fitted.scaling.points > 0 else "the prior"
        return {"goal": choice.goal, "features": choice.features, "learner": learner,
                "settings": asdict(choice.settings), "mean_regret": self.regrets}  # fmt: skip


def learn(observed: Observed, options: Options = Options(), situations: tuple[Situation, ...] | None = None) -> Learned:
    """Choose learner and settings on held-out targets, then fit on all; in one thread, for the matrices are small.

    Args:
        observed: n observed transfers.
        options: how.
        situations: to be ready for; by default all that the observations have examples of.
    """
    if not options.learners:
        return Learned(NOTHING_OBSERVED, {})
    with threadpool_limits(1):
        return _learned(observed, options, situations)


def _learned(observed: Observed, options: Options, situations: tuple[Situation, ...] | None) -> Learned:
    whole = lesson_of(observed, options.goal, options.features, situations)
    learners = (
        options.learners if options.goal == "standing" else tuple(name for name in options.learners if name in REGRESSORS)
    )
    targets = np.unique(observed.design.targets)
    enough = len(targets) >= FEWEST_TARGETS and len(observed) >= FEWEST_ROWS
    learner: Learner = learners[0] if enough or "ridge" not in learners else "ridge"
    settings = options.settings
    if len(targets) < FEWEST_TO_LEARN:
        errors = errors_of_prior(observed)
        return _with_errors(whole.prior_only(), observed, errors)
    trials = Trials(observed, options)
    regrets: dict[Learner, float] = {}
    said: dict[Learner, np.ndarray] = {}
    if enough:
        said = trials.outcomes(learners, settings)
        judged = {name: trials.regrets(outcomes) for name, outcomes in said.items()}
        learner = clearly_best(judged)
        regrets = {name: float(values.mean()) for name, values in judged.items()}
        if options.seconds > 0:
            from transfercast.predictor.tune import tuned

            settings = tuned(lambda tried: trials.cost(learner, tried), options.seconds)
            said = {}
    outcomes = (said or trials.outcomes([learner], settings))[learner]
    return _with_errors(whole.fit(learner, settings, trials.scale(outcomes)), observed, trials.errors(outcomes), regrets)


def _with_errors(
    fitted: Fitted, observed: Observed, errors: np.ndarray | None, regrets: dict[Learner, float] | None = None
) -> Learned:
    """What was learned, with the (n,) errors of held-out rows, where some were held out."""
    if errors is None:
        return Learned(fitted, {})
    targets = observed.design.targets
    residuals = {str(name): errors[targets == name] for name in np.unique(targets)}
    shared, own = shared_and_own(errors, observed.design.groups)
    scaling = replace(fitted.scaling, shared_error=shared, own_error=own)
    return Learned(replace(fitted, scaling=scaling), residuals, regrets or {})


def errors_of_prior(observed: Observed) -> np.ndarray | None:
    """(n,) truth minus forecast when the prior orders and levels are those of the other targets; None of one target."""
    targets = observed.design.targets
    names = np.unique(targets)
    if len(names) < 2:
        return None
    errors = np.zeros(len(observed))
    for own in (targets == name for name in names):
        rows = observed.take(own)
        errors[own] = rows.score - scaling_of_prior(observed.take(~own)).scores(rows.design, np.zeros(len(rows)))
    return errors


def clearly_best(judged: dict[Learner, np.ndarray]) -> Learner:
    """The first learner, unless another is better by more than CLEARLY standard errors of the difference.

    Args:
        judged: (g,) costs of each on the same g held-out targets.
    """
    first, *others = judged
    best, least = first, 0.0
    for name in others:
        difference = judged[name] - judged[first]
        mean = float(difference.mean())
        if mean < min(least, -CLEARLY * float(difference.std(ddof=1)) / len(difference) ** 0.5):
            best, least = name, mean
    return best


class Trials:
    """Forecasts of held-out folds; rows are described once, for all learners and settings.

    Args:
        observed: n observed transfers to at least two targets.
        options: how to learn.
    """

    def __init__(self, observed: Observed, options: Options) -> None:
        self.observed, self.options = observed, options
        self.folds = folds_by(observed.design.targets, min(MOST_FOLDS, len(np.unique(observed.design.targets))))
        numbers = range(int(self.folds.max()) + 1)
        self._lessons = [
            lesson_of(observed.take(self.folds != fold), options.goal, options.features, ("new target",)) for fold in numbers
        ]
        self._rows = [
            lesson.inputs.rows(observed.design.take(self.folds == fold))[0] for fold, lesson in enumerate(self._lessons)
        ]

    def outcomes(self, learners: Sequence[Learner], settings: Settings) -> dict[Learner, np.ndarray]:
        """(n,) what each learner says of each row, fitted on the other folds; parts that learners share are fitted once."""
        result = {name: np.zeros(len(self.observed)) for name in learners}
        parts = list(dict.fromkeys(part for name in learners for part in PARTS[name]))
        for fold, (lesson, rows) in enumerate(zip(self._lessons, self._rows, strict=True)):
            model = lesson.model("new target", parts, settings)
            said = model.predict_as([PARTS[name] for name in learners], rows)
            for name, values in zip(learners, said, strict=True):
                result[name][self.folds == fold] = values
        return result

    def regrets(self, outcomes: np.ndarray) -> np.ndarray:
        """(g,) mean of regret@1, @3 and @5 for each held-out target and encoder with at least two candidates."""
        return np.array([mean_regret(outcomes[rows], self.observed.score[rows]) for rows in self._ranked()])

    def cost(self, learner: Learner, settings: Settings) -> float:
        """Mean regret of one learner."""
        return float(self.regrets(self.outcomes([learner], settings)[learner]).mean())

    def scale(self, outcomes: np.ndarray, rows: np.ndarray | None = None) -> float | None:
        """Share of the room that a standing forecast like that is worth, by all rows or the (n,) mask `rows`."""
        if self.options.goal != "standing":
            return None
        rows = np.ones(len(outcomes), dtype=bool) if rows is None else rows
        part = self.observed.take(rows)
        levels = levels_of(part)
        steepest = STEEPEST * outcomes_of(part, "standing", levels)[2]
        return min(points_of_a_standing(part, outcomes[rows], levels), steepest)

    def errors(self, outcomes: np.ndarray) -> np.ndarray:
        """(n,) truth minus forecast; levels and the worth of a standing are those of the other folds' rows."""
        errors = np.zeros(len(self.observed))
        for fold, lesson in enumerate(self._lessons):
            rows = self.folds == fold
            design = self.observed.design.take(rows)
            scaling = lesson.scaling(self.scale(outcomes, ~rows))
            errors[rows] = self.observed.score[rows] - scaling.scores(design, outcomes[rows])
        return errors

    def _ranked(self) -> Sequence[np.ndarray]:
        groups = self.observed.design.groups
        found = [np.nonzero(groups == group)[0] for group in range(groups.max() + 1)]
        return [rows for rows in found if len(rows) > 1]
