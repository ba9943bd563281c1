"""The base models: their forecasts of rows, by regime, and the contributions to these.

The process forecasts relative scores, which tell all sources apart; the regressor adds trees to its forecast of exponential
ranks, which tell the best few apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from transfercast.core.table import Column, Group
from transfercast.predictor.data import Candidates, Transfers
from transfercast.predictor.masking import COLD, Regime, hidden_together, regimes_of
from transfercast.predictor.performance import PerformanceMatrix, Rows, performance_matrix
from transfercast.predictor.process import OF_PAIR, PairProcess
from transfercast.predictor.relative import outcomes
from transfercast.predictor.trees import contributions, fit_regressor, margins

if TYPE_CHECKING:
    from xgboost import Booster

MODELS = ("process", "regressor")
OWN_INPUTS: dict[str, Group] = {
    "forecast of the process": "history",
    OF_PAIR[0]: "history",
    OF_PAIR[1]: "history",
    OF_PAIR[2]: "data",
    "relative score of the source elsewhere": "history",
    "exponential rank of the source elsewhere": "history",
}
"""Inputs of the trees that are neither measures nor recipes, and their evidence groups."""


@dataclass(frozen=True)
class BaseModels:
    """Process and regressor, fitted on some transfers.

    Attributes:
        process: process with all cells.
        columns: columns of measures and recipes that were learned from.
        regressor: trees, fitted on inputs of target cold start; None before they are fitted.
    """

    process: PairProcess
    columns: tuple[Column, ...]
    regressor: Booster | None = None

    @property
    def matrix(self) -> PerformanceMatrix:
        """The observed cells."""
        return self.process.matrix

    @property
    def input_columns(self) -> tuple[Column, ...]:
        """Inputs of the trees, in order."""
        own = (Column(name=name, measure=name, version=1, better="unknown", group=group) for name, group in OWN_INPUTS.items())
        return (*own, *self.matrix.columns, *self.columns)

    def forecasts(self, candidates: Candidates) -> np.ndarray:
        """(n, m) forecasts of new rows by each of MODELS: relative scores, and exponential ranks."""
        rows = self.matrix.rows_of(candidates)
        relative, top = self.process.forecasts(rows)
        inputs = self._inputs(self.process, rows, top.total, candidates)
        return np.stack([relative.total, top.total + margins(self._trees, inputs, candidates.query_ids)], axis=1)

    @property
    def _trees(self) -> Booster:
        assert self.regressor is not None, "the trees are not fitted yet"
        return self.regressor

    def regimes(self, candidates: Candidates) -> np.ndarray:
        """(n,) the cold-start regime of each row."""
        return regimes_of(self.matrix, self.matrix.rows_of(candidates))

    def contributions(self, candidates: Candidates, chosen: np.ndarray) -> np.ndarray:
        """Contributions of the inputs to the models' forecasts: exact for the process, Shapley values for the trees.

        Args:
            candidates: n rows; all rows of their queries are needed for z-scores.
            chosen: (k,) numbers of the rows to explain.

        Returns:
            (m, k, f) contributions by input column. They leave out a constant that is the same for all rows of a query.
        """
        rows = self.matrix.rows_of(candidates)
        forecasts = self.process.forecasts(rows)
        inputs = self._inputs(self.process, rows, forecasts[1].total, candidates)
        result = np.zeros((len(MODELS), len(chosen), inputs.shape[1]))
        for own, parts in zip(result, forecasts, strict=True):  # both models start from the process
            own[:, 0], own[:, 1 : 1 + len(OF_PAIR)] = parts.effects[chosen], parts.pair[chosen]
            own[:, len(OWN_INPUTS) : len(OWN_INPUTS) + len(self.matrix.columns)] = parts.evidence[chosen]
        result[1] += contributions(self._trees, inputs[chosen])
        return result

    def _inputs(self, process: PairProcess, rows: Rows, top: np.ndarray, candidates: Candidates) -> np.ndarray:
        values = candidates.matrix([column.name for column in self.columns])
        parts = (top[:, None], process.of_pair(rows), process.elsewhere(rows), rows.evidence, values)
        return np.concatenate(parts, axis=1)

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
        """(n, f) inputs of the observed transfers in target cold start; NaN where only that target shows the source."""
        result = np.full((len(transfers), len(self.input_columns)), np.nan)
        every = self.matrix.rows_of(transfers.candidates)
        for own, process in self.masked(transfers, COLD):
            rows = every.take(own)  # with z-scores of the whole query
            result[own] = self._inputs(process, rows, process.forecasts(rows)[1].total, transfers.candidates.take(own))
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
    inputs, top = models.examples(transfers), outcomes(transfers.score, transfers.candidates.query_ids)[:, 1]
    known = np.isfinite(inputs[:, 0])
    return replace(models, regressor=fit_regressor(inputs[known], (top - inputs[:, 0])[known]))
