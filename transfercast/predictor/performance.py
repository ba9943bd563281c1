"""The performance matrix: outcomes by encoder, target and source, and the targets' profiles by measures.

A task may be both a target and a source, so sources and targets share one list of names. Recipes are averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from transfercast.core.table import Column
from transfercast.predictor.data import Candidates, Transfers
from transfercast.predictor.names import named_after
from transfercast.predictor.relative import OUTCOMES, outcomes, zscore_within

MOST_DEVIATIONS = 4.0
"""Largest z-score of a name that matches: that of a single one grows with the square root of the candidates, its worth not."""


@dataclass(frozen=True)
class TargetProfiles:
    """Properties of t targets that are known without any transfer to them.

    Attributes:
        names: t names of targets.
        measures: (t, f, u) z-scores of the evidence over the sources; NaN where not measured.
    """

    names: tuple[str, ...]
    measures: np.ndarray


@dataclass(frozen=True)
class Rows:
    """n candidates by number; -1 stands for a source or encoder that was never observed.

    Attributes:
        encoder, source: (n,) numbers in the performance matrix.
        target: (n,) number in `profiles`.
        evidence: (n, f) z-scores within the query, higher is better if the direction is known; 0 where missing.
        named: (n,) z-scores within the query of whether the source is named after the target, at most MOST_DEVIATIONS.
        profiles: profiles of the t targets.
    """

    encoder: np.ndarray
    target: np.ndarray
    source: np.ndarray
    evidence: np.ndarray
    named: np.ndarray
    profiles: TargetProfiles

    def take(self, rows: np.ndarray) -> Rows:
        """Some rows, by mask or number, with only the profiles of their targets."""
        kept, target = np.unique(self.target[rows], return_inverse=True)
        profiles = TargetProfiles(tuple(self.profiles.names[index] for index in kept), self.profiles.measures[kept])
        return Rows(self.encoder[rows], target, self.source[rows], self.evidence[rows], self.named[rows], profiles)


@dataclass(frozen=True)
class PerformanceMatrix:
    """c observed cells, each the mean outcomes of a source on a target with an encoder.

    Attributes:
        encoders: e names.
        tasks: u names of sources and targets.
        columns: f evidence columns that differ between the candidates of a target.
        rows: the c cells.
        outcomes: (c, 2) the OUTCOMES of `relative`.
    """

    encoders: tuple[str, ...]
    tasks: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: Rows
    outcomes: np.ndarray

    @property
    def profiles(self) -> TargetProfiles:
        """Profiles of all targets, including those without cells."""
        return self.rows.profiles

    def task_numbers(self, names: Sequence[str]) -> np.ndarray:
        """(n,) numbers of tasks; -1 for unknown ones."""
        number = {name: index for index, name in enumerate(self.tasks)}
        return np.array([number.get(name, -1) for name in names], dtype=np.int64)

    def take(self, cells: np.ndarray) -> PerformanceMatrix:
        """Some cells, by (c,) mask; the profiles of all targets are kept."""
        own = self.rows
        rows = replace(
            own, encoder=own.encoder[cells], target=own.target[cells], source=own.source[cells], evidence=own.evidence[cells],
            named=own.named[cells],
        )  # fmt: skip
        return replace(self, rows=rows, outcomes=self.outcomes[cells])

    def dense(self) -> np.ndarray:
        """(e, t, u) relative scores; NaN where not observed."""
        result = np.full((len(self.encoders), len(self.profiles.names), len(self.tasks)), np.nan)
        result[self.rows.encoder, self.rows.target, self.rows.source] = self.outcomes[:, 0]
        return result

    def rows_of(self, candidates: Candidates) -> Rows:
        """Candidates as rows of numbers of this matrix."""
        names = tuple(dict.fromkeys(candidates.targets.tolist()))
        number = {name: index for index, name in enumerate(names)}
        target = np.array([number[name] for name in candidates.targets.tolist()], dtype=np.int64)
        encoders = {name: index for index, name in enumerate(self.encoders)}
        encoder = np.array([encoders.get(name, -1) for name in candidates.encoder.tolist()], dtype=np.int64)
        source, measures = self.task_numbers(candidates.sources.tolist()), signed(candidates, self.columns)
        profiles = _mean_at((target, source), measures, (len(names), len(self.tasks))).transpose(0, 2, 1)
        named = zscore_within(named_after(candidates.sources, candidates.targets)[:, None], candidates.query_ids)[:, 0]
        named = np.minimum(named, MOST_DEVIATIONS)
        return Rows(encoder, target, source, np.nan_to_num(measures), named, TargetProfiles(names, profiles))


def performance_matrix(transfers: Transfers, columns: Sequence[Column]) -> PerformanceMatrix:
    """The matrix of n observed transfers.

    Args:
        transfers: n observed transfers, which are averaged over recipes.
        columns: columns of evidence to use, without those of recipes.
    """
    candidates, known = transfers.candidates, transfers.with_measured()
    evidence = tuple(column for column in columns if not _is_fact(candidates, column))
    tasks, encoders = tuple(sorted({*known.targets, *known.sources})), tuple(sorted(set(candidates.encoder)))
    nobody = TargetProfiles((), np.empty(0))
    empty = Rows(*(np.empty(0, np.int64),) * 3, np.empty((0, len(evidence))), np.empty(0), nobody)
    blank = PerformanceMatrix(encoders, tasks, evidence, empty, np.empty((0, len(OUTCOMES))))
    profiles = blank.rows_of(known).profiles
    rows = replace(blank.rows_of(candidates), profiles=profiles)
    number = {name: index for index, name in enumerate(profiles.names)}
    target = np.array([number[name] for name in candidates.targets.tolist()], dtype=np.int64)
    keys = np.stack([rows.encoder, target, rows.source], axis=1)
    cells, cell = np.unique(keys, axis=0, return_inverse=True)
    learned = outcomes(transfers.score, candidates.query_ids)
    values = _mean_at((cell.ravel(),), np.concatenate([learned, rows.named[:, None], rows.evidence], axis=1), (len(cells),))
    named, seen = values[:, len(OUTCOMES)], values[:, len(OUTCOMES) + 1 :]
    observed = Rows(cells[:, 0], cells[:, 1], cells[:, 2], seen, named, profiles)
    return replace(blank, rows=observed, outcomes=values[:, : len(OUTCOMES)])


def signed(candidates: Candidates, columns: Sequence[Column]) -> np.ndarray:
    """(n, f) z-scores within the query, with signs such that higher is better; NaN where missing."""
    signs = np.array([-1.0 if column.better == "lower" else 1.0 for column in columns])
    return zscore_within(candidates.matrix([column.name for column in columns]) * signs, candidates.query_ids)


def _is_fact(candidates: Candidates, column: Column) -> bool:
    """Whether a column has values, and these are equal for all candidates of each query."""
    values = candidates.matrix([column.name])
    return bool(np.isfinite(values).any()) and not bool(np.nan_to_num(zscore_within(values, candidates.query_ids)).any())


def _mean_at(where: tuple[np.ndarray, ...], values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(*shape, f) means of the (n, f) values that belong to the same place; rows with a place of -1 are left out."""
    there = np.all([part >= 0 for part in where], axis=0)
    places, values = tuple(part[there] for part in where), values[there]
    known = np.isfinite(values)
    total, count = np.zeros((*shape, values.shape[1])), np.zeros((*shape, values.shape[1]))
    np.add.at(total, places, np.where(known, values, 0.0))
    np.add.at(count, places, known.astype(np.float64))
    return np.where(count > 0, total / np.maximum(count, 1.0), np.nan)
