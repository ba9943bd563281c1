"""Optuna as the record of trials: dashboard, learning curves, pruning. The plan, not Optuna, chooses the trainings.

There is one study for each target, because scores of two targets cannot be compared. A trial holds the position of its step,
and its score after each epoch as an intermediate value, at the number of finished epochs.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy as sa
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.storages._rdb.models import BaseModel
from optuna.trial import FrozenTrial, TrialState

from transfercast.core.errors import InputError
from transfercast.core.files import make_folder_of, reason
from transfercast.core.plan import Plan, Step
from transfercast.core.records import ALONE, Recipe
from transfercast.core.text import redacted
from transfercast.execution.result import forecast_of
from transfercast.history.database import BUSY_SECONDS, after_collisions
from transfercast.history.places import file_of, from_root, with_driver

log = logging.getLogger(__name__)

QUANTILE_95 = 1.6449
"""Standard deviations from the middle of a plan's bounds (90 % by default) to their ends."""


def storage_url_of(place: str | Path) -> str:
    """The URL of an Optuna storage, which may be given as the path of an SQLite file; the path is made absolute.

    Raises:
        InputError: if it is no URL, or a file whose folder cannot be made.
    """
    if "://" in str(place) and not str(place).startswith("sqlite"):
        return with_driver(str(place))
    try:
        url = sa.make_url(str(place)) if "://" in str(place) else sa.URL.create("sqlite", database=str(place))
    except (sa.exc.ArgumentError, ValueError) as error:
        raise InputError(f"storage {redacted(str(place))!r}: no database URL. Write it as sqlite:///history.db.") from error
    if (file := file_of(url)) is not None:
        make_folder_of(file)
    return from_root(url).render_as_string(hide_password=False)


class TrialRecord:
    """The Optuna studies of a plan, one a target; `transfercast-`, the start of the plan's id and the target are their names.

    Args:
        plan: its steps are recorded.
        storage: any Optuna storage URL.
        pruner: stops trials by their learning curves, compared within a target; by default none is stopped.

    Raises:
        InputError: if the storage cannot be opened.
    """

    def __init__(self, plan: Plan, storage: str, pruner: optuna.pruners.BasePruner | None = None) -> None:
        self._plan = plan
        self._pruner = pruner
        self._looked_at: dict[str, optuna.Study] = {}
        self._choices = {target: _choices(plan, target) for target in plan.targets}
        try:
            options = {"connect_args": {"timeout": BUSY_SECONDS}} if storage.startswith("sqlite") else None
            if storage.startswith("sqlite"):
                after_collisions(lambda: _create_tables(storage))
            self._storage = after_collisions(lambda: optuna.storages.RDBStorage(storage, options))
        except (sa.exc.SQLAlchemyError, ImportError, RuntimeError, ValueError) as error:
            raise InputError(
                f"storage {redacted(storage)!r}: {redacted(reason(error))}. Write it as history.db or postgresql://..."
            ) from error
        for target in plan.targets:
            self._create(target)

    def _create(self, target: str) -> None:
        with _quiet():
            study = after_collisions(
                lambda: optuna.create_study(
                    study_name=self.name_of(target), storage=self._storage, direction="maximize", load_if_exists=True
                )
            )
            study.set_metric_names([self._plan.provenance.targets[target].metric])

    def name_of(self, target: str) -> str:
        """The name of a target's study."""
        return f"transfercast-{self._plan.id[:12]}-{target}"

    def study(self, step: Step) -> optuna.Study:
        """The study of a step's target; the next trial that it is asked for is that of the step."""
        return optuna.load_study(
            study_name=self.name_of(step.target),
            storage=self._storage,
            sampler=optuna.samplers.RandomSampler(),  # never used: a trial has its step's values from the start
            pruner=self._pruner or optuna.pruners.NopPruner(),
        )

    def trials(self, target: str) -> list[FrozenTrial]:
        """All trials of a target, in the order of their start."""
        if target not in self._looked_at:  # kept, because a study reads a finished trial only once
            self._looked_at[target] = optuna.load_study(study_name=self.name_of(target), storage=self._storage)
        return self._looked_at[target].get_trials(deepcopy=False)

    def end_thread(self) -> None:
        """Release the connection of this thread."""
        self._storage.remove_session()

    def close(self) -> None:
        """Close the connections, which Optuna leaves open."""
        self.end_thread()
        self._storage.engine.dispose()

    def begin(self, step: Step) -> optuna.Trial:
        """Start a trial of a step; a trial that an earlier attempt left running is closed as failed.

        The trial is written in one transaction: if it were created first and given its step later, a kill in between would
        leave a running trial without a step, which could never be closed.
        """
        study = self.study(step)
        _fail(study, _of(step, study, TrialState.RUNNING))
        study.add_trial(self._trial(step, TrialState.RUNNING))
        return optuna.Trial(study, _of(step, study, TrialState.RUNNING)[-1]._trial_id)

    def report(self, trial: optuna.Trial, epochs: int, score: float) -> None:
        """Record the score of a running trial after so many epochs.

        The target alone is never stopped, because gains are counted from its score; neither is a trial after its last epoch.

        Raises:
            TrialPruned: if the pruner would stop it.
        """
        try:
            trial.report(score, epochs)
            at_end = epochs == trial.user_attrs.get("epochs")
            stop = trial.params["source"] != ALONE and not at_end and trial.should_prune()
        except (sa.exc.SQLAlchemyError, optuna.exceptions.OptunaError) as error:  # not worth a training
            log.info("trial %d: its score after %d epochs is not in Optuna (%s)", trial.number, epochs, reason(error))
            return
        if stop:
            raise optuna.TrialPruned

    def complete(self, trial: optuna.Trial, score: float, gain: float | None) -> None:
        """Close a running trial with its score and, if known, its gain over the target alone."""
        _close(trial, TrialState.COMPLETE, score, **({} if gain is None else {"gain": gain}))

    def prune(self, trial: optuna.Trial) -> None:
        """Close a running trial as stopped by the pruner."""
        _close(trial, TrialState.PRUNED)

    def fail(self, trial: optuna.Trial, cause: str) -> None:
        """Close a running trial as failed."""
        _close(trial, TrialState.FAIL, error=cause)

    def add(self, step: Step, score: float, gain: float | None, curve: Sequence[float] = ()) -> None:
        """Record a step that needed no training here, unless its trial is complete; its running trials are closed as failed."""
        study = self.study(step)
        _fail(study, _of(step, study, TrialState.RUNNING))
        if _of(step, study, TrialState.COMPLETE):
            return
        attributes = {} if gain is None else {"gain": gain}
        study.add_trial(self._trial(step, TrialState.COMPLETE, score, curve, **attributes))

    def _trial(
        self, step: Step, state: TrialState, score: float | None = None, curve: Sequence[float] = (), **attributes: Any
    ) -> FrozenTrial:
        return optuna.trial.create_trial(
            state=state,
            value=score,
            intermediate_values=dict(enumerate(curve, start=1)),
            params=_values(step),
            distributions=self._choices[step.target],
            user_attrs=_attributes(self._plan, step) | attributes,
        )

    def close_orphans(self, at_work: Callable[[], set[int]]) -> None:
        """Close as failed all running trials whose steps no living worker runs; a trial without a position is not ours.

        Args:
            at_work: gives the positions of the steps that run. It is called after the trials were read: a step is claimed
                before its trial starts, so the steps of all trials of living workers are included.
        """
        first_of = {step.target: step for step in reversed(self._plan.steps)}
        studies = [self.study(step) for step in first_of.values()]
        running = [(study, study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))) for study in studies]
        working = at_work()
        for study, trials in running:
            _fail(study, [trial for trial in trials if trial.user_attrs.get("position") not in working | {None}])

    def cause(self, step: Step) -> str:
        """The reason of a step's last failure."""
        failed = _of(step, self.study(step), TrialState.FAIL)
        return str(failed[-1].user_attrs.get("error", "its worker was killed")) if failed else "unknown"


