"""The learners: ridge, and XGBoost that starts from ridge; all from (n, f) features to (n,) outcomes.

With few targets a plain ridge was better than plain trees, so trees take the ridge's forecasts as their base margin.
For the rows that trees learn from, those are made by ridges that had not seen the row's target: otherwise the trees
would learn to correct a margin that is better in training than it will be. Trees fit the outcomes, or their order, or
both, and then the forecast is the mean of the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from scipy.stats import rankdata

from transfercast.core.choices import Learner

if TYPE_CHECKING:
    from xgboost import Booster

LEARNERS: tuple[Learner, ...] = get_args(Learner)
REGRESSORS: tuple[Learner, ...] = ("trees on ridge", "ridge")
"""Learners of more than an order. Of each list the first is taken unless another is clearly better."""

Part = Literal["trees", "ranker"]
PARTS: dict[Learner, tuple[Part, ...]] = {
    "trees and ranker on ridge": ("trees", "ranker"),
    "trees on ridge": ("trees",),
    "ranker on ridge": ("ranker",),
    "ridge": (),
}
_OBJECTIVES: dict[Part, str] = {"trees": "reg:squarederror", "ranker": "rank:ndcg"}

PENALTIES = (30.0, 100.0, 300.0, 1000.0, 3000.0, 10000.0)
"""Of the ridge, on standardised features."""

_FIXED: dict[str, Any] = {
    "subsample": 0.8,
    "colsample_bytree": 0.5,
    "num_parallel_tree": 16,  # which columns a tree is given moves the ranking of few targets: several share each round
    "tree_method": "hist",
    "max_bin": 64,
    "nthread": 1,
    "seed": 0,
}


@dataclass(frozen=True, slots=True)
class Settings:
    """What may be tuned.

    Attributes:
        depth, eta, rounds, penalty_leaf, weight_leaf: of the trees (XGBoost's max_depth, eta, rounds, lambda,
            min_child_weight).
    """

    depth: int = 3
    eta: float = 0.1
    rounds: int = 30
    penalty_leaf: float = 10.0
    weight_leaf: float = 5.0


@dataclass(frozen=True, slots=True)
class Ridge:
    """Least squares with a penalty, on standardised features; a missing value counts as the mean.

    Attributes:
        mean, scale, weights: (f,).
        intercept: the outcomes' mean.
    """

    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    intercept: float

    def parts(self, features: np.ndarray) -> np.ndarray:
        """(n, f) contributions, which sum with the intercept to the forecast."""
        scaled = (features - self.mean) / self.scale
        return np.asarray(np.where(np.isfinite(scaled), scaled, 0.0) * self.weights)

    def predict(self, features: np.ndarray) -> np.ndarray:
        """(n,) forecasts."""
        return np.asarray(self.parts(features).sum(axis=1) + self.intercept)


@dataclass(frozen=True, slots=True)
class Model:
    """A fitted learner: a ridge, and the mean of what its boosters add, where it has some."""

    ridge: Ridge
    boosters: dict[Part, Booster]

    def predict(self, features: np.ndarray) -> np.ndarray:
        """(n,) forecasts from (n, f) features, in one thread."""
        return self.predict_as((tuple(self.boosters),), features)[0]

    def predict_as(self, mixtures: Sequence[tuple[Part, ...]], features: np.ndarray) -> list[np.ndarray]:
        """(n,) forecasts of each of several mixtures of the model's boosters; an empty one is the ridge alone."""
        ridge = self.ridge.predict(features)
        # the boosters' own base scores are 0, so that margins add up
        added = {
            part: booster.inplace_predict(features, predict_type="margin").astype(np.float64) if len(features) else ridge
            for part, booster in self.boosters.items()
        }
        return [ridge + np.mean([added[part] for part in parts], axis=0) if parts else ridge for parts in mixtures]

    def explain(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n, f) additive contributions and (n,) what remains; together the forecast."""
        import xgboost

        parts, rest = self.ridge.parts(features), np.full(len(features), self.ridge.intercept)
        for booster in self.boosters.values():
            shares = booster.predict(xgboost.DMatrix(features, nthread=1), pred_contribs=True) / len(self.boosters)
            parts, rest = parts + shares[:, :-1], rest + shares[:, -1]
        return parts, rest


def fit_ridges(features: np.ndarray, outcomes: np.ndarray, penalties: Sequence[float]) -> list[Ridge]:
    """Least squares with each of `penalties` times the squared weights."""
    known = np.isfinite(features)
    counts = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, features, 0.0).sum(axis=0) / counts
    centred = np.where(known, features - mean, 0.0)
    scale = np.sqrt((centred**2).sum(axis=0) / counts)
    scale = np.where(scale > 1e-9, scale, 1.0)
    scaled = centred / scale
    intercept = float(outcomes.mean())
    gram, toward = scaled.T @ scaled, scaled.T @ (outcomes - intercept)
    solved = [np.linalg.solve(gram + penalty * np.eye(len(gram)), toward) for penalty in penalties]
    return [Ridge(mean, scale, weights, intercept) for weights in solved]


def fit_model(
    parts: Sequence[Part],
    settings: Settings,
    features: np.ndarray,
    outcomes: np.ndarray,
    groups: np.ndarray,
    targets: np.ndarray,
) -> Model:
    """Fit a ridge, and boosters on top of it.

    Args:
        parts: the boosters; see PARTS.
        settings: of the boosters.
        features: (n, f), NaN where missing.
        outcomes: (n,) higher is better.
        groups: (n,) numbers of what is ranked together.
        targets: (n,) names, by which ridges for the margins are kept from their own rows.
    """
    ridge, margin = _ridge_and_margins(features, outcomes, targets)
    if not features.shape[1]:
        return Model(ridge, {})
    return Model(ridge, {part: _boosted(part, settings, features, outcomes, margin, groups) for part in parts})


def _ridge_and_margins(features: np.ndarray, outcomes: np.ndarray, targets: np.ndarray) -> tuple[Ridge, np.ndarray]:
    """The ridge whose penalty errs least on targets left out, and what such ridges said of the rows of those."""
    names = np.unique(targets)
    if len(names) < 2:
        return fit_ridges(features, outcomes, PENALTIES[-1:])[0], np.full(len(outcomes), float(outcomes.mean()))
    margins = {penalty: np.empty(len(outcomes)) for penalty in PENALTIES}
    for own in (targets == name for name in names):
        for penalty, ridge in zip(PENALTIES, fit_ridges(features[~own], outcomes[~own], PENALTIES), strict=True):
            margins[penalty][own] = ridge.predict(features[own])
    best = min(PENALTIES, key=lambda penalty: float(((outcomes - margins[penalty]) ** 2).mean()))
    return fit_ridges(features, outcomes, [best])[0], margins[best]


def _boosted(
    part: Part, settings: Settings, features: np.ndarray, outcomes: np.ndarray, margin: np.ndarray, groups: np.ndarray
) -> Booster:
    import xgboost

    parameters = {
        **_FIXED,
        "objective": _OBJECTIVES[part],
        "base_score": 0.0,
        "max_depth": settings.depth,
        "eta": settings.eta,
        "lambda": settings.penalty_leaf,
        "min_child_weight": settings.weight_leaf,
    }
    if part == "trees":
        matrix = xgboost.DMatrix(features, label=outcomes, base_margin=margin, nthread=1)
    else:
        order = np.argsort(groups, kind="stable")
        matrix = xgboost.DMatrix(
            features[order],
            label=_relevance(outcomes, groups)[order],
            base_margin=margin[order],
            qid=groups[order],
            nthread=1,
        )
    return xgboost.train(parameters, matrix, num_boost_round=settings.rounds)


def _relevance(outcomes: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """(n,) the rank from below within each group, at most 31, which is as far as XGBoost's gains go."""
    relevance = np.zeros(len(outcomes))
    for group in np.unique(groups):
        own = groups == group
        from_below = rankdata(outcomes[own], method="min") - 1
        relevance[own] = np.maximum(from_below - max(0, from_below.max() - 31), 0)
    return relevance
