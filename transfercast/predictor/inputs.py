"""What the learners see: measures as standings among a target's candidates, recipes, and the history's features."""

from __future__ import annotations

import numpy as np

from transfercast.core.choices import Goal
from transfercast.core.table import Column
from transfercast.predictor.design import Design, Observed
from transfercast.predictor.past import Past
from transfercast.predictor.situations import SITUATIONS, HistoryFeatures, Situation
from transfercast.predictor.standing import within

_BASELINE = Column(name="baseline", measure="baseline", version=1, better="unknown", group="single-task scores")


class Inputs:
    """Describes rows for the learners.

    Args:
        past: what was observed; None leaves the history's features out.
        schema: columns of the measures and recipes to use.
        goal: levels matter for `gain` and `score`, so these see the measures' values and the baseline, too.
    """

    def __init__(self, past: Past | None, schema: tuple[Column, ...], goal: Goal) -> None:
        self.past, self.schema, self.goal = past, schema, goal
        self._history = None if past is None else HistoryFeatures(past)
        self._measures = tuple(column for column in schema if column.group != "recipe")
        self._recipes = tuple(column for column in schema if column.group == "recipe")
        values = () if goal == "standing" else (*self._measures, _BASELINE)
        history = () if self._history is None else self._history.columns
        self.columns: tuple[Column, ...] = (*self._measures, *self._recipes, *map(_as_value, values), *history)

    def examples(self, observed: Observed, situation: Situation) -> np.ndarray:
        """(n, f) observed rows as they would have been described in a situation, before they were observed."""
        plain = self._plain(observed.design)
        if self._history is None:
            return plain
        return np.concatenate([plain, self._history.examples(observed, situation)], axis=1)

    def rows(self, design: Design) -> tuple[np.ndarray, np.ndarray]:
        """(n, f) rows to be forecast, and the (n,) situation that each is in."""
        plain = self._plain(design)
        if self._history is None:
            return plain, np.full(len(plain), SITUATIONS[0], dtype=object)
        history, situation = self._history.rows(design)
        return np.concatenate([plain, history], axis=1), situation

    def _plain(self, design: Design) -> np.ndarray:
        measured = design.matrix([column.name for column in self._measures])
        recipes = design.matrix([column.name for column in self._recipes])
        parts = [within(measured, design.groups), recipes]
        if self.goal != "standing":
            parts += [measured, design.baseline[:, None]]
        return np.concatenate(parts, axis=1)


def _as_value(column: Column) -> Column:
    return column.model_copy(update={"name": f"{column.name}, as it is"})
