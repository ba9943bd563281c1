"""A Gaussian process over pairs: results of sources on similar targets, and a linear function of the evidence.

An outcome y (the relative score, or the exponential rank) of source s on target t with encoder e is

    y = x . b + g_s(e, t) + noise,        b ~ N(0, RIDGE^-1 I),    noise ~ N(0, NOISE)

    cov(g_s(e, t), g_s(e', t')) = (SHARED_ENCODER + (1 - SHARED_ENCODER) [e = e']) (CONSTANT + k_T(t, t'))

with x the evidence as z-scores within the query and three terms of the pair: the relative score of t as a source on s, the
similarity of s and t as sources, and whether s is named after t (`names`). The constant part of the kernel is the source's
effect, partially pooled: the static order. k_T is the similarity of targets (`similarity`) with its negative eigenvalues set
to 0. Different sources share only b, so the covariance is block-diagonal, and the cost is the number of sources times the cube
of the rows of one source: 50,000 rows need no approximation. With V the covariance of the rows and X their evidence
(generalised least squares; Rasmussen and Williams 2006, 2.7),

    b = (X' V^-1 X + RIDGE I)^-1 X' V^-1 y,    a = V^-1 (y - X b),    forecast = x . b + sum of k a

Multi-task processes with such kernels: Bonilla, Chai and Williams 2007; Swersky, Snoek and Adams 2013. With k_T = 0 and no
evidence it is the mixed model of source effects (`CONSTANT` alone), which Koren 2010 calls baseline predictors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from transfercast.predictor.performance import PerformanceMatrix, Rows
from transfercast.predictor.relative import OUTCOMES
from transfercast.predictor.similarity import TaskSimilarity

CONSTANT, NOISE, SHARED_ENCODER, RIDGE = 0.2, 5.0, 0.1, 10.0
"""The same for all histories, chosen by hand on published tables and parts of them (docs/benchmarks.md), where nearby values
changed the mean NDCG by at most 0.5. A choice for each history by its leave-target-out error was no better."""

NEW_ENCODER = 0.5
"""In place of SHARED_ENCODER for an encoder that was never observed: nothing else is known of it than results with others. The
forecast is then a weighted sum of these, and no posterior mean."""

OF_PAIR = (
    "the target as a source of the source's task", "similarity of source and target as sources",
    "the source is named after the target",
)  # fmt: skip
"""Terms of a pair that are no measures."""

MOST_CELLS = 2**22
"""Number of cells of the covariances that are solved at once: 32 MiB."""


@dataclass(frozen=True)
class Parts:
    """Parts of the forecasts of n rows, which sum to the forecast.

    Attributes:
        effects: (n,) part from the source's outcomes on other targets, weighted by their similarity.
        pair: (n, 3) parts from the terms OF_PAIR.
        evidence: (n, f) parts from each column of the matrix.
    """

    effects: np.ndarray
    pair: np.ndarray
    evidence: np.ndarray

    @property
    def total(self) -> np.ndarray:
        """(n,) forecasts of the outcome."""
        return np.asarray(self.effects + self.pair.sum(axis=1) + self.evidence.sum(axis=1))


class PairProcess:
    """The process, given the cells of a performance matrix.

    Args:
        matrix: the observed cells.
        history: whether cells of the same source on other targets are used; if not, only evidence is (a ridge regression).
    """

    def __init__(self, matrix: PerformanceMatrix, history: bool = True) -> None:
        self.matrix, self.history, self.similarity = matrix, history, TaskSimilarity(matrix)
        rows = matrix.rows
        self._observed = np.unique(rows.target)
        number = np.full(len(matrix.profiles.names), -1)
        number[self._observed] = np.arange(len(self._observed))
        kernel = self.similarity.among_targets(matrix.profiles)[np.ix_(self._observed, self._observed)]
        values, vectors = np.linalg.eigh((kernel + kernel.T) / 2)
        self._basis = vectors[:, values > 1e-9]
        self._kernel = float(history) * (CONSTANT + (self._basis * values[values > 1e-9]) @ self._basis.T)
        self._fit(number[rows.target])

    def forecast(self, rows: Rows) -> Parts:
        """Forecast relative scores of rows, observed or not; for an observed target its own cells are used."""
        return self.forecasts(rows)[0]

    def forecasts(self, rows: Rows) -> tuple[Parts, ...]:
        """Forecasts of each of the OUTCOMES of `relative`."""
        kernel, pair, width = self._kernel_of(rows), self.of_pair(rows), len(self.matrix.columns)
        seen = np.nonzero(rows.source >= 0)[0]
        effects = np.zeros((len(OUTCOMES), len(rows.source)))
        for encoder in np.unique(rows.encoder[seen]):
            own = seen[rows.encoder[seen] == encoder]
            same = np.arange(len(self.matrix.encoders)) == encoder
            is_new = encoder not in self.matrix.rows.encoder
            shared = np.where(same, 1.0, NEW_ENCODER if is_new else SHARED_ENCODER)
            table = kernel @ np.einsum("oets,e->ots", self._weights, shared)  # outcome, target, source
            effects[:, own] = table[:, rows.target[own], rows.source[own]]
        return tuple(
            Parts(of_source, np.asarray(pair * slopes[width:]), np.asarray(rows.evidence * slopes[:width]))
            for of_source, slopes in zip(effects, self._slopes.T, strict=True)
        )

    def elsewhere(self, rows: Rows) -> np.ndarray:
        """(n, 2) mean outcomes of the rows' sources over all observed cells; NaN for a source that was never observed."""
        if not self.history:
            return np.full((len(rows.source), len(OUTCOMES)), np.nan)
        cells, size = self.matrix.rows.source, len(self.matrix.tasks)
        sums = np.stack([np.bincount(cells, outcome, minlength=size) for outcome in self.matrix.outcomes.T], axis=1)
        counts = np.bincount(cells, minlength=size)
        known = (rows.source >= 0) & (counts[rows.source] > 0)
        return np.where(known[:, None], sums[rows.source] / np.maximum(counts[rows.source], 1)[:, None], np.nan)

    def of_pair(self, rows: Rows) -> np.ndarray:
        """(n, 3) the terms OF_PAIR; 0 if unknown, or without history."""
        if not self.history:
            return np.zeros((len(rows.source), len(OF_PAIR)))
        targets = self.matrix.task_numbers(rows.profiles.names)
        alike = self.similarity.effects(targets)
        similar = np.where(rows.source >= 0, alike[rows.target, rows.source], 0.0)
        return np.stack([self.similarity.transfer(rows.source, targets[rows.target]), similar, rows.named], axis=1)

    def _kernel_of(self, rows: Rows) -> np.ndarray:
        """(t, k) covariance factors of the rows' targets with the observed targets."""
        number = {self.matrix.profiles.names[index]: place for place, index in enumerate(self._observed)}
        own = np.array([number.get(name, -1) for name in rows.profiles.names], dtype=np.int64)
        kernel = self.similarity.among_targets(rows.profiles)[:, self._observed]
        cold = float(self.history) * (CONSTANT + kernel @ self._basis @ self._basis.T)
        return np.asarray(np.where((own >= 0)[:, None], self._kernel[own], cold))

    def _fit(self, target: np.ndarray) -> None:
        """Solve for slopes and weights; `target` is the (c,) number of each cell's target among those observed."""
        rows, outcomes = self.matrix.rows, self.matrix.outcomes
        inputs = np.concatenate([rows.evidence, self.of_pair(rows)], axis=1)
        width, learned = inputs.shape[1], outcomes.shape[1]
        solved = np.zeros((len(outcomes), learned + width))
        gram, moment = np.eye(width) * RIDGE, np.zeros((width, learned))
        for cells, known in self._blocks():
            shared = SHARED_ENCODER + (1 - SHARED_ENCODER) * (rows.encoder[cells][:, :, None] == rows.encoder[cells][:, None])
            covariance = shared * self._kernel[target[cells][:, :, None], target[cells][:, None]]
            covariance *= known[:, :, None] & known[:, None]
            diagonal = np.arange(cells.shape[1])
            covariance[:, diagonal, diagonal] += np.where(known, NOISE, 1.0)
            right = np.concatenate([outcomes[cells], inputs[cells]], axis=2) * known[:, :, None]
            left = np.linalg.solve(covariance, right)
            solved[cells[known]] = left[known]
            flat = right[:, :, learned:].reshape(-1, width)
            gram += flat.T @ left[:, :, learned:].reshape(-1, width)
            moment += flat.T @ left[:, :, :learned].reshape(-1, learned)
        self._slopes = np.linalg.solve(gram, moment)
        self._weights = np.zeros((learned, len(self.matrix.encoders), len(self._observed), len(self.matrix.tasks)))
        self._weights[:, rows.encoder, target, rows.source] = (solved[:, :learned] - solved[:, learned:] @ self._slopes).T

    def _blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(s, m) numbers of cells, with one row for each of some sources, and (s, m) mask of entries that are not padding."""
        sources = self.matrix.rows.source
        order, counts = np.argsort(sources, kind="stable"), np.bincount(sources)
        starts, counts = np.cumsum(counts)[counts > 0] - counts[counts > 0], counts[counts > 0]
        by_size = np.argsort(counts, kind="stable")
        while len(by_size):
            most = int(counts[by_size[-1]])
            part, by_size = np.split(by_size[::-1], [max(MOST_CELLS // most**2, 1)])
            by_size = by_size[::-1]
            places = np.arange(most)
            known = places < counts[part][:, None]
            yield order[np.where(known, starts[part][:, None] + places, 0)], known
