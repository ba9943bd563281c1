"""Greedy choice of candidates within a budget: each step takes the one that adds most to the expected best for its price.

The expected best is monotone and submodular in the set of trainings. The better of two choices, greedily by gain per hour, or
first the single training with the largest gain that fits, reaches at least (1 - 1/e) / 2 of the largest gain that is possible
within the hours (Khuller, Moss and Naor 1999). If all trainings cost the same, each target's order is that of its forecasts.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from transfercast.planning.stop import BestInHand

ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Options:
    """The candidates of one target that are not yet trained, the best first; of equal ones the cheapest first.

    Attributes:
        target: its name.
        rows: (k,) numbers of the candidates.
        scores, own: (k,) forecasts and standard deviations of their own errors.
        shared: standard deviation of the error that they share.
        prices: (k,) prices of one training, in hours or trials.
        alone: (k,) price of the target trained alone with the candidate's recipe; it is paid once, with the first training.
        in_hand: best score so far; -inf if none is known.
        ceiling: highest value of the metric.
    """

    target: str
    rows: np.ndarray
    scores: np.ndarray
    own: np.ndarray
    shared: float
    prices: np.ndarray
    alone: np.ndarray
    in_hand: float
    ceiling: float

    def best(self) -> BestInHand:
        """The expected best score, before any of these is trained."""
        return BestInHand(self.in_hand, self.scores, self.own, self.shared, self.ceiling)

    @property
    def start(self) -> float:
        """The best score so far, or if none is known the mean forecast, which a random candidate would reach."""
        return self.in_hand if np.isfinite(self.in_hand) else float(self.scores.mean())

    def lanes(self) -> list[list[int]]:
        """Candidates by price, each list best first: only the first one of a list can be the next to train."""
        lanes: dict[tuple[float, float], list[int]] = {}
        for number in range(len(self.rows)):
            lanes.setdefault((float(self.prices[number]), float(self.alone[number])), []).append(number)
        return list(lanes.values())


@dataclass(frozen=True, slots=True)
class Taken:
    """A candidate to train.

    Attributes:
        target, number: numbers of its target, and of the candidate among the target's options.
        expected: expected best score of the target after it.
        gain: increase of that by it.
    """

    target: int
    number: int
    expected: float
    gain: float


def chosen(options: Sequence[Options], budget: float) -> list[Taken]:
    """Candidates to train, in order.

    Args:
        options: options of all targets.
        budget: amount in the unit of the prices.
    """
    filled = _filled(options, budget)
    single = _best_single(options, budget)
    if single is not None and single.gain > sum(step.gain for step in filled):
        return _filled(options, budget, single)
    return filled


def _best_single(options: Sequence[Options], budget: float) -> Taken | None:
    """The training with the largest gain among those that fit into the budget."""
    fitting = [
        offer
        for target, own in enumerate(options)
        for offer in _Open(target, own).offers()
        if own.prices[offer.number] + own.alone[offer.number] <= budget + ROUNDING
    ]
    return max(fitting, key=lambda offer: (offer.gain, -offer.target, -offer.number), default=None)


def _filled(options: Sequence[Options], budget: float, first: Taken | None = None) -> list[Taken]:
    """Greedy choice by gain per price, after `first` if given; the heap's offers from before a target's last step are stale."""
    states = [_Open(target, own) for target, own in enumerate(options)]
    heap: list[tuple[float, int, int, int]] = []

    def offered(state: _Open) -> None:
        for offer in state.offers():
            worth = offer.gain / max(state.price(offer.number), 1e-12)
            heapq.heappush(heap, (-worth, state.target, offer.number, state.turn))

    result: list[Taken] = []
    if first is not None:
        budget -= states[first.target].price(first.number)
        result.append(states[first.target].take(first.number))
    for state in states:
        offered(state)
    while heap:
        _, target, number, turn = heapq.heappop(heap)
        state = states[target]
        price = state.price(number)
        if turn != state.turn or price > budget + ROUNDING:
            continue
        budget -= price
        result.append(state.take(number))
        offered(state)
    return result


class _Open:
    """Remaining options of one target."""

    def __init__(self, target: int, options: Options) -> None:
        self.target, self.options, self.turn = target, options, 0
        self._best, self._lanes = options.best(), options.lanes()

    def price(self, number: int) -> float:
        """Current price of a candidate: the first one's includes that of the target alone."""
        alone = float(self.options.alone[number]) if self.turn == 0 else 0.0
        return float(self.options.prices[number]) + alone

    def offers(self) -> Iterator[Taken]:
        """The best remaining candidate of each price."""
        for number in (lane[0] for lane in self._lanes if lane):
            score, own = float(self.options.scores[number]), float(self.options.own[number])
            gain = self._best.gain(score, own)
            expected = self._best.expected + gain
            if self.turn == 0:
                gain = expected - self.options.start
            yield Taken(self.target, number, expected, gain)

    def take(self, number: int) -> Taken:
        """Count a candidate as trained."""
        before = self._best.expected if self.turn else self.options.start
        self._best.take(float(self.options.scores[number]), float(self.options.own[number]))
        next(lane for lane in self._lanes if lane and lane[0] == number).pop(0)
        self.turn += 1
        return Taken(self.target, number, self._best.expected, self._best.expected - before)