def _create_tables(url: str) -> None:
    """Create Optuna's tables in an SQLite file, with their indices, all or none.

    Optuna creates one after the other. After a kill before the index that keeps names of studies unique, it would never add
    that index, and would make another study of the same name at each start.
    """
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_SECONDS}, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            BaseModel.metadata.create_all(connection)
            for table in BaseModel.metadata.tables.values():
                for index in table.indexes:
                    index.create(connection, checkfirst=True)
            connection.exec_driver_sql("COMMIT")
    finally:
        engine.dispose()


def _of(step: Step, study: optuna.Study, state: TrialState) -> list[FrozenTrial]:
    trials = study.get_trials(deepcopy=False, states=(state,))
    return [trial for trial in trials if trial.user_attrs.get("position") == step.position]


def _close(trial: optuna.Trial, state: TrialState, score: float | None = None, **attributes: Any) -> None:
    try:
        for name, value in attributes.items():
            trial.set_user_attr(name, value)
        trial.study.tell(trial, score, state=state, skip_if_finished=True)
    except optuna.exceptions.UpdateFinishedTrialError:  # another worker considered this one dead and closed its trial
        return


def _fail(study: optuna.Study, trials: list[FrozenTrial]) -> None:
    for trial in trials:  # by its id: Optuna may give two trials that are added at once the same number
        study.tell(optuna.Trial(study, trial._trial_id), state=TrialState.FAIL, skip_if_finished=True)


def epochs_of(plan: Plan, step: Step) -> int:
    """Number of epochs of a step's training; one for a head that is solved for."""
    recipe = Recipe.parse(step.recipe)
    return 1 if recipe.adaptation == "features" else recipe.epochs_of(plan.provenance.targets[step.target].train_rows)


def _values(step: Step) -> dict[str, str]:
    return {"source": step.source, "recipe": step.recipe}


def _attributes(plan: Plan, step: Step) -> dict[str, Any]:
    """Attributes of a trial before it runs: its step, epochs, forecast, and standard deviation of the forecast's error."""
    forecast = forecast_of(step)
    attributes: dict[str, Any] = {"position": step.position, "epochs": epochs_of(plan, step)}
    if forecast is not None:
        attributes["forecast"] = forecast
        if step.lower is not None and step.upper is not None:
            attributes["spread"] = (step.upper - step.lower) / (2 * QUANTILE_95)
    return attributes


def _choices(plan: Plan, target: str) -> dict[str, BaseDistribution]:
    values = [_values(step) for step in plan.steps if step.target == target]
    return {name: CategoricalDistribution(sorted({each[name] for each in values})) for name in values[0]}


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress messages on created studies, and the warning that naming a metric is experimental in Optuna."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)
