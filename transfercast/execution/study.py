"""Optuna as the record of trials: dashboard, learning curves, pruning. It does not choose what to run; the plan does."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from transfercast.core.plan import Plan, Step
from transfercast.history.store import after_collisions


class _PlannedSampler(optuna.samplers.BaseSampler):
    """Answers every suggestion with the values of the step that was claimed."""

    def __init__(self) -> None:
        self.step: dict[str, Any] = {}

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return {}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self.step[param_name]


class TrialRecord:
    """The Optuna study of a plan; its name is `transfercast-` and the start of the plan's id.

    Args:
        plan: whose steps are recorded.
        storage: any Optuna storage URL or storage object.
        pruner: stops trials on their learning curves; by default none is stopped.
    """

    def __init__(self, plan: Plan, storage: Any, pruner: optuna.pruners.BasePruner | None = None) -> None:
        self._sampler = _PlannedSampler()
        self._pruner = pruner
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            self.study = after_collisions(
                lambda: optuna.create_study(
                    study_name=f"transfercast-{plan.id[:12]}",
                    storage=storage,
                    sampler=self._sampler,
                    pruner=pruner or optuna.pruners.NopPruner(),
                    direction="maximize",
                    load_if_exists=True,
                )
            )
        finally:
            optuna.logging.set_verbosity(verbosity)
        self._choices: dict[str, BaseDistribution] = {
            name: CategoricalDistribution(_distinct(plan.steps, name)) for name in ("source", "target", "recipe")
        }

    def begin(self, step: Step) -> optuna.Trial:
        """A running trial with the step's source, target and recipe as parameters."""
        self._sampler.step = {"source": step.source, "target": step.target, "recipe": step.recipe}
        trial = self.study.ask(self._choices)
        trial.set_user_attr("position", step.position)
        if step.score is not None:
            trial.set_user_attr("forecast", step.score)
        return trial

    def watch(self, trial: optuna.Trial) -> Callable[[int, float], None] | None:
        """What to call after each epoch with its score, if anything can come of it: it raises TrialPruned."""
        if self._pruner is None:
            return None

        def after_epoch(epoch: int, score: float) -> None:
            trial.report(score, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned

        return after_epoch

    def end(self, number: int, score: float | None, state: TrialState = TrialState.COMPLETE) -> None:
        """Close a trial, unless it is closed already (its worker may have been killed right after)."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self.study.tell(number, score, state=state, skip_if_finished=True)


def _distinct(steps: Sequence[Step], name: str) -> list[str]:
    return sorted({getattr(step, name) for step in steps})
