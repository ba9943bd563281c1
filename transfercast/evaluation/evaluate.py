"""Evaluation of held-out forecasts: orders by NDCG, regret and hours, scores by error and coverage; means over targets.

Intervals are BCa bootstraps over targets (Efron 1987). There are none below FEWEST_FOR_AN_INTERVAL targets: intervals from
resampling three to nine targets cover far less than their nominal coverage.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import spearmanr

from transfercast.core.errors import InputError
from transfercast.core.notebook import table_html
from transfercast.evaluation.holdout import By, HeldOut
from transfercast.predictor.data import Transfers
from transfercast.predictor.intervals import BOUNDS
from transfercast.predictor.metrics import REGRET_AT, ndcg, regret, share_of_time
from transfercast.predictor.relative import rows_by_query

RANDOM = "random order"
RMSE_AT = (5, 10, 20, 50, 100)
TIED_DRAWS = 40
"""Number of random orders of equal candidates over which a curve is averaged."""

BOOTSTRAPS = 2000
FEWEST_FOR_AN_INTERVAL = 10


@dataclass(frozen=True)
class Interval:
    """A mean over targets, with the ends of its 95 % interval; NaN if there are too few targets for an interval."""

    mean: float
    low: float
    high: float

    @property
    def is_known(self) -> bool:
        """Whether there is an interval."""
        return bool(np.isfinite(self.low))


@dataclass(frozen=True)
class Order:
    """Quality of one order: means over targets.

    Attributes:
        name: name of the order.
        ndcg: NDCG, in [0, 1].
        regret: regret by k, in percent of the best score.
        spearman: rank correlation with the true scores.
        time_share: hours until the best score so far is within 1 % of the best, as a share of the hours of all trainings.
        curve: (m,) mean best score so far at each of `SHARES` of the target's hours; it starts with the target alone.
        first: (2, K) for k = 1 to K: share of all hours that the first k trainings of every target take, and the mean of
            their best scores, without the target alone: performance against hours as in the ANSAT paper.
    """

    name: str
    ndcg: Interval
    regret: dict[int, Interval]
    spearman: Interval
    time_share: Interval
    curve: np.ndarray
    first: np.ndarray

    def as_json(self) -> dict[str, Any]:
        """Plain values; intervals as [mean, low, high]."""
        return {
            "order": self.name,
            "ndcg": _listed(self.ndcg),
            **{f"regret@{k}": _listed(interval) for k, interval in self.regret.items()},
            "spearman": _listed(self.spearman),
            "time_share": _listed(self.time_share),
            "curve": self.curve.tolist(),
            "first": self.first.tolist(),
        }

    def row(self) -> dict[str, Any]:
        """The means, for a table: NDCG and Spearman as they are, regrets in percent of the best score."""
        return {
            "order": self.name,
            "NDCG": self.ndcg.mean,
            **{f"regret@{k}": interval.mean for k, interval in self.regret.items()},
            "Spearman": self.spearman.mean,
            "time share": self.time_share.mean,
        }


SHARES = np.linspace(0, 1, 101)
"""Shares of the hours of all trainings at which curves are given."""


@dataclass(frozen=True)
class Evaluation:
    """Results of a held-out evaluation.

    Attributes:
        by: what was held out.
        targets, rows: numbers of evaluated targets and rows.
        orders: quality of each order, the predictor's first.
        columns: orders by single columns of measures with several columns, which `orders` has by the mean rank of these.
        rmse: root mean squared error over all rows, in score units.
        rmse_at: the same over the k rows with the highest forecasts, by k.
        coverage, width: coverage and mean width of 90 % bounds, by kind of interval; the width is in score units.
        brier: Brier score of the probability of improvement over the baseline; NaN if no baseline is known.
        hours: hours of all trainings.
    """

    by: By
    targets: int
    rows: int
    orders: tuple[Order, ...]
    columns: tuple[Order, ...]
    rmse: float
    rmse_at: dict[int, float]
    coverage: dict[str, Interval]
    width: dict[str, float]
    brier: float
    hours: float

    @property
    def predictor(self) -> Order:
        """The predictor's own order."""
        return self.orders[0]

    def order(self, name: str) -> Order:
        """The order with this name."""
        return next(order for order in self.orders if order.name == name)

    def _repr_html_(self) -> str:
        """The orders in a notebook, the best NDCG first."""
        best_first = sorted(self.orders, key=lambda order: -order.ndcg.mean)
        summary = f"Each {self.by} held out: {self.targets} targets, {self.rows} transfers; regret in % of the best"
        return table_html(summary, [order.row() for order in best_first])

    def as_json(self) -> dict[str, Any]:
        """Plain values; intervals as [mean, low, high], with NaN where there is none."""
        return {
            "by": self.by,
            "targets": self.targets,
            "rows": self.rows,
            "rmse": self.rmse,
            "rmse_at": {str(k): value for k, value in self.rmse_at.items()},
            "coverage": {kind: _listed(interval) for kind, interval in self.coverage.items()},
            "width": self.width,
            "brier": self.brier,
            "hours": self.hours,
            "orders": [order.as_json() for order in self.orders],
            "columns": [order.as_json() for order in self.columns],
        }


