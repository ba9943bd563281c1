"""How good forecasts are for what was held out whole: a target, or a base encoder.

For each fold the predictor is learned anew from the other observations: choice of learner, settings, levels, bounds and the
history's features know nothing of the fold. Beside its order stand those of each single measure, of the source's mean
gain on other targets, the largest source, a random order, and the oracle, which knows the truth.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from joblib import Parallel, delayed
from scipy.stats import spearmanr

from transfercast.core.choices import Bounds
from transfercast.core.errors import InputError
from transfercast.core.progress import progress
from transfercast.predictor.bounds import BOUNDS
from transfercast.predictor.design import Observed
from transfercast.predictor.learning import Learned, Options, learn
from transfercast.predictor.model import predictor_of
from transfercast.predictor.ranking import REGRET_AT, ndcg, regret, share_of_time
from transfercast.predictor.situations import Situation

By = Literal["target", "encoder", "target and encoder"]
BY: tuple[By, ...] = get_args(By)

PREDICTOR, RANDOM, ORACLE, LARGEST, MEAN_GAIN = "predictor", "random order", "oracle", "largest source", "mean gain elsewhere"
RMSE_AT = (5, 10, 20, 50, 100)
COVERAGE = 0.9
RANDOM_DRAWS = 40
BOOTSTRAPS = 1000
SIZE_COLUMN = "source_rows"


@dataclass(frozen=True)
class HeldOut:
    """Forecasts of n observed rows, each by a predictor that was learned without its fold.

    Attributes:
        observed: n transfers.
        by: what was held out together.
        score: (n,) forecasts.
        lower, upper: (n,) 90 % bounds, by kind.
        beats: (n,) probability to beat the target's own score.
        chosen: the choice of each fold, by its name.
    """

    observed: Observed
    by: By
    score: np.ndarray
    lower: dict[Bounds, np.ndarray]
    upper: dict[Bounds, np.ndarray]
    beats: np.ndarray
    chosen: dict[str, dict[str, Any]]

    def orders(self) -> dict[str, np.ndarray]:
        """(n,) by what each way of ordering sorts, higher first; NaN comes last. Random order is not among them."""
        design = self.observed.design
        orders = {PREDICTOR: self.score, ORACLE: self.observed.score}
        orders[MEAN_GAIN] = _mean_gain_elsewhere(self.observed, same_encoder=self.by != "encoder")
        for column in design.schema:
            if column.better == "unknown" or column.group == "recipe" or not _tells_apart(self.observed, column.name):
                continue
            values = design.matrix([column.name])[:, 0]
            orders[LARGEST if column.name == SIZE_COLUMN else column.name] = values if column.better == "higher" else -values
        return orders


def held_out(
    observed: Observed,
    options: Options = Options(),
    by: By = "target",
    jobs: int = 1,
    folds: np.ndarray | None = None,
    what: str = "held out",
) -> HeldOut:
    """Learn anew for each fold, and forecast it.

    Args:
        observed: n transfers.
        options: how to learn.
        by: `target` holds out all rows of a target; `encoder` all of a base encoder; `target and encoder` the rows of a
            target with one encoder, while those with others may be seen.
        jobs: folds at once; -1 for as many as there are cores.
        folds: (n,) names of folds of one's own, which must not part what `by` holds together; by default one each.
        what: for the progress bar.

    Raises:
        InputError: if there are fewer than two of what is to be held out.
    """
    folds = fold_names(observed, by) if folds is None else folds
    names = list(dict.fromkeys(folds.tolist()))
    if len(names) < 2:
        raise InputError(f"the history holds one {by} only, so none can be held out. Observe another, or hold out by target.")
    situations: dict[By, tuple[Situation, ...]] = {
        "target": ("new target",),
        "encoder": ("new target", "new encoder"),
        "target and encoder": ("new target", "known target"),
    }
    score, beats = np.full(len(observed), np.nan), np.full(len(observed), np.nan)
    lower = {kind: np.full(len(observed), np.nan) for kind in BOUNDS}
    upper = {kind: np.full(len(observed), np.nan) for kind in BOUNDS}
    chosen = {}
    parallel = Parallel(n_jobs=jobs, return_as="generator")
    done = parallel(delayed(_fold)(observed, folds == name, options, situations[by]) for name in names)
    for name, fold in zip(names, progress(done, what, len(names)), strict=True):
        rows = folds == name
        chosen[name], score[rows], beats[rows] = fold[0], fold[1], fold[2]
        for kind in BOUNDS:
            lower[kind][rows], upper[kind][rows] = fold[3][kind]
    return HeldOut(observed, by, score, lower, upper, beats, chosen)


def fold_names(observed: Observed, by: By) -> np.ndarray:
    """(n,) names of the folds. `target and encoder` holds out one target with each encoder at a time, never the same."""
    design = observed.design
    if by == "target":
        return design.targets
    if by == "encoder":
        return design.encoder
    targets, encoders = (np.unique(names, return_inverse=True) for names in (design.targets, design.encoder))
    count = len(targets[0])
    step = max(1, count // max(len(encoders[0]), 1))
    return np.array([f"{number}" for number in (targets[1] + step * encoders[1]) % count], dtype=object)


def _fold(
    observed: Observed, out: np.ndarray, options: Options, situations: tuple[Situation, ...]
) -> tuple[dict[str, Any], np.ndarray, np.ndarray, dict[Bounds, tuple[np.ndarray, np.ndarray]]]:
    learned: Learned = learn(observed.take(~out), options, situations)
    predictor, design = predictor_of("held out", learned), observed.design.take(out)
    predicted = predictor.fitted.predict(design, explain=False)
    beats = predictor.beats(design, predicted)
    return (
        learned.about(),
        predicted.score,
        beats,
        {kind: predictor.bounds(design, predicted, COVERAGE, kind) for kind in BOUNDS},
    )


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


def _tells_apart(observed: Observed, column: str) -> bool:
    values, groups = observed.design.matrix([column])[:, 0], observed.design.groups
    known = np.isfinite(values)
    return any(np.ptp(values[known & (groups == group)]) > 0 for group in np.unique(groups[known]))


def _mean_gain_elsewhere(observed: Observed, same_encoder: bool) -> np.ndarray:
    """(n,) the source's mean gain, relative to the target's own score, on other targets with the same or other encoders."""
    design = observed.design
    gains = observed.score / design.baseline - 1 if np.isfinite(design.baseline).any() else observed.score
    result = np.full(len(observed), np.nan)
    for row in range(len(observed)):
        there = (design.encoder == design.encoder[row]) == same_encoder
        there &= (design.sources == design.sources[row]) & (design.targets != design.targets[row]) & np.isfinite(gains)
        if there.any():
            result[row] = gains[there].mean()
    return result


def _listed(interval: Interval) -> list[float]:
    return [interval.mean, interval.low, interval.high]
