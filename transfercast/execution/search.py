"""Running a plan's trainings, resumable and by several processes.

For each step the writes are ordered model, observation, Optuna's trial, step: a claimed step whose observation is there
already is closed and not run, so that a kill between any two writes repeats no finished training and loses none.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import optuna
from optuna.trial import TrialState

from transfercast.core.errors import InputError, TransfercastError
from transfercast.core.plan import Plan, Step
from transfercast.core.progress import progress
from transfercast.core.records import ALONE, Observation, Pair, Recipe
from transfercast.execution import claims
from transfercast.execution.results import Keeper
from transfercast.execution.study import TrialRecord
from transfercast.history.store import History
from transfercast.sources.encoders import checkpoint_folder, load_tokenizer, weights_fingerprint
from transfercast.sources.finetune import Trained, fine_tune, scored
from transfercast.sources.models import load_model, pick_device
from transfercast.sources.pool import SourcePool
from transfercast.sources.source import Source
from transfercast.tasks.family import task_of
from transfercast.tasks.task import Task

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Best:
    """The best training of a target: its pair, recipe, validation and test score, and where its model lies."""

    pair: Pair
    recipe: str
    validation: float
    score: float
    model: Path


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search found.

    Attributes:
        bests: by target; `score` is on the test rows, which were touched for it alone.
        baselines: validation score of each target trained alone.
        observations: of this plan, on validation, in the order of the plan.
        failed: positions of steps that failed.
    """

    bests: dict[str, Best]
    baselines: dict[str, float]
    observations: tuple[Observation, ...]
    failed: tuple[int, ...]

    @property
    def best(self) -> Best:
        """Of one target, its best; of several, that with the largest gain over its baseline."""
        return self.bests[max(self.bests, key=lambda name: self.bests[name].validation - self.baselines[name])]

    @property
    def gain_over_baseline(self) -> float:
        """Mean over targets of best validation score minus that of the target trained alone."""
        gains = [self.bests[name].validation - self.baselines[name] for name in self.bests]
        return sum(gains) / len(gains)


def search(
    plan: Plan,
    storage: str = "sqlite:///history.db",
    *,
    history: str | Path | None = None,
    device: str | None = None,
    pruner: optuna.pruners.BasePruner | None = None,
) -> SearchResult:
    """Run the steps of a plan that are not finished yet, and tell what came of all.

    Start it again after a kill, or in several processes at once: every step is run once.

    Args:
        plan: from `transfercast.plan` or `Plan.load`.
        storage: URL of Optuna's storage.
        history: where observations go; by default the same database, which must then be SQLite or PostgreSQL.
        device: cpu, cuda, mps; None takes the best there is.
        pruner: an Optuna pruner, asked after each epoch; epochs are scored only where there is one.

    Raises:
        InputError: before any training, if the pool or a task is no longer what the plan was made for.
        TransfercastError: at the end, if the target trained alone failed, so that there is nothing to compare with.
    """
    ready = _Ready(plan, device)
    past = History(storage if history is None else history)
    past.describe(plan.columns)
    record = TrialRecord(plan, storage, pruner)
    worker = _Worker(plan, ready, past, record, Keeper(ready.pool.folder / "searches", plan.id[:12]))
    tests = worker.enter()
    steps = range(len(plan.steps) + len(tests))
    for _ in progress(steps, "trials"):
        while (taken := claims.claim(past.engine, plan.id, tests)) is None:
            if claims.finished(past.engine, plan.id):
                return worker.result()
            time.sleep(POLL_SECONDS)
        worker.run(taken)
    return worker.result()


class _Ready:
    """Pool and tasks of a plan, checked against what it was made for before anything is trained."""

    def __init__(self, plan: Plan, device: str | None) -> None:
        about = plan.provenance
        if about.pool is None:
            raise InputError("the plan's table names no pool, so nothing can be trained from it.")
        self.device = pick_device(device)
        self.pool = SourcePool.load(about.pool)
        self.encoder = checkpoint_folder(about.encoder)
        self.tasks: dict[str, Task] = {}
        for step in plan.steps:
            if step.source != ALONE and step.source not in self.pool:
                raise InputError(f"{about.pool}: source {step.source!r} of the plan is not there. Fit it again.")
            if step.source != ALONE and self.pool[step.source].fingerprint != about.sources.get(step.source):
                raise InputError(f"{about.pool}: source {step.source!r} has changed since. Make features and plan anew.")
            Recipe.parse(step.recipe)
        for name in plan.targets:
            facts = about.targets[name]
            if facts.spec is None:
                raise InputError(f"target {name!r} cannot be read again: its table does not say from which file.")
            self.tasks[name] = task_of(facts.spec)
            if self.tasks[name].fingerprint != facts.fingerprint:
                raise InputError(f"{facts.spec.get('train')}: target {name!r} has changed. Make features and plan anew.")

    def checkpoint(self, source: str) -> Path:
        """Where a training starts from."""
        return self.encoder if source == ALONE else self.pool[source].checkpoint


