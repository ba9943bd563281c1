"""From forecasts and a budget to a plan: the order of trainings.

Every target is trained alone first. Candidates that are already in the history follow; they cost nothing. Each further step is
the one that adds most to the expected best score of its target, or most per hour if the budget is in hours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transfercast.core.cache import fingerprint
from transfercast.core.errors import InputError
from transfercast.core.forecast import Forecast
from transfercast.core.kinds import DEFAULT_METRIC, METRICS
from transfercast.core.plan import Budget, Plan, Step
from transfercast.core.records import ALONE, Candidate, Recipe
from transfercast.core.table import FeatureTable
from transfercast.core.text import duration
from transfercast.history.store import History, opened
from transfercast.planning.cost import Costs
from transfercast.planning.done import Done, done_of
from transfercast.planning.failed import given_up
from transfercast.planning.greedy import Options, Taken, chosen
from transfercast.planning.stop import WORTH_STOPPING

UNNAMED = "0" * 64
"""Placeholder id of a plan until its contents are fingerprinted."""


def plan(
    forecast: Forecast,
    table: FeatureTable,
    budget: Budget,
    *,
    history: History | str | Path | None = None,
) -> Plan:
    """Turn forecasts and a budget into an order of trainings.

    Args:
        forecast: forecasts of the table's candidates; if it has no reasons, `Predictor.explained` adds those of the steps.
        table: feature table; to search over recipes, cross it with these first (`table.with_recipes`).
        budget: trials or hours, for each target or for all.
        history: earlier trainings and their hours. Their candidates are listed as done and cost nothing, their scores count
            for the best score so far, and the budget is for other candidates. Trainings that were stopped or failed are not
            proposed again; see `failed.given_up`.

    Raises:
        InputError: if the forecast has other candidates than the table; if the budget is too small for any training, or is in
            hours and the speed of trainings is unknown.

    Example:
        `history` holds transfers from four sources, and `table` the features of these sources for a new target, reviews.

        >>> import transfercast as tc
        >>> forecast = tc.Predictor.fit(history).predict(table)
        >>> plan = tc.plan(forecast, table, tc.Budget(trials=2), history=history)
        >>> [(step.source, round(step.score, 2)) for step in plan.steps]
        [('(alone)', 0.6), ('tweets', 0.71), ('forum', 0.64)]
    """
    if forecast.candidates != tuple(table.candidates):
        raise InputError("the forecast has other candidates than the table. Forecast this table: predictor.predict(table).")
    done, hopeless, costs = Done(), set[Candidate](), Costs(table.provenance.targets)
    if history is not None:
        past = opened(history)
        observed = list(past.observations())
        done, hopeless = done_of(observed, table), given_up(past.trainings(), table)
        costs = Costs(table.provenance.targets, observed)
    names = list(dict.fromkeys(candidate.target for candidate in forecast.candidates))
    rows_of: dict[str, list[int]] = {name: [] for name in names}
    for row, candidate in enumerate(forecast.candidates):
        rows_of[candidate.target].append(row)
    targets = [_Target(forecast, table, name, np.array(rows), done, hopeless, costs) for name, rows in rows_of.items()]
    taken = _bought(targets, budget)
    steps = _steps(forecast, table, targets, taken)
    stop_after, regret_left = (None, None) if forecast.is_order_only else _when_to_stop(targets, steps, taken)
    made = Plan(
        id=UNNAMED,
        steps=tuple(steps),
        budget=budget,
        predictor=forecast.predictor,
        basis=forecast.basis,
        candidates=len(forecast.candidates),
        columns=table.schema,
        provenance=table.provenance,
        stop_after=stop_after,
        regret_left=regret_left,
    )
    candidates = [list(candidate) for candidate in forecast.candidates]
    return made.model_copy(
        update={
            "id": fingerprint(
                plan=made.model_dump(mode="json"),
                rows=candidates,
                scores=forecast.score,
                coverage=forecast.coverage,
                lower=forecast.lower,
                upper=forecast.upper,
            )
        }
    )


class _Target:
    """One target's candidates: those that are done, with their scores, and the remaining options."""

    def __init__(
        self,
        forecast: Forecast,
        table: FeatureTable,
        name: str,
        rows: np.ndarray,
        done: Done,
        hopeless: set[Candidate],
        costs: Costs,
    ) -> None:
        facts = table.provenance.targets.get(name)
        self.name, self.facts, self.rows, self._costs = name, facts, rows, costs
        self.encoders = list(dict.fromkeys(forecast.encoders[row] for row in rows))
        self.alone_done = {encoder: done.alone[name, encoder] for encoder in self.encoders if (name, encoder) in done.alone}
        self.done = {
            int(row): done.transfers[forecast.candidates[row]] for row in rows if forecast.candidates[row] in done.transfers
        }
        hoped = [row for row in rows if int(row) not in self.done and forecast.candidates[row] not in hopeless]
        left = np.array(hoped, dtype=np.int64)
        recipes = {int(row): forecast.candidates[row].recipe for row in rows}
        self.hours = {row: self.price(recipe, forecast.encoders[row]) for row, recipe in recipes.items()}
        prices = np.array([_or_inf(self.hours[int(row)]) for row in left], dtype=np.float64)
        order = np.lexsort((prices, -forecast.score[left]))
        left, prices = left[order], prices[order]
        baselines = [own for own in map(self.baseline, self.encoders) if own is not None]
        alone = {recipe: self._hours_alone(recipe) for recipe in dict.fromkeys(recipes.values())}
        self.options = Options(
            target=name,
            rows=left,
            scores=forecast.score[left],
            own=forecast.own_spread[left],
            shared=float(forecast.shared_spread[rows[0]]),
            prices=prices,
            alone=np.array([alone[recipes[int(row)]] for row in left], dtype=np.float64),
            in_hand=max([*baselines, *self.done.values()], default=-np.inf),
            ceiling=METRICS[DEFAULT_METRIC if facts is None else facts.metric].highest,
        )

    def price(self, recipe: str, encoder: str) -> float | None:
        """Expected hours of one training; None if its speed is unknown."""
        return self._costs.hours(self.name, recipe, encoder)

    def baseline(self, encoder: str) -> float | None:
        """The target's score when trained alone from an encoder; None if it is unknown."""
        if encoder in self.alone_done:
            return self.alone_done[encoder][1]
        return None if self.facts is None else self.facts.with_encoder(encoder).score

    def _hours_alone(self, recipe: str) -> float:
        """Hours of training the target alone from all encoders from which it is not yet trained."""
        missing = [encoder for encoder in self.encoders if encoder not in self.alone_done]
        return sum(_or_inf(self.price(_alone(recipe), encoder)) for encoder in missing)


