"""How good held-out forecasts are: their order by NDCG, regret and hours, scores by error and coverage; with bootstraps."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from transfercast.core.errors import InputError
from transfercast.predictor.bounds import BOUNDS
from transfercast.predictor.design import Observed
from transfercast.predictor.holdout import By, HeldOut
from transfercast.predictor.ranking import REGRET_AT, ndcg, regret, share_of_time

RANDOM = "random order"
RMSE_AT = (5, 10, 20, 50, 100)
RANDOM_DRAWS = 40
BOOTSTRAPS = 1000


@dataclass(frozen=True)
class Interval:
    """A mean over targets, with the 2.5 and 97.5 % points of its bootstrap over targets."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Order:
    """How good one way of ordering is: means over targets.

    Attributes:
        name: of the order.
        ndcg: in [0, 1].
        regret: in points, by k.
        spearman: rank correlation with the truth.
        time_share: share of the hours of trying all until within 1 % of the best.
        curve: (m,) mean best score in hand at each of `SHARES` of those hours.
    """

    name: str
    ndcg: Interval
    regret: dict[int, Interval]
    spearman: Interval
    time_share: Interval
    curve: np.ndarray

    def row(self) -> dict[str, Any]:
        """The means, for a table."""
        return {
            "order": self.name,
            "NDCG": self.ndcg.mean,
            **{f"regret@{k}": interval.mean for k, interval in self.regret.items()},
            "Spearman": self.spearman.mean,
            "time share": self.time_share.mean,
        }


SHARES = np.linspace(0, 1, 101)
"""Shares of the hours of trying all, at which curves are given."""


@dataclass(frozen=True)
class Evaluation:
    """What a held-out evaluation shows.

    Attributes:
        by: what was held out.
        targets, rows: how much was judged.
        orders: the predictor first.
        rmse: over all rows.
        rmse_at: over the k pairs forecast best, by k.
        coverage, width: of 90 % bounds, by kind; the width is a mean, in points of the metric.
        beats: Brier score of the probability to beat the baseline; NaN where no baseline is known.
        hours: of trying all.
        chosen: how many folds chose each learner.
    """

    by: By
    targets: int
    rows: int
    orders: tuple[Order, ...]
    rmse: float
    rmse_at: dict[int, float]
    coverage: dict[str, Interval]
    width: dict[str, float]
    beats: float
    hours: float
    chosen: dict[str, int]

    @property
    def predictor(self) -> Order:
        """The predictor's own order."""
        return self.orders[0]

    def as_json(self) -> dict[str, Any]:
        """Plain values; intervals as [mean, low, high]."""
        orders = [
            {
                "order": order.name,
                "ndcg": _listed(order.ndcg),
                **{f"regret@{k}": _listed(interval) for k, interval in order.regret.items()},
                "spearman": _listed(order.spearman),
                "time_share": _listed(order.time_share),
                "curve": order.curve.tolist(),
            }
            for order in self.orders
        ]
        return {
            "by": self.by,
            "targets": self.targets,
            "rows": self.rows,
            "rmse": self.rmse,
            "rmse_at": {str(k): value for k, value in self.rmse_at.items()},
            "coverage": {kind: _listed(interval) for kind, interval in self.coverage.items()},
            "width": self.width,
            "brier": self.beats,
            "hours": self.hours,
            "chosen": self.chosen,
            "orders": orders,
        }


def judged(forecast: HeldOut, only: np.ndarray | None = None, seed: int = 0) -> Evaluation:
    """Judge held-out forecasts.

    Args:
        forecast: of n rows.
        only: (n,) rows to judge by; the others were there to learn from. By default all.
        seed: of random orders and bootstrap.
    """
    rows = np.ones(len(forecast.score), dtype=bool) if only is None else only
    observed = forecast.observed
    ranked = [group for group in _groups(observed, rows) if len(group) > 1]
    if not ranked:
        raise InputError("no target has two observed candidates, so no order can be judged. Observe more.")
    names = np.array([observed.design.targets[group[0]] for group in ranked])
    draw = _Bootstrap(names, seed)
    rng = np.random.default_rng(seed)
    orders = [_order(name, values, observed, ranked, draw) for name, values in forecast.orders().items()]
    orders.append(_random_order(observed, ranked, draw, rng))
    errors = forecast.score - observed.score
    best_first = np.nonzero(rows)[0][np.argsort(-forecast.score[rows], kind="stable")]
    inside = {kind: (forecast.lower[kind] <= observed.score) & (observed.score <= forecast.upper[kind]) for kind in BOUNDS}
    by_row = _Bootstrap(observed.design.targets[rows], seed)
    known = rows & np.isfinite(forecast.beats)
    beat = observed.score > observed.design.baseline
    return Evaluation(
        by=forecast.by,
        targets=len(np.unique(observed.design.targets[rows])),
        rows=int(rows.sum()),
        orders=tuple(orders),
        rmse=float(np.sqrt((errors[rows] ** 2).mean())),
        rmse_at={k: float(np.sqrt((errors[best_first[:k]] ** 2).mean())) for k in RMSE_AT if k <= rows.sum()},
        coverage={kind: by_row.interval(inside[kind][rows].astype(np.float64)) for kind in BOUNDS},
        width={kind: float((forecast.upper[kind] - forecast.lower[kind])[rows].mean()) for kind in BOUNDS},
        beats=float(((forecast.beats - beat)[known] ** 2).mean()) if known.any() else float("nan"),
        hours=float(observed.hours[rows].sum()),
        chosen=dict(Counter(about["learner"] for about in forecast.chosen.values())),
    )