def evaluate(forecast: HeldOut, only: np.ndarray | None = None, seed: int = 0) -> Evaluation:
    """Evaluate held-out forecasts.

    Args:
        forecast: forecasts of n rows.
        only: (n,) mask of the rows to evaluate, if the others were only there to learn from. By default all.
        seed: seed of the orders of equal candidates in curves, and of the bootstrap.

    Raises:
        InputError: if no query has two rows to evaluate.
    """
    rows = np.ones(len(forecast.score), dtype=bool) if only is None else only
    transfers = forecast.transfers
    by_query = (query[rows[query]] for query in rows_by_query(transfers.candidates.query_ids))
    ranked = [query for query in by_query if len(query) > 1]
    if not ranked:
        raise InputError("no target has two observed candidates, so no order can be evaluated. Observe more.")
    names = np.array([transfers.candidates.targets[group[0]] for group in ranked])
    draw = _Bootstrap(names, seed)
    rng = np.random.default_rng(seed)
    orders = forecast.orders() | {RANDOM: np.zeros(len(transfers))}
    judged_orders, columns = (
        tuple(_order(name, values, transfers, ranked, draw, rng) for name, values in part.items())
        for part in (orders, forecast.columns())
    )
    errors = forecast.score - transfers.score
    best_first = np.nonzero(rows)[0][np.argsort(-forecast.score[rows], kind="stable")]
    inside = {kind: (forecast.lower[kind] <= transfers.score) & (transfers.score <= forecast.upper[kind]) for kind in BOUNDS}
    by_row = _Bootstrap(transfers.candidates.targets[rows], seed)
    known = rows & np.isfinite(forecast.improvement)
    beat = transfers.score > transfers.candidates.baseline
    return Evaluation(
        by=forecast.by,
        targets=len(np.unique(transfers.candidates.targets[rows])),
        rows=int(rows.sum()),
        orders=judged_orders,
        columns=columns,
        rmse=float(np.sqrt((errors[rows] ** 2).mean())),
        rmse_at={k: float(np.sqrt((errors[best_first[:k]] ** 2).mean())) for k in RMSE_AT if k <= rows.sum()},
        coverage={kind: by_row.interval(inside[kind][rows].astype(np.float64)) for kind in BOUNDS},
        width={kind: float((forecast.upper[kind] - forecast.lower[kind])[rows].mean()) for kind in BOUNDS},
        brier=float(((forecast.improvement - beat)[known] ** 2).mean()) if known.any() else float("nan"),
        hours=float(transfers.hours[rows].sum()),
    )


class _Bootstrap:
    """Means over rows, with intervals from drawing whole targets with all their rows."""

    def __init__(self, names: np.ndarray, seed: int) -> None:
        distinct, self._of = np.unique(names, return_inverse=True)
        count = len(distinct)
        drawn = np.random.default_rng(seed).integers(0, count, (BOOTSTRAPS, count))
        self._times = np.stack([np.bincount(row, minlength=count) for row in drawn])  # (b, t)

    def interval(self, values: np.ndarray) -> Interval:
        """The mean of (n,) values with its interval; NaN values are left out."""
        known = np.isfinite(values)
        if not known.any():
            return Interval(float("nan"), float("nan"), float("nan"))
        size = self._times.shape[1]
        totals = np.bincount(self._of[known], values[known], minlength=size)
        counts = np.bincount(self._of[known], minlength=size)
        mean = float(values[known].mean())
        if (counts > 0).sum() < FEWEST_FOR_AN_INTERVAL:
            return Interval(mean, float("nan"), float("nan"))
        drawn_counts = self._times @ counts
        drawn = (self._times @ totals)[drawn_counts > 0] / drawn_counts[drawn_counts > 0]
        there = counts > 0
        without = (totals.sum() - totals[there]) / (counts.sum() - counts[there])
        return Interval(mean, *_bca(mean, drawn, without))


