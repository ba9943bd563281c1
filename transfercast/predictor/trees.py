"""Boosted trees over all evidence (XGBoost): a regressor of exponential ranks minus the process's forecast of them.

The inputs of a row are the process's forecast and its terms of the pair, the source's mean outcomes on other targets, each
measure as a z-score within the query and as it is, and the recipe. The regressor fits, by least squares, exponential ranks
minus the process's forecast, which is added again: gradient boosting that starts from the process (Friedman 2001). There are
many bins, because the best few of two hundred sources must not share one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from transfercast.predictor.relative import rows_by_query

if TYPE_CHECKING:
    from xgboost import Booster

ROUNDS = 40

LEAST_ROWS, LEAST_SHARE = 5.0, 1 / 200
"""Smallest leaf: so many rows, or this share of all rows if that is more; smaller leaves learn single sources by heart."""

_PARAMETERS: dict[str, Any] = {
    "base_score": 0.0,
    "max_depth": 3,
    "eta": 0.1,
    "lambda": 10.0,
    "subsample": 0.8,
    "num_parallel_tree": 4,
    "tree_method": "hist",
    "max_bin": 512,
    "nthread": 1,
    "seed": 0,
}
"""Small trees with strong penalties, because targets are few; several trees in each round reduce the effect of chance."""


def fit_regressor(inputs: np.ndarray, residual: np.ndarray) -> Booster:
    """Fit trees to (n,) residuals of the process, in one thread.

    Args:
        inputs: (n, f) inputs, NaN where missing.
        residual: (n,) exponential ranks minus the process's forecasts.
    """
    import xgboost

    if not len(inputs):  # XGBoost needs a row; of this one it learns nothing
        inputs, residual = np.zeros((1, inputs.shape[1])), np.zeros(1)
    matrix = xgboost.DMatrix(inputs, label=residual, nthread=1)
    parameters = {**_PARAMETERS, "min_child_weight": max(LEAST_ROWS, LEAST_SHARE * len(residual))}
    return xgboost.train({"objective": "reg:squarederror", **parameters}, matrix, num_boost_round=ROUNDS)


def margins(booster: Booster, inputs: np.ndarray, query_ids: np.ndarray) -> np.ndarray:
    """(n,) outputs of the trees for (n, f) rows minus their query's mean; they are comparable only within a query."""
    if not len(inputs):
        return np.empty(0)
    result = np.asarray(booster.inplace_predict(inputs, predict_type="margin"), dtype=np.float64)
    for rows in rows_by_query(query_ids):
        result[rows] -= result[rows].mean()
    return result


def contributions(booster: Booster, inputs: np.ndarray) -> np.ndarray:
    """(n, f) exact Shapley values (TreeSHAP, Lundberg 2018), without the expected output, which is the same for all rows."""
    import xgboost

    if not len(inputs):
        return np.empty(inputs.shape)
    return np.asarray(booster.predict(xgboost.DMatrix(inputs, nthread=1), pred_contribs=True)[:, :-1], dtype=np.float64)
