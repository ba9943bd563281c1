"""Recorded trainings replayed epoch by epoch under each way to stop them; each target held out of all that is learned.

The trainings of a target run in the order of the forecasts, the target alone first. A training costs its recorded hours, up to
the epoch at which it is stopped. A policy reaches the best when a training that went to its end is within 1 % of the best of
all; one that never does is charged the whole plan, for all must be trained then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
from optuna.trial import TrialState

from transfercast.core.records import ALONE, Observation
from transfercast.evaluation.holdout import held_out
from transfercast.execution.rises import Curve, Rises, learn
from transfercast.execution.stopping import LearnedPruner, pruner_of
from transfercast.execution.study import QUANTILE_95
from transfercast.features.registry import measures
from transfercast.history.store import History, opened
from transfercast.predictor.data import transfers_of
from transfercast.predictor.folds import folds_by

CLOSE = 0.99
LEVELS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4)
MOST_REGRET = 0.05
"""Percent of the best: the default level is the highest that loses no more."""
ORDERS, FOLDS = 5, 10
FEWEST_TRIALS = 4
NAMES = ("fixed", "median", "halving", "hyperband")

Pruner = optuna.pruners.BasePruner


@dataclass(frozen=True)
class Recorded:
    """A training as it went.

    Attributes:
        target, source: names.
        scores, seconds: of each epoch.
        end: the score that it ended with.
        hours: in all.
        recipe, seed: of the training.
        forecast, spread: what was expected of it by a predictor that knows nothing of the target; NaN of the target alone.
    """

    target: str
    source: str
    scores: tuple[float, ...]
    seconds: tuple[float, ...]
    end: float
    hours: float
    recipe: str = "full"
    seed: int = 0
    forecast: float = np.nan
    spread: float = np.nan

    @property
    def curve(self) -> Curve:
        """As the rises are learned from."""
        return Curve(self.target, self.scores, self.end)

    def hours_to(self, epochs: int) -> float:
        """Of its first epochs."""
        return self.hours * sum(self.seconds[:epochs]) / sum(self.seconds)


def trainings(folder: Path) -> list[Recorded]:
    """All finished trainings of an atlas, without forecasts."""
    curves = pd.read_parquet(folder / "curves.parquet").sort_values(["run_key", "epoch"])
    rows = {str(key): part for key, part in curves.groupby("run_key")}
    return [
        _recorded(one, rows[one.run_key])
        for one in opened(folder / "atlas.parquet").observations()
        if one.split == "validation" and one.run_key in rows
    ]


def recorded(folder: Path, recipe: str = "full", seed: int = 0) -> dict[str, list[Recorded]]:
    """Trainings of an atlas with one recipe and seed, by target, each in the order of its forecasts."""
    columns = [column for measure in measures().values() for column in measure.schema()]
    forecasts = _forecasts(opened(folder / "atlas.parquet", columns), recipe)
    found: dict[str, list[Recorded]] = {}
    for one in trainings(folder):
        forecast, spread = forecasts.get((one.source, one.target), (np.nan, np.nan))
        if one.recipe == recipe and one.seed == seed and (one.source == ALONE or np.isfinite(forecast)):
            found.setdefault(one.target, []).append(replace(one, forecast=forecast, spread=spread))
    for name, trials in list(found.items()):
        trials.sort(key=lambda trial: (trial.source != ALONE, -trial.forecast))
        if len(trials) < FEWEST_TRIALS or trials[0].source != ALONE or max(trial.end for trial in trials) <= 0:
            del found[name]
    return found


def _recorded(one: Observation, curve: pd.DataFrame) -> Recorded:
    scores, seconds = tuple(curve.score.tolist()), tuple(curve.seconds.tolist())
    return Recorded(one.target, one.source, scores, seconds, one.score, one.hours, one.recipe, one.seed)


def task_of(target: str) -> str:
    """The task of a target, which may be named TASK.ROWS: its rows are the same task's."""
    task, _, rows = target.rpartition(".")
    return task if rows.isdigit() else target


def _forecasts(history: History, recipe: str) -> dict[tuple[str, str], tuple[float, float]]:
    known = transfers_of(history.frames(), history.schema())
    transfers = known.take(known.candidates.recipes == recipe)
    tasks = np.array([task_of(name) for name in transfers.candidates.targets])
    forecast = held_out(transfers, folds=folds_by(tasks, FOLDS))
    kind = "hierarchical"
    spread = (forecast.upper[kind] - forecast.lower[kind]) / (2 * QUANTILE_95)
    names = zip(transfers.candidates.sources, transfers.candidates.targets, strict=True)
    return {key: (float(score), float(wide)) for key, score, wide in zip(names, forecast.score, spread, strict=True)}


@dataclass(frozen=True)
class Outcome:
    """What a policy came to on one target: hours to within 1 % of the best, hours in all, percent of the best lost."""

    hours: float
    in_all: float
    regret: float


def replay(trials: Sequence[Recorded], pruner: Pruner) -> Outcome:
    """Run a target's trainings in turn."""
    study = optuna.create_study(study_name=trials[0].target, direction="maximize", pruner=pruner)  # brackets go by the name
    best, spent, reached, in_hand = max(trial.end for trial in trials), 0.0, np.inf, -np.inf
    for trial in trials:
        ended = _run(study, trial)
        spent += trial.hours_to(ended)
        if ended == len(trial.scores):
            in_hand = max(in_hand, trial.end)
        if in_hand >= CLOSE * best:
            reached = min(reached, spent)
    whole = sum(trial.hours for trial in trials)
    return Outcome(reached if np.isfinite(reached) else whole, spent, 100 * (best - in_hand) / best)


