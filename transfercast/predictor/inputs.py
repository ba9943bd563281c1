"""What the learners see: measures as standings among a target's candidates, recipes, and the history's features.

A training row must be described as a row will be that is to be forecast, so for each of three situations the history is
hidden in the same way: a target never observed, one observed with another encoder only, and an encoder never observed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np

from transfercast.core.table import Column
from transfercast.predictor.alike import Newcomer, Profiles, Witnesses, history_schema
from transfercast.predictor.design import Design, Observed
from transfercast.predictor.past import Past, views_of
from transfercast.predictor.standing import within

Situation = Literal["new target", "known target", "new encoder"]
SITUATIONS: tuple[Situation, ...] = get_args(Situation)

Goal = Literal["standing", "gain", "score"]
GOALS: tuple[Goal, ...] = get_args(Goal)


def situations_of(past: Past) -> tuple[Situation, ...]:
    """Situations that the past has examples of."""
    several = past.observed.sum(axis=0).max(initial=0) > 1
    found: tuple[Situation, ...] = ("new target",)
    return (*found, "known target", "new encoder") if several else found


class Inputs:
    """Describes rows for the learners.

    Args:
        past: what was observed; None leaves the history's features out.
        schema: columns of the measures and recipes to use.
        goal: levels matter for `gain` and `score`, so these see the measures' values and the baseline, too.
    """

    def __init__(self, past: Past | None, schema: tuple[Column, ...], goal: Goal) -> None:
        self.past, self.schema, self.goal = past, schema, goal
        self.profiles = None if past is None else Profiles(past)
        self._shared: Witnesses | None = None
        self._measures = tuple(column for column in schema if column.group != "recipe")
        self._recipes = tuple(column for column in schema if column.group == "recipe")
        values = () if goal == "standing" else (*self._measures, _BASELINE)
        history = () if past is None else history_schema(past.groups)
        self.columns: tuple[Column, ...] = (*self._measures, *self._recipes, *map(_as_value, values), *history)

    def examples(self, observed: Observed, situation: Situation) -> np.ndarray:
        """(n, f) observed rows as they would have been described in a situation, before they were observed."""
        design = observed.design
        plain = self._plain(design)
        if self.past is None or self.profiles is None:
            return plain
        history = np.full((len(plain), len(self.columns) - plain.shape[1]), np.nan)
        for number, hidden, own_encoder in self._hidings(situation):
            witnesses = Witnesses(self.past.without(hidden), self.profiles, number)
            parts = witnesses.features(self.profiles.known(number))
            rows = np.nonzero((design.targets == self.past.tasks[number]) & np.isin(design.encoder, own_encoder))[0]
            history[rows] = self._placed(parts, design.take(rows), situation)
        return np.concatenate([plain, history], axis=1)

    def rows(self, design: Design) -> tuple[np.ndarray, np.ndarray]:
        """(n, f) rows to be forecast, and the (n,) situation that each is in."""
        plain = self._plain(design)
        situation = np.full(len(plain), SITUATIONS[0], dtype=object)
        if self.past is None or self.profiles is None:
            return plain, situation
        history = np.full((len(plain), len(self.columns) - plain.shape[1]), np.nan)
        views = views_of(design, self.past.groups)
        for group in range(design.groups.max(initial=-1) + 1):
            rows = np.nonzero(design.groups == group)[0]
            part = design.take(rows)
            number = self.past.number.get(part.targets[0], -1)
            situation[rows] = now = self._situation(number, part.encoder[0])
            newcomer = self._newcomer(number, part, views[rows])
            history[rows] = self._placed(self._witnesses(number).features(newcomer), part, now)
        return np.concatenate([plain, history], axis=1), situation

    def _plain(self, design: Design) -> np.ndarray:
        measured = design.matrix([column.name for column in self._measures])
        recipes = design.matrix([column.name for column in self._recipes])
        parts = [within(measured, design.groups), recipes]
        if self.goal != "standing":
            parts += [measured, design.baseline[:, None]]
        return np.concatenate(parts, axis=1)

    def _hidings(self, situation: Situation) -> Iterator[tuple[int, np.ndarray, list[str]]]:
        """Each target with what is hidden, (e, u), and the encoders of the rows that this is the right description of."""
        assert self.past is not None
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
        assert self.past is not None
        if encoder not in self.past.encoders:
            return "new encoder" if len(self.past.encoders) > 1 else "new target"
        others = [name != encoder for name in self.past.encoders]
        return "known target" if number >= 0 and self.past.observed[others, number].any() else "new target"

    def _witnesses(self, number: int) -> Witnesses:
        assert self.past is not None
        assert self.profiles is not None
        if number >= 0 and self.past.observed[:, number].any():
            return Witnesses(self.past, self.profiles, number)
        if self._shared is None:
            self._shared = Witnesses(self.past, self.profiles)
        return self._shared

    def _newcomer(self, number: int, design: Design, views: np.ndarray) -> Newcomer:
        """A target by the (n, v) views of its candidates."""
        assert self.past is not None
        assert self.profiles is not None
        seen = np.full((views.shape[1], len(self.past.tasks)), np.nan)
        places = np.array([self.past.number.get(name, -1) for name in design.sources])
        seen[:, places[places >= 0]] = views[places >= 0].T
        alone = np.full(len(self.past.encoders), np.nan)
        if design.encoder[0] in self.past.encoders:
            alone[self.past.encoders.index(design.encoder[0])] = design.baseline[0]
        return self.profiles.newcomer(number, seen, alone)

    def _placed(self, parts: tuple[np.ndarray, np.ndarray], design: Design, situation: Situation) -> np.ndarray:
        """(n, h) history features of rows of one target."""
        assert self.past is not None
        own, shared = parts
        places = np.array([self.past.number.get(name, -1) for name in design.sources])
        encoders = np.array([self.past.encoders.index(n) if n in self.past.encoders else -1 for n in design.encoder])
        known = own[encoders, places]
        if situation == "new encoder":
            known = np.full_like(known, np.nan)
        found = np.concatenate([known, shared[places]], axis=1)
        found[places < 0] = np.nan
        found[encoders < 0, : own.shape[2]] = np.nan
        return found


_BASELINE = Column(name="baseline", measure="baseline", version=1, better="unknown", group="single-task scores")


def _as_value(column: Column) -> Column:
    return column.model_copy(update={"name": f"{column.name}, as it is"})
