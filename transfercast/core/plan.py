"""A plan: which trainings to run, in which order, within a budget. Stored as JSON.

Format 2 added `done`, and None for numbers that are not known; format 3 added the encoder of each step. Plans of older formats
are read, too; they have one encoder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, model_validator

from transfercast.core.errors import ArtifactError, InputError
from transfercast.core.files import read_json, write_json
from transfercast.core.notebook import table_html
from transfercast.core.records import ALONE, Pair, Recipe, checked_name
from transfercast.core.table import Column, Provenance
from transfercast.core.text import duration
from transfercast.core.validation import checked

FORMAT = 3
_REMEDY = "Make it anew with 'transfercast plan'."


class Budget(BaseModel):
    """The limit on trainings: a number of `trials` (transfers) or of `hours`, for each target or over all of them.

    The target trained alone is always run first and does not count as one of the `trials`; its time does count
    in `hours`.

    Example:
        >>> import transfercast as tc
        >>> print(tc.Budget(trials=10))
        10 trials over all targets
        >>> print(tc.Budget(hours=1.5, per="target"))
        1.5 hours for each target
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    trials: Annotated[int, Field(ge=1, le=10**9)] | None = None
    hours: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    per: Literal["target", "total"] = "total"

    @model_validator(mode="after")
    def _one_of_both(self) -> Budget:
        if (self.trials is None) == (self.hours is None):
            raise ValueError("a budget is either trials or hours")
        return self

    def __str__(self) -> str:
        """The budget in words."""
        amount = f"{self.trials} trials" if self.trials is not None else f"{self.hours:g} hours"
        return f"{amount} for each target" if self.per == "target" else f"{amount} over all targets"


_Finite = Annotated[float, Field(allow_inf_nan=False)]


