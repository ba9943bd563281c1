"""Which candidates to train within a budget: always the one that adds most to the expected best for its price.

The expected best is monotone and submodular in what is trained, so buying greedily by gain per hour, or the single best
training that fits first, whichever is more, reaches at least (1 - 1/e) / 2 of what any choice within the hours could (Khuller,
Moss and Naor 1999). Where every training costs the same, it is the order of the forecasts in each target.
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
    """The candidates of one target that were not trained yet, best first and the cheaper first where they are equal.

    Attributes:
        target: its name.
        rows: (k,) numbers of the candidates.
        scores, own: (k,) forecasts and standard deviations of their own errors.
        shared: standard deviation of the error that they share.
        prices: (k,) of a training.
        alone: (k,) price of the target trained alone with the candidate's recipe, to be paid once, with the first.
        in_hand: best score so far; -inf where none is known.
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
        """The best in hand, before any of these is trained."""
        return BestInHand(self.in_hand, self.scores, self.own, self.shared, self.ceiling)

    @property
    def start(self) -> float:
        """The score in hand, or what a candidate at random would give where none is known."""
        return self.in_hand if np.isfinite(self.in_hand) else float(self.scores.mean())

    def lanes(self) -> list[list[int]]:
        """Candidates of equal price, each list best first: only the first of a list can be the next to train."""
        lanes: dict[tuple[float, float], list[int]] = {}
        for number in range(len(self.rows)):
            lanes.setdefault((float(self.prices[number]), float(self.alone[number])), []).append(number)
        return list(lanes.values())


@dataclass(frozen=True, slots=True)
class Taken:
    """A candidate that is to be trained: number of its target and of the candidate in it, and the expected best after it."""

    target: int
    number: int
    expected: float
    gain: float


def chosen(options: Sequence[Options], budget: float) -> list[Taken]:
    """What to train, in order.

    Args:
        options: of all targets.
        budget: in the unit of the prices.
    """
    filled = _filled(options, budget)
    single = _best_single(options, budget)
    if single is not None and single.gain > sum(step.gain for step in filled):
        return _filled(options, budget, single)
    return filled


def _best_single(options: Sequence[Options], budget: float) -> Taken | None:
    """The one training that gains most of those that the budget can pay."""
    fitting = [
        offer
        for target, own in enumerate(options)
        for offer in _Open(target, own).offers()
        if own.prices[offer.number] + own.alone[offer.number] <= budget + ROUNDING
    ]
    return max(fitting, key=lambda offer: (offer.gain, -offer.target, -offer.number), default=None)


def _filled(options: Sequence[Options], budget: float, first: Taken | None = None) -> list[Taken]:
    """Greedily by gain for the price; a heap holds each target's offers, and those made before its last training are stale."""
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
    """What is left of one target's options."""

    def __init__(self, target: int, options: Options) -> None:
        self.target, self.options, self.turn = target, options, 0
        self._best, self._lanes = options.best(), options.lanes()

    def price(self, number: int) -> float:
        """Of a candidate now: the target alone is paid with the first."""
        alone = float(self.options.alone[number]) if self.turn == 0 else 0.0
        return float(self.options.prices[number]) + alone

    def offers(self) -> Iterator[Taken]:
        """The best candidate of each price."""
        for number in (lane[0] for lane in self._lanes if lane):
            score, own = float(self.options.scores[number]), float(self.options.own[number])
            gain = self._best.gain(score, own)
            expected = self._best.expected + gain
            if self.turn == 0:
                gain = expected - self.options.start
            yield Taken(self.target, number, expected, gain)

    def take(self, number: int) -> Taken:
        """Train one."""
        before = self._best.expected if self.turn else self.options.start
        self._best.take(float(self.options.scores[number]), float(self.options.own[number]))
        next(lane for lane in self._lanes if lane and lane[0] == number).pop(0)
        self.turn += 1
        return Taken(self.target, number, self._best.expected, self._best.expected - before)
