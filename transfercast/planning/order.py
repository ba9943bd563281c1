"""The order in which to train: always the step that is expected to gain most, within the budget.

For one target that is the order of the forecasts, the cheaper first where they are equal. Over several targets, or by the
hour, the next step is the one that adds most to the expected best score of its target (per hour, where hours are the
budget).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from transfercast.core.cache import fingerprint
from transfercast.core.choices import Bounds
from transfercast.core.errors import InputError
from transfercast.core.forecast import Forecast
from transfercast.core.kinds import DEFAULT_METRIC, METRICS
from transfercast.core.plan import Budget, Plan, Step
from transfercast.core.records import ALONE
from transfercast.core.table import FeatureTable
from transfercast.planning.cost import hours_of
from transfercast.planning.stop import WORTH_STOPPING, expected_best
from transfercast.predictor.model import Predictor


@dataclass(frozen=True, slots=True)
class _Queue:
    """The candidates of one target, best first, with what each adds when it is reached in this order."""

    target: str
    rows: np.ndarray
    hours: np.ndarray
    best: np.ndarray
    baseline: float
    baseline_hours: float
    baseline_recipe: str

    @property
    def start(self) -> float:
        """The score in hand before any transfer; where the baseline is not known, the least promising forecast."""
        return self.baseline if np.isfinite(self.baseline) else float(self.best[0] - 1e-9)

    def gain(self, taken: int) -> float:
        """What the next step adds to the expected best."""
        before = self.start if taken == 0 else self.best[taken - 1]
        return float(self.best[taken] - before)


def plan(predictor: Predictor, table: FeatureTable, budget: Budget, coverage: float = 0.9, bounds: Bounds = "grouped") -> Plan:
    """Turn forecasts and a budget into an order of trainings.

    Args:
        predictor: forecasts the table's candidates.
        table: of candidates; cross it with recipes first (`table.with_recipes`) to search over them too.
        budget: trials or hours, for each target or over all.
        coverage: of the bounds.
        bounds: `grouped`, or the wider `hierarchical`.

    Raises:
        InputError: if the budget buys no training at all.
    """
    forecast = predictor.predict(table, coverage, bounds=bounds)
    queues = [_queue(forecast, table, target) for target in dict.fromkeys(c.target for c in forecast.candidates)]
    taken = _taken(queues, budget)
    if not taken:
        cheapest = min(queue.baseline_hours + float(queue.hours[0]) for queue in queues)
        raise InputError(f"{budget} buys no training: the first would take {cheapest:.3g} hours. Give more.")
    steps = _steps(forecast, table, queues, taken)
    stop_after, regret_left = _when_to_stop(queues, taken, len(steps) - len(taken))
    return Plan(
        id=fingerprint(
            rows=[list(candidate) for candidate in forecast.candidates],
            scores=forecast.score,
            budget=budget.model_dump(),
            provenance=table.provenance.model_dump(),
            predictor=forecast.predictor,
        ),
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


def _queue(forecast: Forecast, table: FeatureTable, target: str) -> _Queue:
    rows = np.array([row for row, candidate in enumerate(forecast.candidates) if candidate.target == target])
    facts = table.provenance.targets.get(target)
    hours = np.array([hours_of(facts, forecast.candidates[row].recipe) for row in rows])
    order = np.lexsort((hours, -forecast.score[rows]))
    rows, hours = rows[order], hours[order]
    baseline = np.nan if facts is None or facts.score is None else facts.score
    start = -np.inf if np.isnan(baseline) else baseline
    metric = DEFAULT_METRIC if facts is None else facts.metric
    recipe = forecast.candidates[rows[0]].recipe
    return _Queue(
        target=target,
        rows=rows,
        hours=hours,
        best=expected_best(start, forecast.score[rows], forecast.spread[rows], METRICS[metric].highest),
        baseline=float(baseline),
        baseline_hours=hours_of(facts, recipe),
        baseline_recipe=recipe,
    )


def _taken(queues: list[_Queue], budget: Budget) -> list[tuple[_Queue, int]]:
    """(queue, how many of it were taken before) of each step, in order."""
    if budget.per == "target":
        parts = [_taken([queue], budget.model_copy(update={"per": "total"})) for queue in queues]
        longest = max(map(len, parts))
        return [part[turn] for turn in range(longest) for part in parts if turn < len(part)]
    counts = dict.fromkeys(range(len(queues)), 0)
    order: list[tuple[_Queue, int]] = []
    left = budget.hours if budget.hours is not None else float(budget.trials or 0)
    while True:
        worth: list[tuple[float, int, float]] = []
        for number, queue in enumerate(queues):
            count = counts[number]
            if count == len(queue.rows):
                continue
            if budget.hours is None:
                price, gain = 1.0, queue.gain(count)
            else:
                price = float(queue.hours[count]) + (queue.baseline_hours if count == 0 else 0.0)
                gain = queue.gain(count) / max(price, 1e-9)
            if price <= left:
                worth.append((gain, number, price))
        if not worth:
            return order
        _, number, price = max(worth, key=lambda item: (item[0], -item[1]))
        order.append((queues[number], counts[number]))
        counts[number] += 1
        left -= price


def _steps(forecast: Forecast, table: FeatureTable, queues: list[_Queue], taken: list[tuple[_Queue, int]]) -> list[Step]:
    used = [queue for queue in queues if any(queue is other for other, _ in taken)]
    steps = [
        Step(
            position=position,
            source=ALONE,
            target=queue.target,
            recipe=queue.baseline_recipe,
            score=None if np.isnan(queue.baseline) else queue.baseline,
            lower=None,
            upper=None,
            hours=queue.baseline_hours,
            expected_best=None if np.isnan(queue.baseline) else queue.baseline,
        )
        for position, queue in enumerate(used)
    ]
    for queue, count in taken:
        row = int(queue.rows[count])
        candidate = forecast.candidates[row]
        beats = float(forecast.beats_baseline[row])
        features = {name: float(value) for name, value in table.frame.iloc[row].items() if np.isfinite(value)}
        steps.append(
            Step(
                position=len(steps),
                source=candidate.source,
                target=candidate.target,
                recipe=candidate.recipe,
                score=float(forecast.score[row]),
                lower=float(forecast.lower[row]),
                upper=float(forecast.upper[row]),
                hours=float(queue.hours[count]),
                expected_best=float(queue.best[count]),
                beats_baseline=None if np.isnan(beats) else beats,
                why=dict(zip(forecast.groups, forecast.why[row].tolist(), strict=True)),
                features={str(name): value for name, value in features.items()},
            )
        )
    return steps


def _when_to_stop(queues: list[_Queue], taken: list[tuple[_Queue, int]], baselines: int) -> tuple[int, float]:
    """The position after which little is expected to be left, and how much, as a mean over targets."""
    in_hand = {queue.target: queue.start for queue in queues}
    most = {queue.target: float(queue.best[-1]) for queue in queues}
    left = 0.0
    for position, (queue, count) in enumerate(taken, start=baselines):
        in_hand[queue.target] = float(queue.best[count])
        left = float(np.mean([most[name] - in_hand[name] for name in most]))
        if left < WORTH_STOPPING:
            return position, left
    return len(taken) + baselines - 1, left
