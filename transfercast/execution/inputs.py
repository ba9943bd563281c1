"""Inputs of a search: they are checked against the plan before any folder is made or anything is trained."""

from __future__ import annotations

from pathlib import Path

from transfercast.core.errors import InputError
from transfercast.core.plan import Plan, Step
from transfercast.core.records import ALONE, Recipe, checked_name
from transfercast.sources.encoders import checkpoint_folder
from transfercast.sources.models import pick_device
from transfercast.sources.pool import SourcePool
from transfercast.tasks.family import task_of
from transfercast.tasks.task import Task


class PlanInputs:
    """Pool, encoders and tasks of a plan.

    Args:
        plan: the plan to run.
        device: cpu, cuda, mps; None takes the best.
        turn: number of this process among those that share the machine; see `pick_device`.

    Raises:
        InputError: if the plan is incomplete, or if the pool or a task has changed since the plan was made.
    """

    def __init__(self, plan: Plan, device: str | None, turn: int = 0) -> None:
        _check_steps(plan)
        about = plan.provenance
        if about.pool is None:
            raise InputError("the plan's table names no pool, so nothing can be trained from it.")
        self.device = pick_device(device, turn)
        self.pool = SourcePool.load(about.pool)
        bases = [plan.encoder_of(step) for step in plan.steps if step.source == ALONE or _is_multitask(step)]
        self.encoders = {name: checkpoint_folder(name) for name in dict.fromkeys(bases)}
        for source in dict.fromkeys(step.source for step in plan.steps if step.source != ALONE):
            if source not in self.pool:
                raise InputError(f"{about.pool}: source {source!r} of the plan is not there. Fit it again.")
            if self.pool[source].fingerprint != about.sources.get(source):
                raise InputError(f"{about.pool}: source {source!r} has changed since. Make features and plan anew.")
        self.tasks = {name: _task(plan, name) for name in plan.targets}

        self._encoder_of = plan.encoder_of

    def checkpoint(self, step: Step) -> Path:
        """The checkpoint that a training starts from: the source, or for a target alone and for `multitask` the encoder."""
        from_base = step.source == ALONE or _is_multitask(step)
        return self.encoders[self._encoder_of(step)] if from_base else self.pool[step.source].checkpoint

    def companion(self, step: Step) -> Task | None:
        """The source's task, if the recipe trains on its rows together with the target's; else None.

        Raises:
            InputError: if the rows of the source are not available, or have changed since it was trained.
        """
        if not _is_multitask(step):
            return None
        source = self.pool[step.source]
        if source.spec is None:
            raise InputError(
                f"source {source.name!r}: multitask learns from the rows that a source was trained on, and the pool does not "
                "say where they are (it was adopted, or made from rows in memory). Fit it from a tasks.toml, or use another "
                "adaptation."
            )
        task = task_of(source.spec)
        if task.fingerprint != source.task:
            raise InputError(
                f"{source.spec.get('train')}: the rows of source {source.name!r} have changed since it was trained. "
                "Fit it again."
            )
        return task


def _is_multitask(step: Step) -> bool:
    return Recipe.parse(step.recipe).adaptation == "multitask"


def _check_steps(plan: Plan) -> None:
    """Refuse values that no plan of ours holds: names become folders, so a changed file must not name one outside the pool."""
    checked_name(plan.id[:12], "plan")
    if not plan.steps:
        raise InputError("the plan has no steps. Make it anew with: transfercast plan")
    if [step.position for step in plan.steps] != list(range(len(plan.steps))):
        raise InputError("the plan's steps are not numbered 0, 1, 2, ...: the file was changed. Make it anew.")
    for step in plan.steps:
        _check_step(step)


def _check_step(step: Step) -> None:
    checked_name(step.target, f"step {step.position} of the plan: target")
    if step.source != ALONE:
        checked_name(step.source, f"step {step.position} of the plan: source")
    Recipe.parse(step.recipe)


def _task(plan: Plan, name: str) -> Task:
    facts = plan.provenance.targets.get(name)
    if facts is None:
        raise InputError(f"target {name!r}: the plan does not say how to read it (provenance.targets). Make it anew.")
    if facts.spec is None:
        raise InputError(f"target {name!r} cannot be read again: its table does not say from which file.")
    task = task_of(facts.spec)
    if task.fingerprint != facts.fingerprint:
        raise InputError(f"{facts.spec.get('train')}: target {name!r} has changed. Make features and plan anew.")
    if task.metric != facts.metric:
        raise InputError(f"target {name!r}: the plan's metric is {facts.metric!r}, the task's {task.metric!r}. Make it anew.")
    return task
