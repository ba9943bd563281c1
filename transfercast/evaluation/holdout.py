"""Forecasts of held-out targets or base encoders; all rows of one are held out together.

For each fold the predictor is learned anew from the other transfers: models, levels and residuals use no row of the fold.
Its order is compared with those of each single measure, of the sources' mean gains on other targets (a static order, the same
for all targets except for their own results), of the sources' numbers of rows, and of the true scores (the oracle).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from transfercast.core.choices import Bounds
from transfercast.core.errors import InputError
from transfercast.core.progress import progress
from transfercast.predictor.data import Transfers
from transfercast.predictor.fitting import FittedModel, fit, fit_prior
from transfercast.predictor.intervals import BOUNDS
from transfercast.predictor.masking import COLD, Regime
from transfercast.predictor.predictor import Predictor
from transfercast.predictor.relative import zscore_within

By = Literal["target", "encoder", "target and encoder"]
BY: tuple[By, ...] = get_args(By)

PREDICTOR, ORACLE, LARGEST = "predictor", "oracle", "largest source"
STATIC = "static order: the source's mean gain elsewhere"
COVERAGE = 0.9
SIZE_COLUMN = "source_rows"


@dataclass(frozen=True)
class HeldOut:
    """Forecasts of n observed rows, each by a predictor that was learned without the row's fold.

    Attributes:
        transfers: n observed transfers.
        by: what was held out together.
        score: (n,) forecasts.
        lower, upper: (n,) 90 % bounds, by kind of interval.
        improvement: (n,) probability of improvement over the no-transfer baseline.
    """

    transfers: Transfers
    by: By
    score: np.ndarray
    lower: dict[Bounds, np.ndarray]
    upper: dict[Bounds, np.ndarray]
    improvement: np.ndarray

    def orders(self) -> dict[str, np.ndarray]:
        """(n,) sort keys of each order, higher first and NaN last, without the random order.

        A measure of several columns has one order, by the mean rank of its columns; `columns` has each of them.
        """
        orders = {PREDICTOR: self.score, ORACLE: self.transfers.score}
        orders[STATIC] = _mean_gain_elsewhere(self.transfers, same_encoder=self.by != "encoder")
        for measure, columns in self._measures().items():
            if len(columns) > 1:
                orders[f"{measure}: mean rank of its {len(columns)} columns"] = self._mean_rank(list(columns.values()))
            else:
                name, values = next(iter(columns.items()))
                orders[LARGEST if name == SIZE_COLUMN else name] = values
        return orders

    def columns(self) -> dict[str, np.ndarray]:
        """(n,) values of each column of measures with several columns, higher is better."""
        several = [columns for columns in self._measures().values() if len(columns) > 1]
        return {name: values for columns in several for name, values in columns.items()}

    def _measures(self) -> dict[str, dict[str, np.ndarray]]:
        """(n,) values by measure and column, higher is better; columns of unknown direction are left out."""
        candidates, measures = self.transfers.candidates, dict[str, dict[str, np.ndarray]]()
        for column in candidates.schema:
            if column.better == "unknown" or column.group == "recipe" or not _tells_apart(self.transfers, column.name):
                continue
            values = candidates.matrix([column.name])[:, 0]
            measures.setdefault(column.measure, {})[column.name] = values if column.better == "higher" else -values
        return measures

    def _mean_rank(self, columns: list[np.ndarray]) -> np.ndarray:
        """(n,) mean over columns of the ranks among a target's candidates, in (0, 1]; NaN where no column has a value."""
        ranks = pd.DataFrame(np.stack(columns, axis=1)).groupby(self.transfers.candidates.query_ids).rank(pct=True)
        return np.asarray(ranks.mean(axis=1), dtype=np.float64)


