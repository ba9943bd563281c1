"""The base models together: what each says of a row, in the regime that the row is in, and why."""

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
    """Process, ranker and regressor, given some transfers.

    Attributes:
        process: given all cells.
        columns: measures and recipes that were learned from.
        boosters: trees by name, fitted on rows described as in target cold start; none before.
    """

    process: PairProcess
    columns: tuple[Column, ...]
    boosters: dict[str, Booster] = field(default_factory=dict)

    @property
    def matrix(self) -> PerformanceMatrix:
        """What was observed."""
        return self.process.matrix

    @property
    def input_columns(self) -> tuple[Column, ...]:
        """What trees see of a row, in order."""
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
        """Why the models say what they say of some rows: exact for the process, Shapley values for trees.

        Args:
            candidates: n rows, by which standings are taken.
            chosen: (k,) numbers of those to explain.

        Returns:
            (m, k, f) by input column, whose first three are the history's; what remains says the same of a query's rows.
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
        """Row numbers of observed transfers, with the process as these would have known it in a regime.

        Args:
            transfers: the n transfers that the models were given.
            regime: the regime; without examples of it there is none.
            most: at most so many parts, evenly chosen.
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
            if regime == "source cold start":  # the others' relative scores must not know its scores, either
                matrix = performance_matrix(transfers.take(of_rows != number), measures)
            if len(own):
                yield own, PairProcess(matrix, self.process.history)

    def examples(self, transfers: Transfers) -> np.ndarray:
        """(n, f) inputs of the observed transfers, described as in target cold start."""
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
        history: whether other targets' outcomes may be used.
    """
    measures = [column for column in columns if column.group != "recipe"]
    models = BaseModels(PairProcess(performance_matrix(transfers, measures), history), tuple(columns))
    inputs, query_ids = models.examples(transfers), transfers.candidates.query_ids
    outcome = relative_scores(transfers.score, query_ids)
    ranker, regressor = fit_ranker(inputs, outcome, query_ids), fit_regressor(inputs, outcome - inputs[:, 0])
    return replace(models, boosters=dict(zip(TREES, (ranker, regressor), strict=True)))