class _Bootstrap:
    """Means over rows with intervals over targets: whole targets are drawn, with all their rows."""

    def __init__(self, names: np.ndarray, seed: int) -> None:
        distinct, self._of = np.unique(names, return_inverse=True)
        drawn = np.random.default_rng(seed).integers(0, len(distinct), (BOOTSTRAPS, len(distinct)))
        self._times = np.stack([np.bincount(row, minlength=len(distinct)) for row in drawn])  # (b, t)

    def interval(self, values: np.ndarray) -> Interval:
        known = np.isfinite(values)
        if not known.any():
            return Interval(float("nan"), float("nan"), float("nan"))
        size = self._times.shape[1]
        totals = np.bincount(self._of[known], values[known], minlength=size)
        counts = np.bincount(self._of[known], minlength=size)
        drawn = (self._times @ totals) / np.maximum(self._times @ counts, 1)
        low, high = np.percentile(drawn[self._times @ counts > 0], [2.5, 97.5])
        return Interval(float(values[known].mean()), float(low), float(high))


def _order(name: str, values: np.ndarray, observed: Observed, ranked: list[np.ndarray], draw: _Bootstrap) -> Order:
    values = np.where(np.isfinite(values), values, -np.inf)
    parts = [_judge(values[group], observed, group) for group in ranked]
    return _summed(name, parts, draw)


def _random_order(observed: Observed, ranked: list[np.ndarray], draw: _Bootstrap, rng: np.random.Generator) -> Order:
    parts = []
    for group in ranked:
        draws = [_judge(rng.permutation(len(group)).astype(np.float64), observed, group) for _ in range(RANDOM_DRAWS)]
        parts.append(np.mean(draws, axis=0))
    return _summed(RANDOM, parts, draw)


def _judge(values: np.ndarray, observed: Observed, group: np.ndarray) -> np.ndarray:
    """NDCG, regrets, Spearman, share of time, and the curve, of one target."""
    truth, hours = observed.score[group], observed.hours[group]
    known = np.isfinite(values)
    told = known.sum() > 1 and np.ptp(values[known]) > 0 and np.ptp(truth[known]) > 0
    return np.concatenate([
        [ndcg(values, truth)],
        [regret(values, truth, k) for k in REGRET_AT],
        [float(spearmanr(values[known], truth[known]).statistic) if told else np.nan],
        [share_of_time(values, truth, hours)],
        _curve(values, truth, hours, float(observed.design.baseline[group[0]])),
    ])  # fmt: skip


def _curve(values: np.ndarray, truth: np.ndarray, hours: np.ndarray, baseline: float) -> np.ndarray:
    """(m,) best score in hand at each of SHARES of the hours; before the first, the baseline or the worst."""
    hours = hours if hours.sum() > 0 else np.ones(len(truth))
    order = np.argsort(-values, kind="stable")
    spent = np.cumsum(hours[order]) / hours.sum()
    start = baseline if np.isfinite(baseline) else float(truth.min())
    in_hand = np.maximum.accumulate(np.concatenate([[start], truth[order]]))
    return np.asarray(in_hand[np.searchsorted(spent, SHARES + 1e-9, side="right")])


def _summed(name: str, parts: list[np.ndarray], draw: _Bootstrap) -> Order:
    table = np.stack(parts)
    plain = [draw.interval(column) for column in table[:, : len(REGRET_AT) + 3].T]
    regrets = dict(zip(REGRET_AT, plain[1:-2], strict=True))
    return Order(name, plain[0], regrets, plain[-2], plain[-1], table[:, len(REGRET_AT) + 3 :].mean(axis=0))


def _groups(observed: Observed, rows: np.ndarray) -> list[np.ndarray]:
    groups = observed.design.groups
    return [found for group in range(groups.max() + 1) if len(found := np.nonzero((groups == group) & rows)[0])]


def _listed(interval: Interval) -> list[float]:
    return [interval.mean, interval.low, interval.high]