def held_out(
    transfers: Transfers,
    features: str | None = "all",
    by: By = "target",
    jobs: int = 1,
    folds: np.ndarray | None = None,
    what: str = "held out",
) -> HeldOut:
    """Forecast each fold by a predictor that is learned without it.

    Args:
        transfers: n observed transfers.
        features: a feature set; None for the prior.
        by: `target` holds out all rows of a target; `encoder` all of a base encoder; `target and encoder` the rows of a
            target with one encoder, while its rows with other encoders may be used.
        jobs: number of folds that are learned at the same time; -1 for the number of cores.
        folds: (n,) names of the caller's folds, which must not split what `by` holds out together; by default one fold for
            each target, encoder, or combination.
        what: label of the progress bar.

    Raises:
        InputError: if there are fewer than two folds.
    """
    check_jobs(jobs)
    folds = fold_names(transfers, by) if folds is None else folds
    names = list(dict.fromkeys(folds.tolist()))
    if len(names) < 2:
        raise InputError(f"the history has only one {by}, so none can be held out. Observe another, or hold out by target.")
    regimes: dict[By, tuple[Regime, ...]] = {
        "target": (COLD,),
        "encoder": (COLD, "encoder cold start"),
        "target and encoder": (COLD, "warm target"),
    }
    score, improvement = np.full(len(transfers), np.nan), np.full(len(transfers), np.nan)
    lower = {kind: np.full(len(transfers), np.nan) for kind in BOUNDS}
    upper = {kind: np.full(len(transfers), np.nan) for kind in BOUNDS}
    parallel = Parallel(n_jobs=jobs, return_as="generator")
    done = parallel(delayed(_fold)(transfers, folds == name, features, regimes[by]) for name in names)
    for name, fold in zip(names, progress(done, what, len(names)), strict=True):
        rows = folds == name
        score[rows], improvement[rows], bounds = fold
        for kind in BOUNDS:
            lower[kind][rows], upper[kind][rows] = bounds[kind]
    return HeldOut(transfers, by, score, lower, upper, improvement)


def fold_names(transfers: Transfers, by: By) -> np.ndarray:
    """(n,) names of the folds. A fold of `target and encoder` has one target for each encoder, all different."""
    candidates = transfers.candidates
    if by == "target":
        return candidates.targets
    if by == "encoder":
        return candidates.encoder
    targets, encoders = (np.unique(names, return_inverse=True) for names in (candidates.targets, candidates.encoder))
    count = len(targets[0])
    step = max(1, count // max(len(encoders[0]), 1))
    return np.array([f"{number}" for number in (targets[1] + step * encoders[1]) % count], dtype=object)


def _fold(
    transfers: Transfers, out: np.ndarray, features: str | None, regimes: tuple[Regime, ...]
) -> tuple[np.ndarray, np.ndarray, dict[Bounds, tuple[np.ndarray, np.ndarray]]]:
    rest = transfers.take(~out)
    fitted: FittedModel = fit_prior(rest) if features is None else fit(rest, features, regimes)
    predictor, rows = Predictor("held out", fitted), transfers.candidates.take(out)
    forecasts = dict(zip(BOUNDS, predictor.forecast_each([(rows, COVERAGE, kind) for kind in BOUNDS]), strict=True))
    first = forecasts[BOUNDS[0]]
    return first.score, first.beats_baseline, {kind: (f.lower, f.upper) for kind, f in forecasts.items()}


def _tells_apart(transfers: Transfers, column: str) -> bool:
    return bool(np.nan_to_num(zscore_within(transfers.candidates.matrix([column]), transfers.candidates.query_ids)).any())


def _mean_gain_elsewhere(transfers: Transfers, same_encoder: bool) -> np.ndarray:
    """(n,) the source's mean gain on other targets, relative to their no-transfer baselines; NaN if it was tried on no other.

    Args:
        transfers: n observed transfers.
        same_encoder: whether only results with the row's encoder count, or else only those with other encoders.
    """
    candidates = transfers.candidates
    usable = candidates.baseline > 0  # no gain is relative to a score of 0
    relative = np.divide(transfers.score, candidates.baseline, out=np.full(len(transfers.score), np.nan), where=usable) - 1
    gains = relative if usable.any() else transfers.score
    known = np.isfinite(gains)
    rows = pd.DataFrame({
        "source": candidates.sources, "target": candidates.targets, "encoder": candidates.encoder,
        "gain": np.where(known, gains, 0.0), "count": known.astype(np.float64),
    })  # fmt: skip

    def sums(keys: list[str]) -> np.ndarray:
        return rows.groupby(keys)[["gain", "count"]].transform("sum").to_numpy(dtype=np.float64)

    total, count = (sums(["source", "encoder"]) - sums(["source", "encoder", "target"])).T
    if not same_encoder:
        every, tried = (sums(["source"]) - sums(["source", "target"])).T
        total, count = every - total, tried - count
    return np.where(count > 0.5, total / np.maximum(count, 1.0), np.nan)


def check_jobs(jobs: int) -> None:
    """Refuse a number of processes that has no meaning.

    Raises:
        InputError: if it is 0; negative numbers are counted from the number of cores, as joblib does.
    """
    if jobs == 0:
        raise InputError("jobs is 0; give 1 or more, or -1 for the number of cores.")