def _alone(recipe: str) -> str:
    """The recipe of a target's training alone that corresponds to a recipe of transfers."""
    try:
        return Recipe.parse(recipe).alone.key
    except InputError:  # a table made by others may have recipes of their own
        return recipe


def _or_inf(hours: float | None) -> float:
    return np.inf if hours is None else hours


def _bought(targets: Sequence[_Target], budget: Budget) -> list[Taken]:
    """Candidates to train within the budget, in order; none if all are done."""
    options = [target.options for target in targets]
    open_options = [own for own in options if len(own.rows)]
    if budget.hours is None:
        options = [_of_one_trial(own) for own in options]
        amount = float(budget.trials or 0)
    else:
        unknown = [own.target for own in open_options if not np.isfinite(own.prices).all()]
        if unknown:
            raise InputError(
                f"with a budget in hours, the duration of a training of {', '.join(unknown[:3])} must be known, but the table "
                "has no seconds_per_row_epoch of the target. Give a number of trials, or make the table with 'transfercast "
                "features', which measures it."
            )
        amount = budget.hours
    if budget.per == "target":
        parts = [[_renumbered(step, number) for step in chosen([own], amount)] for number, own in enumerate(options)]
        taken = [part[turn] for turn in range(max(map(len, parts))) for part in parts if turn < len(part)]
    else:
        taken = chosen(options, amount)
    if not taken and open_options:
        cheapest = min(float((own.prices + own.alone).min()) for own in open_options)
        raise InputError(f"{budget} buys no training: the first would take {duration(cheapest)}. Give more.")
    return taken


def _of_one_trial(options: Options) -> Options:
    ones = np.ones(len(options.rows))
    return Options(options.target, options.rows, options.scores, options.own, options.shared, ones, 0 * ones,
                   options.in_hand, options.ceiling)  # fmt: skip


def _renumbered(step: Taken, target: int) -> Taken:
    return Taken(target, step.number, step.expected, step.gain)


