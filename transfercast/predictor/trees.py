"""Boosted trees over all evidence (XGBoost): a ranker, and a regressor of the process's residuals.

The inputs of a row are the process's forecast and its terms of reciprocity, each measure as a z-score within the query and as
it is, and the recipe. The ranker is LambdaMART (`rank:ndcg`; Burges 2010); relevance is the rank from below. The regressor
fits, by least squares, relative scores minus the process's forecast, which is added again: gradient boosting that starts from
the process. There are many bins, because the best few of two hundred sources must not share one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import rankdata

from transfercast.predictor.relative import rows_by_query

if TYPE_CHECKING:
    from xgboost import Booster

ROUNDS = 40
MOST_RELEVANCE = 31
"""Largest relevance for which XGBoost computes the gain 2^relevance - 1."""

_PARAMETERS: dict[str, Any] = {
    "base_score": 0.0,
    "max_depth": 3,
    "eta": 0.1,
    "lambda": 10.0,
    "min_child_weight": 5.0,
    "subsample": 0.8,
    "num_parallel_tree": 4,
    "tree_method": "hist",
    "max_bin": 512,
    "nthread": 1,
    "seed": 0,
}
"""Small trees with strong penalties, because targets are few; several trees in each round reduce the effect of chance."""


def fit_ranker(inputs: np.ndarray, outcome: np.ndarray, query_ids: np.ndarray) -> Booster:
    """Fit trees that rank, in one thread.

    Args:
        inputs: (n, f) inputs, NaN where missing.
        outcome: (n,) relative scores.
        query_ids: (n,) query of each row, numbers from 0.
    """
    import xgboost

    order = np.argsort(query_ids, kind="stable")
    matrix = xgboost.DMatrix(inputs[order], label=relevance(outcome, query_ids)[order], qid=query_ids[order], nthread=1)
    return xgboost.train({"objective": "rank:ndcg", **_PARAMETERS}, matrix, num_boost_round=ROUNDS)


def fit_regressor(inputs: np.ndarray, residual: np.ndarray) -> Booster:
    """Fit trees to (n,) residuals of the process, in one thread; `inputs` as in `fit_ranker`."""
    import xgboost

    matrix = xgboost.DMatrix(inputs, label=residual, nthread=1)
    return xgboost.train({"objective": "reg:squarederror", **_PARAMETERS}, matrix, num_boost_round=ROUNDS)


def relevance(outcome: np.ndarray, query_ids: np.ndarray) -> np.ndarray:
    """(n,) ranks from below within each query, from 0; in large queries the best has MOST_RELEVANCE, and low ranks are 0."""
    result = np.zeros(len(outcome))
    for rows in rows_by_query(query_ids):
        from_below = rankdata(outcome[rows], method="min") - 1
        result[rows] = np.maximum(from_below - max(0, from_below.max() - MOST_RELEVANCE), 0)
    return result


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
