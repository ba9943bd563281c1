"""The result of a search: trainings, the best of each target, failures, and notes on the limits of the figures."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from transfercast.core.errors import InputError, TransfercastError
from transfercast.core.notebook import table_html
from transfercast.core.plan import Step
from transfercast.core.records import ALONE, Candidate, Observation, Pair
from transfercast.core.text import duration
from transfercast.sources.scores import warning_of


@dataclass(frozen=True, slots=True)
class Training:
    """A finished training of a plan.

    Attributes:
        step: step of the plan, with its forecast.
        observation: its score on validation.
        standard_error: standard error of that score for the number of validation rows; NaN if unknown.
        gain: score of a transfer minus that of the target alone; NaN without a baseline, and for the baseline itself.
    """

    step: Step
    observation: Observation
    standard_error: float
    gain: float

    @property
    def candidate(self) -> Candidate:
        """Source, target and recipe."""
        return Candidate(self.step.source, self.step.target, self.step.recipe)


@dataclass(frozen=True, slots=True)
class Best:
    """The training of a target with the highest validation score.

    Attributes:
        pair, recipe: source and target, and how it was trained.
        validation, standard_error: its score on validation, by which it was chosen, and that score's standard error.
        score: its score on the test rows; NaN if the test failed.
        model: folder of its checkpoint.
        tied: other trainings of the target less than a standard error below it, best first.
    """

    pair: Pair
    recipe: str
    validation: float
    standard_error: float
    score: float
    model: Path
    tied: tuple[Candidate, ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """A step that failed: its position, its task, and the reason."""

    position: int
    what: str
    cause: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """A training that was stopped by its learning curve; its final score is not known, so it is no observation.

    Attributes:
        step: step of the plan.
        scores: scores on validation after each of its epochs.
        epochs: number of epochs of the full training.
    """

    step: Step
    scores: tuple[float, ...]
    epochs: int

    def __str__(self) -> str:
        """In words."""
        return (
            f"{self.step.source} -> {self.step.target}: stopped after {len(self.scores)} of {self.epochs} epochs "
            f"at {max(self.scores):.3f}"
        )


@dataclass(frozen=True, slots=True, repr=False)
class SearchResult:
    """The result of a search.

    Attributes:
        trainings: finished trainings, in the order of the plan.
        bests: best training by target; targets without any finished training are missing.
        baselines: validation score of each target that was trained alone; with several encoders, the best one.
        baseline_tests: test scores of these baselines.
        failures: steps that failed; the next start of the search tries them again.
        stopped: trainings that were stopped before their last epoch.
        repeats: second trainings of leaders, with the next seed; `bests` are then chosen by the means of both.
    """

    trainings: tuple[Training, ...]
    bests: dict[str, Best]
    baselines: dict[str, float]
    baseline_tests: dict[str, float]
    failures: tuple[Failure, ...] = ()
    stopped: tuple[Stopped, ...] = ()
    repeats: tuple[Training, ...] = ()

    @property
    def observations(self) -> tuple[Observation, ...]:
        """Scores on validation, in the order of the plan."""
        return tuple(training.observation for training in self.trainings)

    @property
    def best(self) -> Best:
        """The best training of a single target; with several targets, the one with the largest gain over its baseline.

        Raises:
            TransfercastError: if no training succeeded.
        """
        if not self.bests:
            raise TransfercastError("no training of this search succeeded; `failures` says why. Start it again to retry.")
        return max(self.bests.values(), key=lambda best: (self._gain(best), best.validation))

    def _gain(self, best: Best) -> float:
        baseline = self.baselines.get(best.pair.target)
        return -math.inf if baseline is None else best.validation - baseline

    @property
    def transfer_gains(self) -> tuple[float, ...]:
        """Score minus baseline of each finished transfer whose target has a baseline."""
        return tuple(training.gain for training in self.trainings if not math.isnan(training.gain))

    @property
    def mean_transfer_gain(self) -> float:
        """Mean of `transfer_gains`; NaN where there are none."""
        gains = self.transfer_gains
        return sum(gains) / len(gains) if gains else math.nan

    @property
    def gain_over_baseline(self) -> float:
        """Mean over targets of the best transfer's gain; negative where no transfer beat the targets alone.

        It is a maximum of noisy scores on the rows by which they were chosen, so the noise makes it too high.
        NaN if no target has both a transfer and a baseline.
        """
        gains: dict[str, list[float]] = defaultdict(list)
        for training in self.trainings:
            if not math.isnan(training.gain):
                gains[training.step.target].append(training.gain)
        return sum(map(max, gains.values())) / len(gains) if gains else math.nan

    @property
    def test_gain(self) -> float:
        """Mean over targets of the chosen model's test score minus that of the target alone; NaN where none has both."""
        gains = [best.score - self.baseline_tests[name] for name, best in self.bests.items() if name in self.baseline_tests]
        known = [gain for gain in gains if not math.isnan(gain)]
        return sum(known) / len(known) if known else math.nan

    def headline(self) -> str:
        """One or two sentences that compare the transfers with the targets alone."""
        gains = self.transfer_gains
        if not gains:
            return f"No transfer can be compared with its target trained alone.{self._stopped_too()}"
        better = sum(gain > 0 for gain in gains)
        text = (
            f"{better} of {len(gains)} {'transfer' if len(gains) == 1 else 'transfers'} beat the target alone on validation; "
            f"mean gain of {'the transfer' if len(gains) == 1 else 'all transfers'} {self.mean_transfer_gain:+.3f}."
        )
        if not math.isnan(self.test_gain):
            text += f" On test, the chosen models differ from the targets alone by {self.test_gain:+.3f} on average."
        return text + self._stopped_too()

    def _stopped_too(self) -> str:
        """A sentence on stopped trainings, which the figures leave out."""
        number = len(self.stopped)
        return f" {number} {'training was' if number == 1 else 'trainings were'} stopped, and not counted." if number else ""

    def notes(self) -> list[str]:
        """Sentences on the limits of the figures: ties, scores of zero, targets without a baseline, encoders of baselines."""
        return [*self._repeated(), *self._ties(), *self._zeros(), *self._without_baseline(), *self._encoders()]

    def _repeated(self) -> list[str]:
        """The scores of the leaders of each target with both seeds, in sentences."""
        first = {(one.candidate, one.step.encoder): one.observation.score for one in self.trainings}
        by_target: dict[str, list[str]] = defaultdict(list)
        for one in self.repeats:
            scores = f"{first[one.candidate, one.step.encoder]:.3f} and {one.observation.score:.3f}"
            by_target[one.step.target].append(f"{one.step.source} {scores}")
        return [
            f"{target}: leaders were trained again with seed {self.repeats[0].observation.seed}: {', '.join(leaders)}; "
            f"{self.bests[target].pair.source} has the highest mean, {self.bests[target].validation:.3f}."
            for target, leaders in by_target.items()
        ]

    def _ties(self) -> list[str]:
        return [
            f"{target}: {_named(best.tied)} {'is' if len(best.tied) == 1 else 'are'} within a standard error "
            f"({best.standard_error:.3f}) of the best, so the validation rows cannot tell them apart."
            for target, best in self.bests.items()
            if best.tied
        ]

    def _zeros(self) -> list[str]:
        pairs: dict[str, list[str]] = defaultdict(list)
        for training in self.trainings:
            warning = warning_of(training.observation.score, training.observation.metric)
            if warning is not None:
                pairs[warning].append(f"{training.step.source} -> {training.step.target}")
        return [f"{', '.join(dict.fromkeys(those))}: {warning}" for warning, those in pairs.items()]

    def _without_baseline(self) -> list[str]:
        missing = [target for target in self.bests if target not in self.baselines]
        return [f"{', '.join(missing)}: not trained alone, so gains are unknown."] if missing else []

    def _encoders(self) -> list[str]:
        """The encoder that a target's baseline was trained from, if there are several."""
        notes = []
        for target in self.baselines:
            alone = [one.observation for one in self.trainings if one.step.target == target and one.step.source == ALONE]
            if len(alone) > 1:
                best = max(alone, key=lambda one: one.score)
                notes.append(f"{target}: the target alone is the best of {len(alone)} encoders, {best.encoder}.")
        return notes

    def to_frame(self) -> pd.DataFrame:
        """One row a finished training: trial, source, encoder, target, recipe, forecast, score, standard_error, gain, hours."""
        rows = [
            {
                "trial": training.step.position,
                "source": training.step.source,
                "encoder": training.observation.encoder,
                "target": training.step.target,
                "recipe": training.step.recipe,
                "forecast": math.nan if (forecast := forecast_of(training.step)) is None else forecast,
                "score": training.observation.score,
                "standard_error": training.standard_error,
                "gain": training.gain,
                "hours": training.observation.hours,
            }
            for training in self.trainings
        ]
        return pd.DataFrame(rows, columns=list(_FRAME_COLUMNS))

    def forecast_errors(self) -> pd.DataFrame:
        """One row a finished transfer that was forecast: source, target, forecast, score, error (score minus forecast), inside.

        `inside` says whether the score lies within the plan's bounds; None if it has no bounds.
        """
        rows = [
            {
                "source": one.step.source,
                "target": one.step.target,
                "forecast": forecast,
                "score": one.observation.score,
                "error": one.observation.score - forecast,
                "inside": _inside(one),
            }
            for one in self.trainings
            if (forecast := forecast_of(one.step)) is not None
        ]
        return pd.DataFrame(rows, columns=["source", "target", "forecast", "score", "error", "inside"])

    def learned(self) -> list[str]:
        """Sentences on the errors of the forecasts; empty if no score was forecast."""
        errors = self.forecast_errors()
        if errors.empty:
            return []
        bounded = errors.inside.dropna()
        text = (
            f"Forecasts of {len(errors)} {'training' if len(errors) == 1 else 'trainings'} were off by "
            f"{errors.error.abs().mean():.3f} on average (bias {errors.error.mean():+.3f})"
        )
        if len(bounded):
            text += f"; {int(bounded.sum())} of {len(bounded)} scores lie within their bounds"
        sentences = [f"{text}."]
        by_source = errors.groupby("source").error
        steady = by_source.mean()[(by_source.min() > 0) | (by_source.max() < 0)]
        moved = steady[(by_source.size() > 1).reindex(steady.index)]
        if len(moved):
            most = str(moved.abs().idxmax())
            way = "better" if moved[most] > 0 else "worse"
            sentences.append(
                f"{most} did {way} than forecast on each of {int(by_source.size()[most])} targets, by {abs(moved[most]):.3f}: "
                f"a predictor that learns from this ranks it {'higher' if moved[most] > 0 else 'lower'} in the next plan."
            )
        return sentences

    def plot(self, path: str | Path) -> None:
        """Draw forecasts against outcomes: .svg, .png or .pdf.

        Raises:
            InputError: if no training was forecast, for another ending, or if the file cannot be written.
        """
        from transfercast.report.figures import forecasts_figure, save

        errors = self.forecast_errors()
        if errors.empty:
            raise InputError("no finished training of this search was forecast with a score, so there is nothing to draw.")
        targets = {str(name): part[["forecast", "score"]].to_numpy().T for name, part in errors.groupby("target", sort=False)}
        save(forecasts_figure(targets), Path(path))

    def _repr_html_(self) -> str:
        """The trainings in a notebook."""
        rows = [{str(name): value for name, value in row.items()} for row in self.to_frame().to_dict("records")]
        return table_html(self.headline(), rows)

    def __str__(self) -> str:
        """The trainings as a table, the best first in each target, then stopped and failed ones, and notes on the figures."""
        lines = [f"{'target':20} {'source':20} {'recipe':12} {'forecast':>8} {'score':>6} {'gain':>6} {'time':>8}"]
        for one in sorted(self.trainings, key=lambda one: (one.step.target, -one.observation.score)):
            lines.append(
                f"{one.step.target:20} {one.step.source:20} {one.step.recipe:12} {_number(forecast_of(one.step)):>8} "
                f"{one.observation.score:6.3f} {_number(one.gain, '+'):>6} {duration(one.observation.hours) or '-':>8}"
            )
        ended = [*map(str, self.stopped), *(f"{one.what}: failed, {one.cause}" for one in self.failures)]
        return "\n".join([*lines, *ended, *self.notes(), *self.learned(), self.headline()])

    def __repr__(self) -> str:
        return (
            f"SearchResult({len(self.bests)} targets, {len(self.trainings)} trainings, {len(self.failures)} failures; "
            f"{self.headline()})"
        )


