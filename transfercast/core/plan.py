"""A plan: which trainings to run, in which order, within a budget. Stored as JSON, format 1."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from transfercast.core.errors import ArtifactError, InputError
from transfercast.core.files import read_json, write_json
from transfercast.core.records import ALONE, Pair, Recipe, checked_name
from transfercast.core.table import Column, Provenance
from transfercast.core.validation import checked

FORMAT = 1
_REMEDY = "Make it anew with 'transfercast plan'."


class Budget(BaseModel):
    """How much may be trained: `trials` (transfers) or `hours`, for each target or over all of them.

    The target trained alone is always run first and does not count as one of the `trials`; its time does count
    in `hours`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    trials: Annotated[int, Field(ge=1)] | None = None
    hours: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    per: Literal["target", "total"] = "total"

    @model_validator(mode="after")
    def _one_of_both(self) -> Budget:
        if (self.trials is None) == (self.hours is None):
            raise ValueError("a budget is either trials or hours")
        return self

    def __str__(self) -> str:
        """As one would say it."""
        amount = f"{self.trials} trials" if self.trials is not None else f"{self.hours:g} hours"
        return f"{amount} for each target" if self.per == "target" else f"{amount} over all targets"


class Step(BaseModel):
    """One training of a plan.

    `score`, `lower`, `upper` are forecasts; `expected_best` is the best score expected to be in hand for this
    target after the step; `why` holds contributions by group of evidence.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    position: int
    source: str
    target: str
    recipe: str
    score: float | None
    lower: float | None
    upper: float | None
    hours: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    expected_best: float | None
    beats_baseline: float | None = None
    why: dict[str, float] = {}
    features: dict[str, float] = {}

    @property
    def pair(self) -> Pair:
        """Source and target; the source is ALONE in a baseline step."""
        return Pair(self.source, self.target)


class Plan(BaseModel):
    """Steps in the order in which to run them.

    Attributes:
        id: fingerprint of all that the plan rests on; the same inputs give the same id, so a search goes on.
        steps: baselines (source ALONE) first, then transfers.
        predictor: id of the artifact that forecast, or 'prior'.
        basis: one sentence on what the forecasts rest on.
        columns: what the steps' features mean; a search records it in the history.
        provenance: of the feature table; a search reads pool and tasks from it.
        stop_after: the step after which less than half a point (0.005) is expected to be left; the last if none.
        regret_left: mean over targets of what is expected to be left after `stop_after`, against all candidates.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(pattern="^[0-9a-f]{12,64}$")]
    steps: Annotated[tuple[Step, ...], Field(min_length=1)]
    budget: Budget
    predictor: str
    basis: str
    candidates: int
    columns: tuple[Column, ...]
    provenance: Provenance
    stop_after: int
    regret_left: float

    @property
    def targets(self) -> list[str]:
        """Targets with at least one step, in order of their first."""
        return list(dict.fromkeys(step.target for step in self.steps))

    @property
    def hours(self) -> float:
        """Expected hours of the whole plan."""
        return sum(step.hours for step in self.steps)

    def save(self, path: str | Path) -> None:
        """Write the plan as JSON."""
        write_json(Path(path), {"format": FORMAT, **self.model_dump(mode="json")})

    @classmethod
    def load(cls, path: str | Path) -> Plan:
        """Read a plan back.

        Raises:
            InputError: if the file is not there.
            ArtifactError: if it is no plan, damaged, or of a newer format.
        """
        path = Path(path)
        content: dict[str, Any] = read_json(path, "a plan ('transfercast plan' makes one)", FORMAT)
        del content["format"]
        plan = checked(cls, f"{path}: not a plan", content, raises=ArtifactError, remedy=_REMEDY)
        for number, step in enumerate(plan.steps, start=1):
            try:
                if step.source != ALONE:
                    checked_name(step.source, "source")
                checked_name(step.target, "target")
                Recipe.parse(step.recipe)
            except InputError as error:
                raise ArtifactError(f"{path}, step {number}: {error} {_REMEDY}") from error
        return plan

    def rows(self) -> list[dict[str, Any]]:
        """One row a step: rank, source, target, recipe, score, lower, upper, expected_best, hours, why."""
        return [
            {
                "rank": step.position,
                "source": step.source,
                "target": step.target,
                "recipe": step.recipe,
                "score": step.score,
                "lower": step.lower,
                "upper": step.upper,
                "expected_best": step.expected_best,
                "hours": step.hours,
                "why": _main_reasons(step),
            }
            for step in self.steps
        ]

    def __str__(self) -> str:
        """The plan as a table, with what it rests on."""
        head = f"Plan {self.id[:12]}: {self.budget}, out of {self.candidates} candidates. {self.basis}"
        lines = [
            head,
            f"{'rank':>4}  {'source':20} {'target':20} {'score':>6} {'bounds':>13} {'best':>6} {'hours':>7}  why",
        ]
        for row in self.rows():
            bounds = "" if row["lower"] is None else f"[{row['lower']:.2f}, {row['upper']:.2f}]"
            lines.append(
                f"{row['rank']:>4}  {row['source']:20} {row['target']:20} {_number(row['score'])} {bounds:>13} "
                f"{_number(row['expected_best'])} {row['hours']:7.3f}  {row['why']}".rstrip()
            )
        return "\n".join(lines)


def _number(value: float | None) -> str:
    return f"{'-':>6}" if value is None else f"{value:6.3f}"


def _main_reasons(step: Step) -> str:
    if step.source == ALONE:
        return "the baseline"
    largest = sorted(step.why.items(), key=lambda item: -abs(item[1]))[:2]
    return ", ".join(f"{group} {points:+.3f}" for group, points in largest if abs(points) >= 0.0005)
