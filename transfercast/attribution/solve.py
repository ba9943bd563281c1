"""Solve the paths of many documents at once in bounded memory: each inaccurate document requests the nodes that it needs."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, pairwise

import numpy as np
import torch
from scipy.special import expit

from transfercast.attribution.budget import NODES_HELD, give_back
from transfercast.attribution.path import (
    FIRST_NODES,
    Interval,
    allowed_error,
    completeness_error,
    hidden_movement,
    panels,
    path_error,
    to_halve,
)
from transfercast.attribution.states import Encoded, Reader, State

SECANT = 1e-3
"""If the log-odds change by less, the sigmoid's slope at the middle is used; it agrees with the mean slope to 4e-8."""

_WHOLES = list(pairwise(FIRST_NODES[::2]))
_FIRST_INTERVALS = [*_WHOLES, *pairwise(FIRST_NODES)]

ROUNDS_FREE = 8
"""Freed memory is given back after each round from this one on; before, there is too little of it to be worth the time."""


@dataclass(frozen=True, slots=True)
class Solution:
    """The result for one document.

    Attributes:
        document: number of the document.
        pieces: (L, T) conductance of its word pieces.
        completeness: (L,) completeness error.
        error: (L,) path error, in units of F.
        within_tolerance: whether the error is within the requested tolerance.
        evaluations: forward and backward passes used.
        start, end: F of baseline and document.
        saturated: whether F rounds to 1 at every node.
    """

    document: Encoded
    pieces: np.ndarray
    completeness: np.ndarray
    error: np.ndarray
    within_tolerance: bool
    evaluations: int
    start: float
    end: float
    saturated: bool


@dataclass(slots=True)
class _Path:
    """The unfinished path of one document."""

    document: Encoded
    states: dict[float, State] = field(default_factory=dict)
    wholes: list[Interval] = field(default_factory=list)
    asked: list[Interval] = field(default_factory=list)

    def wanted(self) -> list[float]:
        """Nodes to evaluate next."""
        return [leaf.middle for leaf in self.asked] if self.wholes else list(FIRST_NODES)

    def pairs(self) -> list[tuple[float, float]]:
        """Ends of the intervals whose conductance is computed from the new states."""
        if not self.wholes:
            return _FIRST_INTERVALS
        return [pair for leaf in self.asked for pair in ((leaf.start, leaf.middle), (leaf.middle, leaf.end))]

    def product(self, pair: tuple[float, float]) -> torch.Tensor:
        """(2, L, T) the gradient of the log-odds at the first and at the second end, times the difference of the outputs."""
        a, b = (self.states[node] for node in pair)
        return torch.einsum("eltd,ltd->elt", torch.stack([a.gradient, b.gradient]), b.hidden - a.hidden)

    def advance(self, products: Sequence[np.ndarray], tolerance: float, max_evaluations: int) -> Solution | None:
        """Add the products of `pairs`; returns the solution if no more nodes are needed or allowed, else None."""
        new = {pair: self._interval(pair, product) for pair, product in zip(self.pairs(), products, strict=True)}
        if not self.wholes:
            self.wholes = self.asked = [new[pair] for pair in _WHOLES]
        for leaf in self.asked:
            leaf.halves = new[leaf.start, leaf.middle], new[leaf.middle, leaf.end]
        parts = panels(self.wholes)
        start, end = (float(expit(self.states[node].log_odds)) for node in (0.0, 1.0))
        allowed = allowed_error(end - start, tolerance)
        self.asked = to_halve(parts, allowed, max_evaluations - len(self.states))
        if self.asked:
            return None
        error = path_error(parts)
        return Solution(
            self.document,
            np.sum([part.value for part in parts], axis=0),
            completeness_error(parts, end - start),
            error,
            bool(error.max() <= allowed),
            len(self.states),
            start,
            end,
            rounds_to_one([float(expit(state.log_odds)) for state in self.states.values()]),
        )

    def _interval(self, pair: tuple[float, float], product: np.ndarray) -> Interval:
        a, b = (self.states[node].log_odds for node in pair)
        change, middle = float(expit(b) - expit(a)), expit((a + b) / 2)
        slope = change / (b - a) if abs(b - a) > SECANT else float(middle * (1 - middle))
        return Interval(*pair, product.sum(0) * (slope / 2), change, hidden_movement(a, b, *product.sum(2)))


def solved(reader: Reader, tolerance: float, max_evaluations: int) -> Iterator[Solution]:
    """Each document's solution, in the order in which they are finished; stored states are bounded by the token budget.

    Longer documents start first; others start as soon as there is room for all states that they may need.
    """
    waiting = deque(sorted(reader.documents(), key=lambda document: -len(document)))
    active: list[_Path] = []
    for number in count():
        if not waiting and not active:
            return
        if number >= ROUNDS_FREE:
            give_back()
        room = NODES_HELD * reader.token_budget - max_evaluations * sum(len(path.document) for path in active)
        while waiting and (not active or max_evaluations * len(waiting[0]) <= room):
            document = waiting.popleft()
            if document.target == []:
                yield nothing_read(document, reader)
                continue
            active.append(_Path(document))
            room -= max_evaluations * len(document)
        asked = [(path, node) for path in active for node in path.wanted()]
        for place, state in reader.states([(path.document, node) for path, node in asked]):
            path, node = asked[place]
            path.states[node] = state
        products = _together([path.product(pair) for path in active for pair in path.pairs()])
        going_on = []
        for path in active:
            solution = path.advance([next(products) for _ in path.pairs()], tolerance, max_evaluations)
            if solution is None:
                going_on.append(path)
            else:
                yield solution
        active = going_on


def _together(products: Sequence[torch.Tensor]) -> Iterator[np.ndarray]:
    """The (2, L, T) tensors as float64, moved from their device in one transfer."""
    if products:
        values = torch.cat(list(products), 2).cpu().double().numpy()
        yield from np.split(values, np.cumsum([product.shape[2] for product in products])[:-1], axis=2)


def nothing_read(document: Encoded, reader: Reader) -> Solution:
    """The solution for a sentence whose positive words were all cut off, so that there is no F to explain."""
    layers = max(len(reader.layers), getattr(reader.model.config, "num_hidden_layers", 0))
    none = np.zeros(layers)
    return Solution(document, np.zeros((layers, len(document))), none, none, True, 0, 0.0, 0.0, False)


def rounds_to_one(probabilities: Sequence[float]) -> bool:
    """Whether all values are 1 in float32, the precision of models."""
    return bool((np.array(probabilities, dtype=np.float32) == 1).all())
