"""How good forecasts are for targets that were held out whole: RMSE, NDCG, regret@k, coverage.

Per target, the relevance of a source is n minus its true rank, its gain 2^relevance - 1; NDCG runs over the full ranking.
regret@k = 100 (best - best of the top k) / best, in points. Both are means over targets with at least two candidates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import rankdata

from transfercast.predictor.bounds import half_width
from transfercast.predictor.design import Design
from transfercast.predictor.regressor import Fitted

REGRET_AT = (1, 3, 5)

Fitting = Callable[[Design, np.ndarray], Fitted]


@dataclass(frozen=True, slots=True)
class Metrics:
    """Held-out quality; NaN where too few targets were observed to hold one out.

    Attributes:
        rmse: root mean squared error over all rows, in the metric's units.
        ndcg: in [0, 1], mean over targets.
        regret: in points, by k.
        coverage: share of rows inside 90 % bounds that were calibrated on the other held-out targets.
        targets, rows: how many were judged.
    """

    rmse: float
    ndcg: float
    regret: dict[int, float]
    coverage: float
    targets: int
    rows: int

    def as_json(self) -> dict[str, Any]:
        """Plain values, regret by `regret@k`."""
        content = asdict(self)
        regret = content.pop("regret")
        return {**content, **{f"regret@{k}": value for k, value in regret.items()}}


UNKNOWN = Metrics(math.nan, math.nan, dict.fromkeys(REGRET_AT, math.nan), math.nan, 0, 0)


def ndcg(forecast: np.ndarray, truth: np.ndarray) -> float:
    """NDCG of one target's full ranking, in [0, 1]; ties in the forecast are broken by row order."""
    relevance = len(truth) - rankdata(-truth, method="min")
    gains = 2.0**relevance - 1
    discounts = 1 / np.log2(np.arange(2, len(truth) + 2))
    order = np.argsort(-forecast, kind="stable")
    ideal = (np.sort(gains)[::-1] * discounts).sum()
    return float((gains[order] * discounts).sum() / ideal) if ideal > 0 else 1.0


def regret(forecast: np.ndarray, truth: np.ndarray, k: int) -> float:
    """What the best of the k best-ranked falls short of the best, in percent of the best; 0 where the best is 0."""
    top = np.argsort(-forecast, kind="stable")[:k]
    best = float(truth.max())
    return 100 * (best - float(truth[top].max())) / best if best > 0 else 0.0


def by_target(targets: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Each target with the mask of its rows."""
    for name in dict.fromkeys(targets):
        yield name, targets == name


def held_out(design: Design, scores: np.ndarray, fitting: Fitting) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Forecasts of each target by what was fitted on the others alone.

    Returns:
        (n,) forecasts, and the residuals (truth minus forecast) by target. NaN and empty with fewer than two targets.
    """
    forecasts = np.full(len(scores), np.nan)
    residuals: dict[str, np.ndarray] = {}
    if len(set(design.targets)) < 2:
        return forecasts, residuals
    for name, rows in by_target(design.targets):
        fitted = fitting(design.take(~rows), scores[~rows])
        forecasts[rows] = fitted.predict(design.take(rows)).score
        residuals[name] = scores[rows] - forecasts[rows]
    return forecasts, residuals


def metrics_of(design: Design, scores: np.ndarray, forecasts: np.ndarray, residuals: dict[str, np.ndarray]) -> Metrics:
    """Quality of held-out forecasts."""
    if not residuals:
        return UNKNOWN
    ranked = [(forecasts[rows], scores[rows]) for _, rows in by_target(design.targets) if rows.sum() >= 2]
    errors = np.concatenate(list(residuals.values()))
    return Metrics(
        rmse=float(np.sqrt((errors**2).mean())),
        ndcg=float(np.mean([ndcg(f, t) for f, t in ranked])) if ranked else math.nan,
        regret={k: float(np.mean([regret(f, t, k) for f, t in ranked])) if ranked else math.nan for k in REGRET_AT},
        coverage=_coverage(residuals),
        targets=len(residuals),
        rows=len(errors),
    )


def _coverage(residuals: dict[str, np.ndarray], nominal: float = 0.9) -> float:
    inside = []
    for name, own in residuals.items():
        others = np.concatenate([r for other, r in residuals.items() if other != name])
        inside.append(np.abs(own) <= half_width(others, nominal))
    return float(np.concatenate(inside).mean())


def evaluate(design: Design, scores: np.ndarray, fitting: Fitting) -> tuple[Metrics, dict[str, np.ndarray]]:
    """Quality with each target held out, and the residuals by target.

    Args:
        design, scores: all observations.
        fitting: makes a regressor of the observations it is given, and of nothing else.
    """
    forecasts, residuals = held_out(design, scores, fitting)
    return metrics_of(design, scores, forecasts, residuals), residuals
