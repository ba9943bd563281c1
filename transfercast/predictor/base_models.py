"""The base models: their forecasts of rows, by regime, and the contributions to these."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from transfercast.core.table import Column
from transfercast.predictor.data import Candidates, Transfers
from transfercast.predictor.masking import COLD, Regime, hidden_together, regimes_of
from transfercast.predictor.performance import PerformanceMatrix, Rows, performance_matrix
from transfercast.predictor.process import RECIPROCITY, PairProcess
from transfercast.predictor.relative import relative_scores
from transfercast.predictor.trees import contributions, fit_ranker, fit_regressor, margins

if TYPE_CHECKING:
    from xgboost import Booster

MODELS = ("process", "ranker", "regressor")
TREES = MODELS[1:]


@dataclass(frozen=True)
class BaseModels:
    """Process, ranker and regressor, fitted on some transfers.

    Attributes:
        process: process with all cells.
        columns: columns of measures and recipes that were learned from.
        boosters: trees by name, fitted on inputs of target cold start; empty before they are fitted.
    """

    process: PairProcess
    columns: tuple[Column, ...]
    boosters: dict[str, Booster] = field(default_factory=dict)

    @property
    def matrix(self) -> PerformanceMatrix:
        """The observed cells."""
        return self.process.matrix

    @property
    def input_columns(self) -> tuple[Column, ...]:
        """Inputs of the trees, in order."""
        own = ("forecast of the process", *RECIPROCITY)
        history = tuple(Column(name=name, measure=name, version=1, better="unknown", group="history") for name in own)
        return (*history, *self.matrix.columns, *self.columns)

    def forecasts(self, candidates: Candidates) -> np.ndarray:
        """(n, m) relative scores of new rows by each of MODELS."""
        rows = self.matrix.rows_of(candidates)
        total = self.process.forecast(rows).total
        inputs = self._inputs(self.process, rows, total, candidates)
        ranker, regressor = (margins(self.boosters[name], inputs, candidates.query_ids) for name in TREES)
        return np.stack([total, ranker, total + regressor], axis=1)

    def regimes(self, candidates: Candidates) -> np.ndarray:
        """(n,) the cold-start regime of each row."""
        return regimes_of(self.matrix, self.matrix.rows_of(candidates))

    def contributions(self, candidates: Candidates, chosen: np.ndarray) -> np.ndarray:
        """Contributions of the inputs to the models' forecasts: exact for the process, Shapley values for the trees.

        Args:
            candidates: n rows; all rows of their queries are needed for z-scores.
            chosen: (k,) numbers of the rows to explain.

        Returns:
            (m, k, f) contributions by input column; the first three are the history's. They leave out a constant that is the
            same for all rows of a query.
        """
        rows = self.matrix.rows_of(candidates)
        parts = self.process.forecast(rows)
        inputs = self._inputs(self.process, rows, parts.total, candidates)
        own = np.zeros((len(chosen), inputs.shape[1]))
        own[:, 0], own[:, 1] = parts.effects[chosen], parts.reciprocity[chosen]
        own[:, 3 : 3 + len(self.matrix.columns)] = parts.evidence[chosen]
        ranker, regressor = (contributions(self.boosters[name], inputs[chosen]) for name in TREES)
        return np.stack([own, ranker, own + regressor])

    def _inputs(self, process: PairProcess, rows: Rows, total: np.ndarray, candidates: Candidates) -> np.ndarray:
        values = candidates.matrix([column.name for column in self.columns])
        return np.concatenate([total[:, None], process.reciprocity(rows), rows.evidence, values], axis=1)

    def masked(self, transfers: Transfers, regime: Regime, most: int | None = None) -> Iterator[tuple[np.ndarray, PairProcess]]:
        """Row numbers of observed transfers, each with the process without the cells that their regime excludes.

        Args:
            transfers: the n transfers that the models were fitted on.
            regime: the regime; if there are no examples of it, nothing is yielded.
            most: largest number of parts, evenly chosen; None for all.
        """
        rows, cells = self.matrix.rows_of(transfers.candidates), self.matrix.rows
        measures = [column for column in self.columns if column.group != "recipe"]
        place = {name: index for index, name in enumerate(self.matrix.profiles.names)}
        target = np.array([place[name] for name in rows.profiles.names], dtype=np.int64)[rows.target]
        of_rows, of_cells = hidden_together(regime, rows, target), hidden_together(regime, cells, cells.target)
        numbers = np.unique(of_cells)
        for number in numbers[:: max(len(numbers) // (most or len(numbers)), 1)][:most]:
            own, kept = np.nonzero(of_rows == number)[0], of_cells != number
            if not kept.any():
                continue
            matrix = self.matrix.take(kept)
            own = own[regimes_of(matrix, rows)[own] == regime]
            if regime == "source cold start":  # its scores must not affect the others' relative scores
                matrix = performance_matrix(transfers.take(of_rows != number), measures)
            if len(own):
                yield own, PairProcess(matrix, self.process.history)

    def examples(self, transfers: Transfers) -> np.ndarray:
        """(n, f) inputs of the observed transfers in target cold start."""
        result = np.zeros((len(transfers), len(self.input_columns)))
        for own, process in self.masked(transfers, COLD):
            candidates = transfers.candidates.take(own)
            rows = process.matrix.rows_of(candidates)
            result[own] = self._inputs(process, rows, process.forecast(rows).total, candidates)
        return result


def fit_base_models(transfers: Transfers, columns: Sequence[Column], history: bool) -> BaseModels:
    """Fit all base models.

    Args:
        transfers: n observed transfers.
        columns: measures and recipes to learn from.
        history: whether outcomes of other targets may be used.
    """
    measures = [column for column in columns if column.group != "recipe"]
    models = BaseModels(PairProcess(performance_matrix(transfers, measures), history), tuple(columns))
    inputs, query_ids = models.examples(transfers), transfers.candidates.query_ids
    outcome = relative_scores(transfers.score, query_ids)
    ranker, regressor = fit_ranker(inputs, outcome, query_ids), fit_regressor(inputs, outcome - inputs[:, 0])
    return replace(models, boosters=dict(zip(TREES, (ranker, regressor), strict=True)))