def _steps(forecast: Forecast, table: FeatureTable, targets: Sequence[_Target], taken: Sequence[Taken]) -> list[Step]:
    """Steps for the targets alone, then for done candidates, then for candidates to train."""
    first: dict[int, int] = {}
    for step in taken:
        first.setdefault(step.target, int(targets[step.target].options.rows[step.number]))
    listed = [number for number, own in enumerate(targets) if number in first or (own.alone_done and own.done)]
    describe = _Describe(forecast, table)
    steps = [step for number in listed for step in describe.alone(targets[number], first.get(number))]
    for number in listed:
        steps += [describe.done(targets[number], row) for row in targets[number].done]
    for step in taken:
        own = targets[step.target]
        steps.append(describe.new(int(own.options.rows[step.number]), own, step.expected))
    return [step.model_copy(update={"position": position}) for position, step in enumerate(steps)]


@dataclass(frozen=True, slots=True)
class _Describe:
    """Makes steps; their positions are set later."""

    forecast: Forecast
    table: FeatureTable

    def alone(self, target: _Target, first: int | None) -> list[Step]:
        """Steps for the target alone from each encoder; those not yet done have the recipe of the target's first transfer."""
        row = int(target.rows[0]) if first is None else first
        if first is None:
            encoders = [encoder for encoder in target.encoders if encoder in target.alone_done]
        else:
            encoders = target.encoders
        best = max((own for own in map(target.baseline, encoders) if own is not None), default=None)
        return [self._alone(target, row, encoder, best) for encoder in encoders]

    def _alone(self, target: _Target, row: int, encoder: str, best: float | None) -> Step:
        done = encoder in target.alone_done
        recipe = target.alone_done[encoder][0] if done else _alone(self.forecast.candidates[row].recipe)
        return Step(
            position=0,
            source=ALONE,
            target=target.name,
            recipe=recipe,
            encoder=encoder,
            score=target.baseline(encoder),
            lower=None,
            upper=None,
            hours=0.0 if done else target.price(recipe, encoder),
            expected_best=self._if_observed(row, best),
            done=done,
        )

    def done(self, target: _Target, row: int) -> Step:
        """Step of a candidate that is in the history, with its score."""
        candidate = self.forecast.candidates[row]
        return Step(
            position=0,
            source=candidate.source,
            target=candidate.target,
            recipe=candidate.recipe,
            encoder=self.forecast.encoders[row],
            score=target.done[row],
            lower=None,
            upper=None,
            hours=0.0,
            expected_best=self._if_observed(row, target.options.in_hand),
            done=True,
            features=self._features(row),
        )

    def new(self, row: int, target: _Target, expected: float) -> Step:
        """Step of a candidate to train."""
        candidate, forecast = self.forecast.candidates[row], self.forecast
        beats = float(forecast.beats_baseline[row])
        lower, upper = float(forecast.lower[row]), float(forecast.upper[row])
        metric = METRICS[DEFAULT_METRIC if target.facts is None else target.facts.metric]
        has_bounds = lower > metric.lowest or upper < metric.highest
        return Step(
            position=0,
            source=candidate.source,
            target=candidate.target,
            recipe=candidate.recipe,
            encoder=self.forecast.encoders[row],
            score=self._if_observed(row, float(forecast.score[row])),
            lower=self._if_observed(row, lower) if has_bounds else None,
            upper=self._if_observed(row, upper) if has_bounds else None,
            hours=target.hours[row],
            expected_best=self._if_observed(row, expected),
            beats_baseline=None if np.isnan(beats) else beats,
            why=dict(zip(forecast.groups, forecast.why[row].tolist(), strict=True)),
            features=self._features(row),
        )

    def _if_observed(self, row: int, value: float | None) -> float | None:
        """The value; None if the forecast rests on no observation."""
        return value if self.forecast.support[row] > 0 else None

    def _features(self, row: int) -> dict[str, float]:
        values = self.table.frame.iloc[row]
        return {str(name): float(value) for name, value in values.items() if np.isfinite(value)}


def _when_to_stop(targets: Sequence[_Target], steps: Sequence[Step], taken: Sequence[Taken]) -> tuple[int, float]:
    """The position after which the plan may stop, and the expected gain of training all others, as a mean over targets."""
    in_hand, most = {}, {}
    for number, target in enumerate(targets):
        own = target.options
        in_hand[number] = own.start if len(own.rows) else own.in_hand
        most[number] = own.in_hand
        if len(own.rows):
            best = own.best()
            best.take_all(own.scores, own.own)
            most[number] = best.expected
    position, left = len(steps) - len(taken) - 1, 0.0
    for step in (None, *taken):
        if step is not None:
            position, in_hand[step.target] = position + 1, step.expected
        left = float(np.mean([most[number] - in_hand[number] for number in most]))
        if left < WORTH_STOPPING:
            break
    return position, max(left, 0.0)
