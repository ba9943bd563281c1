"""The history's features of rows, hidden as the situation asks in which a row is, or would have been, forecast.

A training row must be described as a row will be that is to be forecast, so for each of three situations the history is
hidden in the same way: a target never observed, one observed with another encoder only, and an encoder never observed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np

from transfercast.predictor.alike import Newcomer, Profiles, Witnesses, history_schema
from transfercast.predictor.design import Design, Observed
from transfercast.predictor.past import Past, views_of

Situation = Literal["new target", "known target", "new encoder"]
SITUATIONS: tuple[Situation, ...] = get_args(Situation)


def situations_of(past: Past) -> tuple[Situation, ...]:
    """Situations that the past has examples of."""
    several = past.observed.sum(axis=0).max(initial=0) > 1
    return SITUATIONS if several else SITUATIONS[:1]


class HistoryFeatures:
    """Describes rows by a past; the columns are `history_schema(past.groups)`.

    Args:
        past: what was observed.
    """

    def __init__(self, past: Past) -> None:
        self.past = past
        self.columns = history_schema(past.groups)
        self._profiles = Profiles(past)
        self._shared: Witnesses | None = None

    def examples(self, observed: Observed, situation: Situation) -> np.ndarray:
        """(n, h) features of the past's own rows as they would have been in a situation, before they were observed."""
        design = observed.design
        result = np.full((len(design), len(self.columns)), np.nan)
        for number, hidden, own_encoder in self._hidings(situation):
            witnesses = Witnesses(self.past.without(hidden), self._profiles, number)
            parts = witnesses.features(self._profiles.known(number))
            rows = np.nonzero((design.targets == self.past.tasks[number]) & np.isin(design.encoder, own_encoder))[0]
            result[rows] = self._placed(parts, design.take(rows), situation)
        return result

    def rows(self, design: Design) -> tuple[np.ndarray, np.ndarray]:
        """(n, h) features of rows to be forecast, and the (n,) situation that each is in."""
        result = np.full((len(design), len(self.columns)), np.nan)
        situation = np.full(len(design), SITUATIONS[0], dtype=object)
        views = views_of(design, self.past.groups)
        for group in range(design.groups.max(initial=-1) + 1):
            rows = np.nonzero(design.groups == group)[0]
            part = design.take(rows)
            number = self.past.number.get(part.targets[0], -1)
            situation[rows] = now = self._situation(number, part.encoder[0])
            newcomer = self._newcomer(number, part, views[rows])
            result[rows] = self._placed(self._witnesses(number).features(newcomer), part, now)
        return result, situation

    def _hidings(self, situation: Situation) -> Iterator[tuple[int, np.ndarray, list[str]]]:
        """Each target with what is hidden, (e, u), and the encoders of the rows that this is the right description of."""
        observed = self.past.observed
        for number in np.nonzero(observed.any(axis=0))[0].tolist():
            if situation == "new target":
                hidden = np.zeros_like(observed)
                hidden[:, number] = True
                yield number, hidden, list(self.past.encoders)
                continue
            for encoder in np.nonzero(observed[:, number])[0].tolist():
                hidden = np.zeros_like(observed)
                hidden[encoder, number if situation == "known target" else slice(None)] = True
                yield number, hidden, [self.past.encoders[encoder]]

    def _situation(self, number: int, encoder: str) -> Situation:
        if encoder not in self.past.encoders:
            return "new encoder" if len(self.past.encoders) > 1 else "new target"
        others = [name != encoder for name in self.past.encoders]
        return "known target" if number >= 0 and self.past.observed[others, number].any() else "new target"

    def _witnesses(self, number: int) -> Witnesses:
        if number >= 0 and self.past.observed[:, number].any():
            return Witnesses(self.past, self._profiles, number)
        if self._shared is None:
            self._shared = Witnesses(self.past, self._profiles)
        return self._shared

    def _newcomer(self, number: int, design: Design, views: np.ndarray) -> Newcomer:
        """A target by the (n, v) views of its candidates."""
        seen = np.full((views.shape[1], len(self.past.tasks)), np.nan)
        places = self._places(design)
        seen[:, places[places >= 0]] = views[places >= 0].T
        alone = np.full(len(self.past.encoders), np.nan)
        if design.encoder[0] in self.past.encoders:
            alone[self.past.encoders.index(design.encoder[0])] = design.baseline[0]
        return self._profiles.newcomer(number, seen, alone)

    def _placed(self, parts: tuple[np.ndarray, np.ndarray], design: Design, situation: Situation) -> np.ndarray:
        """(n, h) history features of rows of one target; NaN for sources and encoders that are not in the past."""
        own, shared = parts
        places = self._places(design)
        encoders = np.array([self.past.encoders.index(n) if n in self.past.encoders else -1 for n in design.encoder])
        known = own[encoders, places]
        known[(encoders < 0) | (situation == "new encoder")] = np.nan
        found = np.concatenate([known, shared[places]], axis=1)
        found[places < 0] = np.nan
        return found

    def _places(self, design: Design) -> np.ndarray:
        return np.array([self.past.number.get(name, -1) for name in design.sources], dtype=np.int64)