class Step(BaseModel):
    """One training of a plan.

    `encoder` is the base encoder of the source, or the one from which the target alone is trained; None in old plans.
    `score`, `lower`, `upper` are forecasts, None if there were no observations to forecast from; bounds that would be the
    metric's whole range are None, too. For a training that is `done`, and for a target alone, `score` is the measured one.
    `beats_baseline` is the probability of a score above the no-transfer baseline, None if that is not known.
    `expected_best` is the expected best score of this target after the step; `hours` is None if the time of a training is not
    known; `why` holds contributions by group of evidence.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    position: int
    source: str
    target: str
    recipe: str
    encoder: str | None = None
    score: _Finite | None
    lower: _Finite | None
    upper: _Finite | None
    hours: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None
    expected_best: _Finite | None
    beats_baseline: _Finite | None = None
    why: dict[str, float] = {}
    features: dict[str, float] = {}
    done: bool = False

    @property
    def pair(self) -> Pair:
        """Source and target; the source is ALONE in a baseline step."""
        return Pair(self.source, self.target)


class Plan(BaseModel):
    """Steps in the order in which to run them.

    Attributes:
        id: fingerprint of all inputs of the plan; the same inputs give the same id, so that a search can be continued.
        steps: baselines (source ALONE) first, then transfers that the history holds already (`done`), then those to run.
        predictor: id of the artifact that forecast, or 'prior'.
        basis: one sentence on what the forecasts rest on.
        columns: what the steps' features mean; a search records it in the history.
        provenance: of the feature table; a search reads pool and tasks from it.
        stop_after: the step after which the others are expected to gain less than 0.005 score units; the last if there is none.
        regret_left: score units, mean over targets, that all candidates are expected to gain beyond `stop_after`. Both are None
            if the plan is an order only, because an order has no expected scores.

    Example:
        `history` holds transfers from four sources, and `table` the features of these sources for a new target, reviews.

        >>> import transfercast as tc
        >>> forecast = tc.Predictor.fit(history).predict(table)
        >>> plan = tc.plan(forecast, table, tc.Budget(trials=2))
        >>> plan.to_frame()[["rank", "source", "target", "score", "expected_best"]].round(2)
           rank   source   target  score  expected_best
        0     0  (alone)  reviews   0.60           0.60
        1     1   tweets  reviews   0.71           0.71
        2     2    forum  reviews   0.64           0.71
        >>> plan.targets, plan.budget.trials
        (['reviews'], 2)
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
    stop_after: int | None
    regret_left: float | None

    @property
    def targets(self) -> list[str]:
        """Targets with at least one step, in order of their first."""
        return list(dict.fromkeys(step.target for step in self.steps))

    def encoder_of(self, step: Step) -> str:
        """The base encoder of a step."""
        return step.encoder or self.provenance.encoder

    @property
    def hours(self) -> float | None:
        """Expected hours of the whole plan; None if the time of its trainings is not known."""
        hours = [step.hours for step in self.steps]
        return None if None in hours else sum(value for value in hours if value is not None)

    @property
    def is_order_only(self) -> bool:
        """Whether nothing was observed, so that the plan is an order without expected scores."""
        return self.regret_left is None

    def save(self, path: str | Path) -> None:
        """Write the plan as JSON.

        Example:
            `plan` is a plan of three steps.

            >>> from pathlib import Path
            >>> plan.save("plan.json")
            >>> Path("plan.json").is_file()
            True
        """
        write_json(Path(path), {"format": FORMAT, **self.model_dump(mode="json")})

    @classmethod
    def load(cls, path: str | Path) -> Plan:
        """Read a plan back.

        Raises:
            InputError: if the file is not there.
            ArtifactError: if it is no plan, damaged, or of a newer format.

        Example:
            `plan` is a plan of three steps.

            >>> import transfercast as tc
            >>> plan.save("plan.json")
            >>> tc.Plan.load("plan.json") == plan
            True
        """
        path = Path(path)
        content: dict[str, Any] = read_json(path, "a plan ('transfercast plan' makes one)", FORMAT)
        del content["format"]
        plan = checked(cls, f"{path}: not a plan", content, raises=ArtifactError, remedy=_REMEDY)
        if [step.position for step in plan.steps] != list(range(len(plan.steps))):
            raise ArtifactError(f"{path}: not a plan: its steps are not numbered 0, 1, 2, ... {_REMEDY}")
        for step in plan.steps:
            try:
                if step.source != ALONE:
                    checked_name(step.source, "source")
                checked_name(step.target, "target")
                Recipe.parse(step.recipe)
            except InputError as error:
                raise ArtifactError(f"{path}, step {step.position}: {error} {_REMEDY}") from error
        return plan

    def rows(self) -> list[dict[str, Any]]:
        """One row for each step: the fields of `Step`, its rank, its state (done or new) and its main reasons in words."""
        return [
            {
                "rank": step.position,
                "source": step.source,
                "encoder": self.encoder_of(step),
                "target": step.target,
                "recipe": step.recipe,
                "state": "done" if step.done else "new",
                "score": step.score,
                "lower": step.lower,
                "upper": step.upper,
                "beats_baseline": step.beats_baseline,
                "expected_best": step.expected_best,
                "hours": step.hours,
                "why": _main_reasons(step),
            }
            for step in self.steps
        ]

    def to_frame(self) -> pd.DataFrame:
        """The rows as a frame.

        Example:
            `plan` is a plan of three steps.

            >>> plan.to_frame()[["rank", "source", "target", "state"]]
               rank   source   target state
            0     0  (alone)  reviews   new
            1     1   tweets  reviews   new
            2     2    forum  reviews   new
        """
        return pd.DataFrame(self.rows())

    def __repr__(self) -> str:
        """The plan in one line."""
        new = sum(not step.done for step in self.steps)
        return f"<Plan {self.id[:12]}: {self.budget}, {new} trainings to run, {len(self.steps) - new} done>"

    def _repr_html_(self) -> str:
        """The plan in a notebook."""
        empty = {name for name in self.rows()[0] if all(row[name] is None for row in self.rows())}
        rows = [{name: value for name, value in row.items() if name not in empty} for row in self.rows()]
        return table_html(f"{self.budget}, out of {self.candidates} candidates. {self.basis}", rows)

    def __str__(self) -> str:
        """The plan as a table, with the sentence on its basis."""
        head = f"Plan {self.id[:12]}: {self.budget}, out of {self.candidates} candidates. {self.basis}"
        rows = self.rows()
        several = len({row["encoder"] for row in rows}) > 1
        encoder = f"{'encoder':20} " if several else ""
        lines = [
            head,
            f"{'rank':>4}  {'source':20} {encoder}{'target':20} {'state':5} {'score':>6} {'bounds':>13} {'P(better)':>9} "
            f"{'best':>6} {'time':>8}  why",
        ]
        for row in rows:
            bounds = "" if row["lower"] is None else f"[{row['lower']:.2f}, {row['upper']:.2f}]"
            better = "" if row["beats_baseline"] is None else f"{row['beats_baseline']:.2f}"
            encoder = f"{row['encoder']:20} " if several else ""
            lines.append(
                f"{row['rank']:>4}  {row['source']:20} {encoder}{row['target']:20} {row['state']:5} {_number(row['score'])} "
                f"{bounds:>13} {better:>9} {_number(row['expected_best'])} {duration(row['hours']) or 'unknown':>8}  "
                f"{row['why']}".rstrip()
            )
        return "\n".join(lines)


def _number(value: float | None) -> str:
    return f"{'-':>6}" if value is None else f"{value:6.3f}"


def _main_reasons(step: Step) -> str:
    if step.source == ALONE:
        return "the baseline"
    largest = [item for item in sorted(step.why.items(), key=lambda item: -abs(item[1]))[:2] if abs(item[1]) >= 0.0005]
    if step.score is None:  # how much score a rank is worth is not known, only its direction
        return ", ".join(f"{'+' if value > 0 else '-'} {group}" for group, value in largest)
    return ", ".join(f"{group} {value:+.3f}" for group, value in largest)