def _run(study: optuna.Study, trial: Recorded) -> int:
    """Run one training in a study, as a search does; returns after how many epochs it ended."""
    attributes = {"epochs": len(trial.scores)}
    if np.isfinite(trial.forecast):
        attributes |= {"forecast": trial.forecast, "spread": trial.spread}
    study.add_trial(optuna.trial.create_trial(state=TrialState.RUNNING, user_attrs=attributes))
    running = optuna.Trial(study, study.get_trials(deepcopy=False)[-1]._trial_id)
    for epochs, score in enumerate(trial.scores, start=1):
        running.report(score, epochs)
        if trial.source != ALONE and epochs < len(trial.scores) and running.should_prune():
            study.tell(running, state=TrialState.PRUNED)
            return epochs
    study.tell(running, trial.end)
    return len(trial.scores)


def learned_without(atlas: dict[str, list[Recorded]], task: str) -> Rises:
    """Rises of all curves but those of one task."""
    return learn([trial.curve for name, trials in atlas.items() if task_of(name) != task for trial in trials])


def outcomes(atlas: dict[str, list[Recorded]], make: Callable[[str], Pruner]) -> dict[str, Outcome]:
    """Of each target."""
    return {name: replay(trials, make(name)) for name, trials in atlas.items()}


def losses(trials: Sequence[Recorded], pruner: Pruner) -> float:
    """Percent of the best that is lost, the mean over ORDERS random orders, in which the best has more to survive."""
    rng = np.random.default_rng(0)
    alone, transfers = trials[0], list(trials[1:])
    orders = [[alone, *(transfers[number] for number in rng.permutation(len(transfers)))] for _ in range(ORDERS)]
    return float(np.mean([replay(order, pruner).regret for order in orders]))


def level_of(lost: dict[float, dict[str, float]], targets: Iterable[str]) -> float:
    """The highest level that loses no more than MOST_REGRET on some targets; the lowest where each loses more."""
    names = list(targets)
    good = [level for level, by_target in lost.items() if np.mean([by_target[name] for name in names]) <= MOST_REGRET]
    return max(good, default=min(lost))


def stops(folder: Path) -> dict[str, object]:
    """Hours and regret of each policy, means over targets; the level of ours is chosen by the other targets."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    atlas = recorded(folder)
    number = sum(map(len, atlas.values()))
    print(f"{len(atlas)} targets, {number} trainings with curves")
    by_name = {name: outcomes(atlas, lambda _, n=name: pruner_of("none" if n == "fixed" else n)) for name in NAMES}
    rises = {task: learned_without(atlas, task) for task in dict.fromkeys(map(task_of, atlas))}

    def ours(target: str, level: float) -> Pruner:
        return LearnedPruner(rises[task_of(target)], level)

    by_level = {level: outcomes(atlas, lambda target, at=level: ours(target, at)) for level in LEVELS}
    lost = {level: {name: losses(trials, ours(name, level)) for name, trials in atlas.items()} for level in LEVELS}
    chosen = {target: level_of(lost, [name for name in atlas if task_of(name) != task_of(target)]) for target in atlas}
    by_name["learned"] = {target: by_level[level][target] for target, level in chosen.items()}
    print(f"{'policy':16}{'hours to 1 %':>14}{'hours in all':>14}{'regret %':>10}")
    rows = {**by_name, **{f"learned at {level}": by_target for level, by_target in by_level.items()}}
    for name, by_target in rows.items():
        print(f"{name:16}{_mean(by_target, 'hours'):14.4f}{_mean(by_target, 'in_all'):14.4f}{_mean(by_target, 'regret'):10.3f}")
    hours = {f"hours_{name}": _mean(by_name[name], "hours") for name in by_name}
    ratios = bootstrap(by_name["learned"], by_name["fixed"])
    print(f"learned over fixed: {ratios[1]:.3f} [{ratios[0]:.3f}, {ratios[2]:.3f}], targets drawn anew")
    best_pruner = min(hours[f"hours_{name}"] for name in ("median", "halving", "hyperband"))
    return {
        **hours,
        **{f"all_hours_{name}": _mean(by_name[name], "in_all") for name in by_name},
        **{f"regret_{name}": _mean(by_name[name], "regret") for name in by_name if name != "fixed"},
        "learned_over_fixed": hours["hours_learned"] / hours["hours_fixed"],
        "learned_over_best_pruner": hours["hours_learned"] / best_pruner,
        "stop_level": level_of(lost, atlas),
        "targets": len(atlas),
        "trainings": number,
    }


def bootstrap(one: dict[str, Outcome], other: dict[str, Outcome], draws: int = 2000) -> tuple[float, float, float]:
    """2.5 %, middle and 97.5 % of the ratio of mean hours, over targets drawn with replacement."""
    pairs = np.array([(one[name].hours, other[name].hours) for name in one])
    rows = np.random.default_rng(0).integers(len(pairs), size=(draws, len(pairs)))
    ratios = pairs[rows, 0].sum(axis=1) / pairs[rows, 1].sum(axis=1)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(low), float(pairs[:, 0].sum() / pairs[:, 1].sum()), float(high)


def _mean(by_target: dict[str, Outcome], what: str) -> float:
    return float(np.mean([getattr(outcome, what) for outcome in by_target.values()]))