class _Worker:
    """One process's share of a search."""

    def __init__(self, plan: Plan, ready: _Ready, history: History, record: TrialRecord, keeper: Keeper) -> None:
        self.plan, self.ready, self.history, self.record, self.keeper = plan, ready, history, record, keeper

    def enter(self) -> list[int]:
        """Write down all steps; after the trainings one for each target, its best model's test score."""
        first = len(self.plan.steps)
        tests = list(range(first, first + len(self.plan.targets)))
        claims.enter(self.history.engine, self.plan.id, [*range(first), *tests])
        return tests

    def run(self, taken: claims.Claim) -> None:
        """Run one claimed step and close it; interrupted, it is given back, for this process may live on."""
        engine, plan = self.history.engine, self.plan.id
        state = claims.PLANNED
        try:
            with claims.beating(engine, plan, taken.position):
                if taken.position >= len(self.plan.steps):
                    self._test(self.plan.targets[taken.position - len(self.plan.steps)])
                    state = claims.DONE
                else:
                    state = self._train(self.plan.steps[taken.position], taken)
        finally:
            claims.update(engine, plan, taken.position, state=state)

    def _train(self, step: Step, taken: claims.Claim) -> str:
        planned = self._observation(step, score=0.0, hours=0.0)
        known = self.history.find(planned.run_key)
        number = taken.optuna_number
        if known is None:
            if number is not None:  # its worker was killed in the middle; this is the same step's next attempt
                self.record.end(number, None, TrialState.FAIL)
            trial = self.record.begin(step)
            number = trial.number
            claims.update(self.history.engine, self.plan.id, step.position, optuna_number=number)
            try:
                known = self._fine_tuned(step, trial)
            except optuna.TrialPruned:
                self.record.end(number, None, TrialState.PRUNED)
                return claims.DONE
            except (TransfercastError, RuntimeError, ValueError, OSError) as error:  # out of memory, a full disk, ...
                return self._failed(step, number, error)
        elif number is None:  # found in the history: run by another plan or before
            number = self.record.begin(step).number
            claims.update(self.history.engine, self.plan.id, step.position, optuna_number=number)
        self.record.end(number, known.score)
        self.keeper.prune([observation for _, observation in self.observed(step.target)])
        return claims.DONE

    def _failed(self, step: Step, number: int, error: Exception) -> str:
        log.error("step %d, %s -> %s: %s", step.position, step.source, step.target, error)
        self.record.end(number, None, TrialState.FAIL)
        return claims.FAILED

    def _fine_tuned(self, step: Step, trial: optuna.Trial) -> Observation:
        alone = self._trained_alone(step)
        if alone is not None:
            observation = self._observation(step, alone.scores["validation"], alone.seconds / 3600)
            self.keeper.copy(observation, alone.checkpoint)
        else:
            trained = self._trained(step, self.record.watch(trial))
            score = trained.score(self.ready.tasks[step.target], "validation", Recipe.parse(step.recipe).max_tokens)
            observation = self._observation(step, score, trained.seconds / 3600)
            self.keeper.keep(observation, trained)
        self.history.append([observation])
        return observation

    def _trained_alone(self, step: Step) -> Source | None:
        """The target's own model, if measuring it for the features was this very training."""
        if step.source != ALONE:
            return None
        recipe, seed = Recipe.parse(step.recipe), self.plan.provenance.seed
        return self.ready.pool.found_alone(self.ready.tasks[step.target], recipe, seed)

    def _trained(self, step: Step, after_epoch: Callable[[int, float], None] | None = None) -> Trained:
        checkpoint, seed = self.ready.checkpoint(step.source), self.plan.provenance.seed
        task, recipe = self.ready.tasks[step.target], Recipe.parse(step.recipe)
        return fine_tune(task, checkpoint, recipe, seed=seed, device=self.ready.device, after_epoch=after_epoch)

    def _observation(self, step: Step, score: float, hours: float, split: str = "validation") -> Observation:
        about = self.plan.provenance
        origin = about.sources[step.source] if step.source != ALONE else weights_fingerprint(self.ready.encoder)
        return Observation(
            source=step.source,
            target=step.target,
            recipe=step.recipe,
            encoder=about.encoder,
            seed=about.seed,
            metric=about.targets[step.target].metric,
            split=split,
            score=score,
            hours=hours,
            device=str(self.ready.device),
            finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
            source_fingerprint=origin,
            target_fingerprint=about.targets[step.target].fingerprint,
            features=step.features,
        )

    def observed(self, target: str) -> list[tuple[Step, Observation]]:
        """Finished trainings of a target in this plan, in its order."""
        found = []
        for step in self.plan.steps:
            if step.target == target:
                observation = self.history.find(self._observation(step, 0.0, 0.0).run_key)
                if observation is not None:
                    found.append((step, observation))
        return found

    def _best(self, target: str) -> tuple[Step, Observation]:
        observed = self.observed(target)
        if not observed or observed[0][0].source != ALONE:
            raise TransfercastError(f"target {target!r} trained alone failed, so nothing can be compared with it; see the log.")
        return max(observed, key=lambda found: found[1].score)

    def _test(self, target: str) -> None:
        step, best = self._best(target)
        if not self.keeper.holds(best):  # another search ran it and has let its model go: it is made again
            self.keeper.keep(best, self._trained(step))
        if self.history.find(self._observation(step, 0.0, 0.0, "test").run_key) is None:
            self.history.append([self._observation(step, self._test_score(step, best), best.hours, "test")])

    def _test_score(self, step: Step, best: Observation) -> float:
        task, folder = self.ready.tasks[step.target], self.keeper.folder_of(best)
        model = load_model(folder, task.kind).to(self.ready.device)
        return scored(model, load_tokenizer(folder), task, task.splits["test"], Recipe.parse(step.recipe).max_tokens)

    def result(self) -> SearchResult:
        """What was found, read back from the history."""
        bests, baselines = {}, {}
        observations: list[Observation] = []
        for target in self.plan.targets:
            step, best = self._best(target)
            observed = self.observed(target)
            test = self.history.find(self._observation(step, 0.0, 0.0, "test").run_key)
            model = self.keeper.folder_of(best)
            bests[target] = Best(step.pair, step.recipe, best.score, math.nan if test is None else test.score, model)
            baselines[target] = observed[0][1].score
            observations += [observation for _, observation in observed]
        failed = [s.position for s in claims.states(self.history.engine, self.plan.id) if s.state == claims.FAILED]
        return SearchResult(bests, baselines, tuple(observations), tuple(failed))