def _bca(estimate: float, drawn: np.ndarray, without: np.ndarray) -> tuple[float, float]:
    """Ends of the 95 % interval, bias-corrected and accelerated.

    Args:
        estimate: mean over all targets.
        drawn: (b,) means of bootstrap samples.
        without: (t,) means without each target.
    """
    below = ((drawn < estimate).mean() + (drawn <= estimate).mean()) / 2
    if not 0 < below < 1:  # all draws are the same, or lie on one side
        return float(drawn.min()), float(drawn.max())
    away = without.mean() - without
    squares = float((away**2).sum())
    acceleration = float((away**3).sum()) / (6 * squares**1.5) if squares > 0 else 0.0
    bias = ndtri(below)
    moved = bias + ndtri(np.array([0.025, 0.975]))
    low, high = np.quantile(drawn, ndtr(bias + moved / (1 - acceleration * moved)))
    return float(low), float(high)


@dataclass(frozen=True, slots=True)
class _Judgement:
    """Quality of one order on one target; see Order."""

    ndcg: float
    regret: tuple[float, ...]
    spearman: float
    time_share: float
    curve: np.ndarray
    first: np.ndarray


def _order(
    name: str, values: np.ndarray, transfers: Transfers, ranked: list[np.ndarray], draw: _Bootstrap, rng: np.random.Generator
) -> Order:
    values = np.where(np.isfinite(values), values, -np.inf)
    parts = [_judge(values[group], transfers, group, rng) for group in ranked]

    def interval(figures: list[float]) -> Interval:
        return draw.interval(np.array(figures))

    return Order(
        name=name,
        ndcg=interval([part.ndcg for part in parts]),
        regret={k: interval([part.regret[number] for part in parts]) for number, k in enumerate(REGRET_AT)},
        spearman=interval([part.spearman for part in parts]),
        time_share=interval([part.time_share for part in parts]),
        curve=np.mean([part.curve for part in parts], axis=0),
        first=_first_of_all([part.first for part in parts]),
    )


def _judge(values: np.ndarray, transfers: Transfers, group: np.ndarray, rng: np.random.Generator) -> _Judgement:
    truth, hours = transfers.score[group], transfers.hours[group]
    hours = hours if hours.sum() > 0 else np.ones(len(truth))
    known = np.isfinite(values)
    has_order = known.sum() > 1 and np.ptp(values[known]) > 0 and np.ptp(truth[known]) > 0
    baseline = float(transfers.candidates.baseline[group[0]])
    draws = TIED_DRAWS if len(np.unique(values)) < len(values) else 1
    orders = [np.lexsort((rng.permutation(len(values)), -values)) for _ in range(draws)]
    return _Judgement(
        ndcg=ndcg(values, truth),
        regret=tuple(regret(values, truth, k) for k in REGRET_AT),
        spearman=float(spearmanr(values[known], truth[known]).statistic) if has_order else float("nan"),
        time_share=share_of_time(values, truth, hours),
        curve=np.mean([_curve(order, truth, hours, baseline) for order in orders], axis=0),
        first=np.mean([_first(order, truth, hours) for order in orders], axis=0),
    )


def _curve(order: np.ndarray, truth: np.ndarray, hours: np.ndarray, baseline: float) -> np.ndarray:
    """(m,) best score so far at each of SHARES of the hours; before the first training, the baseline, or the lowest score."""
    spent = np.cumsum(hours[order]) / hours.sum()
    start = baseline if np.isfinite(baseline) else float(truth.min())
    in_hand = np.maximum.accumulate(np.concatenate([[start], truth[order]]))
    return np.asarray(in_hand[np.searchsorted(spent, SHARES + 1e-9, side="right")])


def _first(order: np.ndarray, truth: np.ndarray, hours: np.ndarray) -> np.ndarray:
    """(2, n) hours of the first k trainings of a target, and their best score, for k = 1 to n."""
    return np.stack([np.cumsum(hours[order]), np.maximum.accumulate(truth[order])])


def _first_of_all(parts: list[np.ndarray]) -> np.ndarray:
    """(2, K) share of all hours, and mean best score, after the first k trainings of every target, or all if it has fewer."""
    longest = max(part.shape[1] for part in parts)
    hours, scores = np.stack([np.pad(part, ((0, 0), (0, longest - part.shape[1])), mode="edge") for part in parts], axis=1)
    return np.stack([hours.sum(axis=0) / hours[:, -1].sum(), scores.mean(axis=0)])


def _listed(interval: Interval) -> list[float]:
    return [interval.mean, interval.low, interval.high]
