"""Rules that stop trials before their last epoch: Optuna's pruners by name, and one learned from recorded curves."""

from __future__ import annotations

import math
from collections.abc import Iterable

import optuna
from optuna.trial import FrozenTrial, TrialState

from transfercast.core.choices import STOP_LEVEL, Stop
from transfercast.core.trainings import TrainingRecord
from transfercast.execution.rises import Curve, Forecast, Rises, learn, shipped


class LearnedPruner(optuna.pruners.BasePruner):
    """Stops a trial that is unlikely to end above the best of its target.

    Args:
        rises: expected rise of scores, by the share of finished epochs.
        level: the probability below which a trial is stopped, in [0, 1].
    """

    def __init__(self, rises: Rises, level: float = STOP_LEVEL) -> None:
        self.rises, self.level = rises, level

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Whether to stop a trial now; the study holds the trials of its target."""
        ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        epochs = trial.user_attrs.get("epochs")
        if not ended or not trial.intermediate_values or epochs is None:
            return False
        in_hand = max(one.values[0] for one in ended)
        earlier = [Curve("", _scores(one), one.values[0]) for one in ended if len(one.intermediate_values) > 1]
        chance = self.rises.chance(_scores(trial), epochs, in_hand, _forecast(trial), earlier)
        return chance < self.level


def pruner_of(stop: Stop, level: float = STOP_LEVEL, trainings: Iterable[TrainingRecord] = ()) -> optuna.pruners.BasePruner:
    """The pruner with a name.

    Args:
        stop: `learned`, or one of Optuna's, with its own defaults.
        level: probability for `learned`.
        trainings: trainings of the history; `learned` uses them if there are enough, else those that come with transfercast.
    """
    if stop == "learned":
        own = learn(list(curves_of(trainings)))
        return LearnedPruner(own if own.curves else shipped(), level)
    pruners: dict[Stop, type[optuna.pruners.BasePruner]] = {
        "median": optuna.pruners.MedianPruner,
        "halving": optuna.pruners.SuccessiveHalvingPruner,
        "hyperband": optuna.pruners.HyperbandPruner,
        "none": optuna.pruners.NopPruner,
    }
    return pruners[stop]()


def curves_of(trainings: Iterable[TrainingRecord]) -> Iterable[Curve]:
    """Curves of trainings that reached their last epoch."""
    for one in trainings:
        if one.ended == "finished" and one.epoch is not None:
            scores = tuple(epoch.score for epoch in one.curve)
            yield Curve(one.target, scores, scores[one.epoch])


def _scores(trial: FrozenTrial) -> tuple[float, ...]:
    return tuple(score for _, score in sorted(trial.intermediate_values.items()))


def _forecast(trial: FrozenTrial) -> Forecast | None:
    score, spread = trial.user_attrs.get("forecast"), trial.user_attrs.get("spread")
    return None if score is None or spread is None or not math.isfinite(spread) else Forecast(score, spread)
