"""One process of a search: it claims steps, runs them, and records the results.

For each step the order of writes is model, observation, Optuna's trial, step: a claimed step whose observation exists
already is closed and not run, so that a kill between any two writes neither repeats nor loses a finished training.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import optuna
from safetensors import SafetensorError
from sqlalchemy.exc import SQLAlchemyError

from transfercast.core.errors import TransfercastError
from transfercast.core.files import reason
from transfercast.core.parallel import RANDOM_STATE
from transfercast.core.plan import Plan, Step
from transfercast.core.records import ALONE, Observation, Recipe, run_key_of
from transfercast.core.trainings import Diverged, Ended, EpochRecord, TimeLimit, TrainingRecord, cause_of
from transfercast.execution import claims
from transfercast.execution.checkpoints import CheckpointStore
from transfercast.execution.inputs import PlanInputs
from transfercast.execution.result import Best, Failure, SearchResult, Stopped, Training, tied_with
from transfercast.execution.standard_error import standard_error, units_of
from transfercast.execution.study import TrialRecord, epochs_of
from transfercast.history.rows import storable
from transfercast.history.store import History
from transfercast.sources.encoders import load_tokenizer, weights_fingerprint
from transfercast.sources.finetune import Trained, fine_tune, scored
from transfercast.sources.models import load_model
from transfercast.sources.source import Source
from transfercast.sources.updates import AfterEpoch

log = logging.getLogger(__name__)

FAILURES = (
    TransfercastError, RuntimeError, ValueError, OSError, MemoryError, SafetensorError, SQLAlchemyError,
    optuna.exceptions.OptunaError,
)  # fmt: skip
"""Errors of one step after which others are still run: out of memory, a full disk, a database that is gone for a moment."""


class Worker:
    """Runs steps of a plan.

    Args:
        plan: the same for all processes.
        inputs: its pool and tasks.
        history: database for observations and claims.
        record: Optuna's studies.
        checkpoints: store of models.
        trial_minutes: longest time of a training, checked after each epoch.
        earlier: scores of steps with another seed, by position; the best is then chosen by the mean of both.

    Attributes:
        causes: reasons of failed steps, by position.
    """

    def __init__(
        self,
        plan: Plan,
        inputs: PlanInputs,
        history: History,
        record: TrialRecord,
        checkpoints: CheckpointStore,
        trial_minutes: float | None = None,
        earlier: Mapping[int, float] | None = None,
    ) -> None:
        self.trial_minutes, self.earlier = trial_minutes, earlier or {}
        self.plan, self.inputs, self.history, self.record, self.checkpoints = plan, inputs, history, record, checkpoints
        first = len(plan.steps)
        self.tests = {first + number: target for number, target in enumerate(plan.targets)}
        self._run_keys = {
            split: [run_key_of(**self._identity(s, split)) for s in plan.steps] for split in ("validation", "test")
        }
        self.causes: dict[int, str] = {}

    def enter(self) -> None:
        """Record all steps, and for each target one step for its test scores; close the trials of dead workers."""
        for step in self.plan.steps:
            storable(self._observation(step, 0.0, 0.0))  # refuse before training what the history could not record
        engine = self.history.engine
        test_of = {target: position for position, target in self.tests.items()}
        positions = [*range(len(self.plan.steps)), *self.tests]
        claims.enter(engine, self.plan.id, positions, {step.position: test_of[step.target] for step in self.plan.steps})
        self.record.close_orphans(lambda: claims.at_work(engine, self.plan.id))

    def run(self, position: int) -> None:
        """Run one claimed step and close it; if it is interrupted, the step is released, because this process may continue."""
        engine, plan = self.history.engine, self.plan.id
        state = claims.PLANNED
        try:
            with claims.heartbeat(engine, plan, position):
                state = self._test(position) if position in self.tests else self._train(self.plan.steps[position])
        finally:
            claims.update(engine, plan, position, state=state)

    def _train(self, step: Step) -> str:
        known = self.history.find(self._run_key(step))
        if known is None and step.done and step.source != ALONE:  # observed elsewhere; the plan has its score
            return claims.DONE
        if known is not None:  # run by another plan, or by a worker that was killed right after
            self.record.add(step, known.score, self._gain(step, known), self._curve_of(known))
        else:
            state = self._attempt(step)
            if state is claims.FAILED and cause_of(self.causes[step.position]) == "out of memory":
                log.warning("step %d: tried once more, each batch in two halves, which needs less memory", step.position)
                state = self._attempt(step, parts=2)
            if state is claims.FAILED:
                return state
        self._keep_the_best(step.target)
        return claims.DONE

    def _attempt(self, step: Step, parts: int = 1) -> str:
        """Train a step, and record how the training ended."""
        self.causes.pop(step.position, None)
        trial = self.record.begin(step)
        curve: list[EpochRecord] = []
        started = time.perf_counter()
        try:
            known = self._fine_tuned(step, trial, curve, parts)
        except optuna.TrialPruned:
            self._note_training(step, "stopped", curve, time.perf_counter() - started)
            self.record.prune(trial)
            return claims.DONE
        except FAILURES as error:
            self._note_failure(step.position, f"{step.source} -> {step.target}", error)
            self._note_training(step, "failed", curve, time.perf_counter() - started, why=self.causes[step.position])
            self.record.fail(trial, self.causes[step.position])
            return claims.FAILED
        self.record.complete(trial, known.score, self._gain(step, known))
        return claims.DONE

    def _note_failure(self, position: int, what: str, error: Exception) -> None:
        self.causes[position] = f"{type(error).__name__}: {reason(error)}"
        log.error("step %d, %s: %s", position, what, self.causes[position])

    def _note_training(self, step: Step, ended: Ended, curve: Sequence[EpochRecord], seconds: float, **about: Any) -> None:
        """Record a training; if that fails, its score is recorded all the same."""
        identity = self._identity(step, "validation")
        try:
            self.history.note(
                TrainingRecord(
                    run_key=self._run_key(step),
                    **{name: identity[name] for name in ("source", "target", "recipe", "encoder", "seed")},
                    ended=ended,
                    curve=tuple(curve),
                    seconds=seconds,
                    device=str(self.inputs.device),
                    finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
                    **about,
                )
            )
        except FAILURES as error:
            log.warning("step %d: the record of its training is not kept (%s)", step.position, reason(error))

    def _fine_tuned(self, step: Step, trial: optuna.Trial, curve: list[EpochRecord], parts: int) -> Observation:
        """The observation of a step, from a training now or from that for the features; `curve` is filled epoch by epoch."""
        alone = self._trained_alone(step)
        if alone is not None:
            observation = self._observation(step, alone.scores["validation"], alone.seconds / 3600)
            self.checkpoints.copy(observation, alone.checkpoint)
            for epochs, score in enumerate((one.score for one in alone.curve), start=1):
                self.record.report(trial, epochs, score)
            went: dict[str, Any] = {
                "curve": alone.curve,
                "seconds": alone.seconds,
                "epoch": alone.epoch,
                "peak_mb": alone.peak_mb,
            }
        else:
            started = time.perf_counter()

            def after_epoch(epoch: int, record: EpochRecord) -> None:
                curve.append(record)
                self._check(step, record, epoch + 1, time.perf_counter() - started)
                self.record.report(trial, epoch + 1, record.score)

            trained = self._trained(step, after_epoch, parts)
            score = trained.score(self.inputs.tasks[step.target], "validation", Recipe.parse(step.recipe).max_tokens)
            observation = self._observation(step, score, trained.seconds / 3600)
            self.checkpoints.keep(observation, trained)
            went = {"curve": curve, "seconds": trained.seconds, "epoch": trained.epoch, "peak_mb": trained.peak_mb}
        self.history.append([observation])
        self._note_training(step, "finished", **went)
        return observation

    def _check(self, step: Step, record: EpochRecord, epochs: int, seconds: float) -> None:
        """End a training that has diverged, or takes too long.

        Raises:
            Diverged: if its loss is not a finite number.
            TimeLimit: if it has epochs left and its time is over.
        """
        if record.loss is None and Recipe.parse(step.recipe).adaptation != "features":
            raise Diverged(f"the loss is no number in epoch {epochs}. A lower learning rate (recipe .../lr=...) may help.")
        if self.trial_minutes is not None and seconds > 60 * self.trial_minutes and epochs < epochs_of(self.plan, step):
            raise TimeLimit(f"{epochs} of {epochs_of(self.plan, step)} epochs took {seconds / 60:.1f} minutes")

    def _curve_of(self, known: Observation) -> list[float]:
        """Scores after each epoch of a recorded run, if they are kept."""
        kept = self.history.trainings(run_key=known.run_key, ended="finished")
        return [epoch.score for epoch in kept[-1].curve] if kept else []

    def _trained_alone(self, step: Step) -> Source | None:
        """The target's model from making the features, if that training was the same."""
        if step.source != ALONE:
            return None
        recipe, seed = Recipe.parse(step.recipe), self.plan.provenance.seed
        return self.inputs.pool.found_alone(self.inputs.tasks[step.target], self.plan.encoder_of(step), recipe, seed)

    def _trained(self, step: Step, after_epoch: AfterEpoch | None = None, parts: int = 1) -> Trained:
        with RANDOM_STATE:
            return fine_tune(
                self.inputs.tasks[step.target],
                self.inputs.checkpoint(step),
                Recipe.parse(step.recipe),
                seed=self.plan.provenance.seed,
                device=self.inputs.device,
                companion=self.inputs.companion(step),
                after_epoch=after_epoch,
                parts=parts,
            )

    def _identity(self, step: Step, split: str) -> dict[str, Any]:
        """The fields of an observation that identify its run."""
        about = self.plan.provenance
        facts, encoder = about.targets[step.target], self.plan.encoder_of(step)
        is_alone = step.source == ALONE
        origin = weights_fingerprint(self.inputs.encoders[encoder]) if is_alone else about.sources[step.source]
        return {
            "source": step.source,
            "target": step.target,
            "recipe": step.recipe,
            "encoder": encoder,
            "seed": about.seed,
            "metric": facts.metric,
            "split": split,
            "source_fingerprint": origin,
            "target_fingerprint": facts.fingerprint,
        }

    def _run_key(self, step: Step, split: str = "validation") -> str:
        return self._run_keys[split][step.position]

    def _observation(self, step: Step, score: float, hours: float, split: str = "validation") -> Observation:
        return Observation(
            **self._identity(step, split),
            score=score,
            hours=hours,
            device=str(self.inputs.device),
            finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
            features=step.features,
            versions={column.name: column.version for column in self.plan.columns if column.name in step.features},
        )

    def _observed(self, target: str, split: str = "validation") -> list[tuple[Step, Observation]]:
        """Recorded runs of a target in this plan, in its order."""
        key_of = {step.position: self._run_key(step, split) for step in self.plan.steps if step.target == target}
        recorded = self.history.find_all(list(key_of.values()))
        steps = (self.plan.steps[position] for position in key_of)
        return [(step, recorded[key_of[step.position]]) for step in steps if key_of[step.position] in recorded]

    def _mean(self, step: Step, observation: Observation) -> float:
        """A step's score, or its mean with the earlier one."""
        return (observation.score + self.earlier.get(step.position, observation.score)) / 2

    def _best(self, observed: list[tuple[Step, Observation]]) -> tuple[Step, Observation]:
        return max(observed, key=lambda run: self._mean(*run))

    def _gain(self, step: Step, observation: Observation) -> float | None:
        """Score minus that of the target alone, if the plan has a step for it with a known score."""
        baseline = _baseline(self._observed(step.target))
        return None if baseline is None or step.source == ALONE else observation.score - baseline[1].score

    def _keep_the_best(self, target: str) -> None:
        """Remove all models of a target except the best and, until it has a test score, the baseline."""
        observed = self._observed(target)
        keep = [self._best(observed)[1]]
        baseline = _baseline(observed)
        if baseline is not None and self.history.find(self._run_key(baseline[0], "test")) is None:
            keep.append(baseline[1])
        self.checkpoints.prune((observation for _, observation in observed), keep)

    def _test(self, position: int) -> str:
        """Score a target's best model and the target alone on its test rows, each once."""
        target = self.tests[position]
        try:
            observed = self._observed(target)
            if not observed:
                raise TransfercastError("no training of this target succeeded")
            best, baseline = self._best(observed), _baseline(observed)
            self._test_once(*best, keep=True)
            if baseline is not None:
                self._test_once(*baseline, keep=False)
            self._keep_the_best(target)
        except FAILURES as error:
            self._note_failure(position, f"test of {target}", error)
            return claims.FAILED
        return claims.DONE

    def _test_once(self, step: Step, observation: Observation, keep: bool) -> None:
        is_open = self.history.find(self._run_key(step, "test")) is None
        if (keep or is_open) and not self.checkpoints.holds(observation):
            # another search ran it and has deleted its model: it is trained again
            self.checkpoints.keep(observation, self._trained(step))
        if is_open:
            score = self._test_score(step, observation)
            self.history.append([self._observation(step, score, observation.hours, "test")])

    def _test_score(self, step: Step, observation: Observation) -> float:
        task, folder = self.inputs.tasks[step.target], self.checkpoints.folder_of(observation)
        model = load_model(folder, task.kind).to(self.inputs.device)
        return scored(model, load_tokenizer(folder), task, task.splits["test"], Recipe.parse(step.recipe).max_tokens)

    def result(self) -> SearchResult:
        """The result, read back from the history."""
        trainings: list[Training] = []
        bests, baselines, baseline_tests = {}, {}, {}
        for target in self.plan.targets:
            found = self._trainings(target)
            tested = {step.position: test.score for step, test in self._observed(target, "test")}
            if found:
                bests[target] = self._best_of(found, tested)
            baseline = _baseline([(training.step, training.observation) for training in found])
            if baseline is not None:
                baselines[target] = baseline[1].score
                if baseline[0].position in tested:
                    baseline_tests[target] = tested[baseline[0].position]
            trainings += found
        trainings.sort(key=lambda training: training.step.position)
        return SearchResult(tuple(trainings), bests, baselines, baseline_tests, self._failures(), self._stopped())

    def _trainings(self, target: str) -> list[Training]:
        observed = self._observed(target)
        baseline = _baseline(observed)
        task = self.inputs.tasks[target]
        units = units_of(task.kind, task.splits["validation"])
        return [
            Training(
                step,
                observation,
                standard_error(observation.metric, observation.score, units),
                math.nan if baseline is None or step.source == ALONE else observation.score - baseline[1].score,
            )
            for step, observation in observed
        ]

    def _best_of(self, trainings: list[Training], tested: dict[int, float]) -> Best:
        best = max(trainings, key=lambda training: self._mean(training.step, training.observation))
        return Best(
            pair=best.step.pair,
            recipe=best.step.recipe,
            validation=best.observation.score,
            standard_error=best.standard_error,
            score=tested.get(best.step.position, math.nan),
            model=self.checkpoints.folder_of(best.observation),
            tied=tied_with(best, trainings),
        )

    def _stopped(self) -> tuple[Stopped, ...]:
        """Trainings that were stopped and not finished since, in the order of the plan."""
        stopped = {one.run_key: one for one in self.history.trainings(ended="stopped")}
        open_keys = [key for key in self._run_keys["validation"] if key in stopped]
        ended = self.history.find_all(open_keys)
        steps = {self._run_key(step): step for step in self.plan.steps}
        curves = {key: tuple(epoch.score for epoch in stopped[key].curve) for key in open_keys if key not in ended}
        return tuple(Stopped(steps[key], curve, epochs_of(self.plan, steps[key])) for key, curve in curves.items())

    def _failures(self) -> tuple[Failure, ...]:
        states = claims.states(self.history.engine, self.plan.id)
        return tuple(self._failure(int(step.position)) for step in states if step.state == claims.FAILED)

    def _failure(self, position: int) -> Failure:
        if position in self.tests:
            cause = self.causes.get(position, "another process ran it; its log says why")
            return Failure(position, f"test of {self.tests[position]}", cause)
        step = self.plan.steps[position]
        return Failure(position, f"{step.source} -> {step.target}", self.causes.get(position) or self.record.cause(step))


def _baseline(observed: list[tuple[Step, Observation]]) -> tuple[Step, Observation] | None:
    """The best of the trainings of the target alone from several encoders."""
    alone = [run for run in observed if run[0].source == ALONE]
    return max(alone, key=lambda run: run[1].score) if alone else None