MOST_NAMED = 4
"""Largest number of ties that are named; the others are counted."""

_FRAME_COLUMNS = ("trial", "source", "encoder", "target", "recipe", "forecast", "score", "standard_error", "gain", "hours")


def forecast_of(step: Step) -> float | None:
    """A step's forecast; None if its score was measured: the target alone, and trainings that the history held already."""
    return None if step.source == ALONE or step.done else step.score


def _inside(training: Training) -> bool | None:
    lower, upper = training.step.lower, training.step.upper
    return None if lower is None or upper is None else lower <= training.observation.score <= upper


def _number(value: float | None, sign: str = "") -> str:
    return "-" if value is None or math.isnan(value) else f"{value:{sign}.3f}"


def _named(candidates: tuple[Candidate, ...]) -> str:
    one_recipe = len({candidate.recipe for candidate in candidates}) == 1
    names = [c.source if one_recipe else f"{c.source} ({c.recipe})" for c in candidates]
    if len(names) > MOST_NAMED:
        return f"{len(names)} trainings"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def tied_with(best: Training, trainings: list[Training]) -> tuple[Candidate, ...]:
    """Trainings of the same target whose score is less than the best's standard error below it, best first."""
    close = [t for t in trainings if t is not best and best.observation.score - t.observation.score < best.standard_error]
    return tuple(training.candidate for training in sorted(close, key=lambda t: -t.observation.score))
