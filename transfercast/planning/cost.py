"""Expected hours of a training, from the speed of the target's training alone and from the hours in a history.

A training of n rows takes h = n passes(recipe, n) s / 3600 hours. Without a history s, the seconds for one row and pass, is
that of the target's training alone from the encoder. With a history s is learned from its hours by ridge regression,

    log s = m + b log n + encoder + adaptation + device + target

where each name has an effect that is shrunk toward 0 (penalty RIDGE; a mixed model with fixed variances), b is also shrunk,
and the targets' own speeds are further observations, of full fine-tuning. Hours are for the device of most trainings in the
history.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from transfercast.core.errors import InputError
from transfercast.core.records import Observation, Recipe
from transfercast.core.table import TargetFacts

RIDGE = 0.5
"""Trainings at which half of the effect of a name is kept."""

FEWEST = 3
"""Smallest number of trainings in a history from which costs are learned; with fewer, the targets' own speeds are used."""

Facts = Mapping[str, TargetFacts]


def hours_of(facts: TargetFacts | None, recipe_key: str, encoder: str) -> float | None:
    """Expected hours of one training of a target from an encoder; None if its speed is unknown.

    >>> facts = TargetFacts(fingerprint="", metric="accuracy", train_rows=1800, seconds_per_row_epoch=0.5)
    >>> hours_of(facts, "full/epochs=4", "offline")
    1.0
    """
    seconds = None if facts is None else facts.with_encoder(encoder).seconds_per_row_epoch
    if facts is None or seconds is None:
        return None
    return facts.train_rows * _parsed(recipe_key).passes(facts.train_rows) * seconds / 3600


class _Training(NamedTuple):
    """Properties of a training that its cost depends on; `device` is "" if it is unknown."""

    encoder: str
    adaptation: str
    device: str
    target: str
    rows: float


class Costs:
    """Expected hours of trainings.

    Args:
        facts: facts of a table's targets.
        observations: observations of a history; only those with a known number of rows are used, by `facts` or the feature
            `target_rows`.
    """

    def __init__(self, facts: Facts, observations: Iterable[Observation] = ()) -> None:
        self._facts = facts
        known = [(training, speed) for one in observations for training, speed in _speeds(one, facts)]
        self._effects: dict[tuple[str, str], float] | None = None
        if len(known) >= FEWEST:
            self._device = Counter(training.device for training, _ in known).most_common(1)[0][0]
            self._fit([*known, *_own_speeds(facts)])

    def hours(self, target: str, recipe_key: str, encoder: str) -> float | None:
        """Expected hours of one training; None if its speed is unknown."""
        facts = self._facts.get(target)
        if self._effects is None or facts is None:
            return hours_of(facts, recipe_key, encoder)
        recipe, rows = _parsed(recipe_key), facts.train_rows
        about = _Training(encoder, recipe.adaptation, self._device, target, rows)
        log_speed = self._level + self._slope * (math.log(rows) - self._rows)
        log_speed += sum(self._effects.get(name, 0.0) for name in _names(about))
        return rows * recipe.passes(rows) * math.exp(log_speed) / 3600

    def _fit(self, known: list[tuple[_Training, float]]) -> None:
        """Learn from pairs of a training and the logarithm of its seconds for one row and pass."""
        outcome, rows = np.array([speed for _, speed in known]), np.array([math.log(one.rows) for one, _ in known])
        self._level, self._rows = float(outcome.mean()), float(rows.mean())
        names = list(dict.fromkeys(name for one, _ in known for name in _names(one)))
        place = {name: number for number, name in enumerate(names)}
        inputs = np.zeros((len(known), len(names) + 1))
        inputs[:, -1] = rows - self._rows
        for row, (one, _) in enumerate(known):
            inputs[row, [place[name] for name in _names(one)]] = 1.0
        gram = inputs.T @ inputs + RIDGE * np.eye(inputs.shape[1])
        effects = np.linalg.solve(gram, inputs.T @ (outcome - self._level))
        self._effects, self._slope = dict(zip(names, effects[:-1].tolist(), strict=True)), float(effects[-1])


def _names(training: _Training) -> list[tuple[str, str]]:
    """Kinds and names that have an effect."""
    kinds = ("encoder", "adaptation", "device", "target")
    values = (training.encoder, training.adaptation, training.device, training.target)
    return [(kind, value) for kind, value in zip(kinds, values, strict=True) if value]


def _speeds(one: Observation, facts: Facts) -> Iterable[tuple[_Training, float]]:
    """The training of an observation with the logarithm of its seconds for one row and pass, if rows and hours are known."""
    rows = facts[one.target].train_rows if one.target in facts else one.features.get("target_rows", 0.0)
    if one.hours > 0 and rows >= 1:
        recipe = _parsed(one.recipe)
        seconds = 3600 * one.hours / (rows * recipe.passes(int(rows)))
        yield _Training(one.encoder, recipe.adaptation, one.device, one.target, rows), math.log(seconds)


def _own_speeds(facts: Facts) -> Iterable[tuple[_Training, float]]:
    """Trainings of targets alone that the table has, with the logarithms of their speeds."""
    for target, own in facts.items():
        for encoder, alone in (own.alone or {"": own}).items():
            if alone.seconds_per_row_epoch:
                yield _Training(encoder, "full", "", target, own.train_rows), math.log(alone.seconds_per_row_epoch)


def _parsed(recipe_key: str) -> Recipe:
    try:
        return Recipe.parse(recipe_key)
    except InputError:  # a table made by others may have recipes of their own
        return Recipe()
