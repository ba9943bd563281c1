"""What was observed before, as matrices over one list of tasks, for a task may be a target here and a source there.

Only means by (encoder, target, source) are kept; recipes and seeds are averaged. `views` say how each group of evidence
sees the pairs: the mean of its measures, in the direction in which they are better, as standings within the target.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from transfercast.core.table import Column
from transfercast.predictor.design import Design, Observed
from transfercast.predictor.standing import KINDS, even, gain, top, within


@dataclass(frozen=True)
class Past:
    """Observed scores and the measures' views of u tasks.

    Attributes:
        encoders: e names of base encoders.
        tasks: u names of targets and sources.
        scores: (e, u, u) mean score by encoder, target, source; NaN where not observed.
        alone: (e, u) the targets' own scores; NaN where not known.
        groups: v groups of evidence.
        views: (v, u, u) standing of the source within the target, by group; NaN where not measured.
    """

    encoders: tuple[str, ...]
    tasks: tuple[str, ...]
    scores: np.ndarray
    alone: np.ndarray
    groups: tuple[str, ...]
    views: np.ndarray

    @cached_property
    def number(self) -> dict[str, int]:
        """Index of each task."""
        return {name: index for index, name in enumerate(self.tasks)}

    @cached_property
    def standings(self) -> np.ndarray:
        """(3, e, u, u) standings of all kinds, each divided by its standard deviation over all."""
        result = self._within_targets.copy()
        for kind in result:
            spread = np.nanstd(kind) if np.isfinite(kind).any() else 0.0
            kind /= spread if spread > 1e-9 else 1.0
        return result

    @cached_property
    def _within_targets(self) -> np.ndarray:
        """(3, e, u, u) standings of all kinds; those of a target with an encoder depend on no others."""
        result = np.full((len(KINDS), *self.scores.shape), np.nan)
        for e, t in zip(*np.nonzero(self.observed), strict=True):
            known = np.isfinite(self.scores[e, t])
            result[0, e, t, known] = top(self.scores[e, t, known])
            result[1, e, t, known] = even(self.scores[e, t, known])
            result[2, e, t, known] = gain(self.scores[e, t, known], float(self.alone[e, t]))
        return result

    @cached_property
    def observed(self) -> np.ndarray:
        """(e, u) whether anything was observed of a target with an encoder."""
        return np.asarray(np.isfinite(self.scores).any(axis=2))

    def without(self, hidden: np.ndarray) -> Past:
        """The same with the scores of some (e, u) targets removed. What is known without a transfer stays."""
        hid = hidden[:, :, None]
        rest = replace(self, scores=np.where(hid, np.nan, self.scores))
        rest.__dict__["_within_targets"] = np.where(hid, np.nan, self._within_targets)  # saves ranking them all again
        return rest

    def as_json(self) -> dict[str, Any]:
        """Plain lists: entries [encoder, target, source, score], [encoder, target, score], [group, target, source, view]."""
        return {
            "encoders": list(self.encoders),
            "tasks": list(self.tasks),
            "groups": list(self.groups),
            "scores": _entries(self.scores),
            "alone": _entries(self.alone),
            "views": _entries(self.views),
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Past:
        """Read back; raises KeyError, TypeError, ValueError or IndexError on anything else."""
        encoders, tasks, groups = (tuple(map(str, content[name])) for name in ("encoders", "tasks", "groups"))
        return cls(
            encoders,
            tasks,
            _matrix(content["scores"], (len(encoders), len(tasks), len(tasks))),
            _matrix(content["alone"], (len(encoders), len(tasks))),
            groups,
            _matrix(content["views"], (len(groups), len(tasks), len(tasks))),
        )


def past_of(observed: Observed) -> Past:
    """The matrices of n observed transfers, and of what was measured besides."""
    design, measured = observed.design, observed.with_measured()
    tasks = tuple(sorted({*measured.targets, *measured.sources}))
    encoders = tuple(sorted(set(design.encoder)))
    number = {name: index for index, name in enumerate(tasks)}
    groups = view_groups(measured.schema)
    size = (len(tasks), len(tasks))

    def places(names: np.ndarray) -> np.ndarray:
        return np.array([number[name] for name in names], dtype=np.int64)

    target, source = places(design.targets), places(design.sources)
    encoder = np.array([encoders.index(name) for name in design.encoder], dtype=np.int64)
    pairs = places(measured.targets), places(measured.sources)
    seen = [_means(pairs, column, size) for column in views_of(measured, groups).T]
    return Past(
        encoders,
        tasks,
        _means((encoder, target, source), observed.score, (len(encoders), *size)),
        _means((encoder, target), design.baseline, (len(encoders), len(tasks))),
        groups,
        np.stack(seen) if groups else np.empty((0, *size)),
    )


def view_groups(schema: Sequence[Column]) -> tuple[str, ...]:
    """Groups with at least one measure that says which direction is better."""
    return tuple(dict.fromkeys(column.group for column in schema if column.better != "unknown"))


def views_of(design: Design, groups: Sequence[str]) -> np.ndarray:
    """(n, v) mean standing of each row by the measures of each group; NaN where none was measured."""
    result = np.full((len(design), len(groups)), np.nan)
    for number, group in enumerate(groups):
        columns = [column for column in design.schema if column.group == group and column.better != "unknown"]
        if not columns:
            continue
        signs = np.array([1.0 if column.better == "higher" else -1.0 for column in columns])
        stood = within(design.matrix([column.name for column in columns]) * signs, design.groups)
        known = np.isfinite(stood)
        counts = known.sum(axis=1)
        result[:, number] = np.where(counts > 0, np.where(known, stood, 0.0).sum(axis=1) / np.maximum(counts, 1), np.nan)
    return result


def _means(where: tuple[np.ndarray, ...], values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    known = np.isfinite(values)
    where = tuple(part[known] for part in where)
    total, count = np.zeros(shape), np.zeros(shape)
    np.add.at(total, where, values[known])
    np.add.at(count, where, 1.0)
    return np.where(count > 0, total / np.maximum(count, 1.0), np.nan)


def _entries(matrix: np.ndarray) -> list[list[float]]:
    return [[*map(int, where), float(matrix[tuple(where)])] for where in np.argwhere(np.isfinite(matrix))]


def _matrix(entries: list[list[float]], shape: tuple[int, ...]) -> np.ndarray:
    matrix = np.full(shape, np.nan)
    for *where, value in entries:
        places = zip(where, shape, strict=True)
        if any(index % 1 or not 0 <= index < size for index, size in places) or not np.isfinite(value):
            raise ValueError(f"entry {[*where, value]} is outside {shape}")
        matrix[tuple(map(int, where))] = value
    return matrix
