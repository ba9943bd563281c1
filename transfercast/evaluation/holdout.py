"""Forecasts of what was held out whole: a target, or a base encoder.

For each fold the predictor is learned anew from the other transfers: models, levels and residuals know nothing of the fold.
Beside its order stand those of each single measure, of the source's mean gain on other targets (a static order: the same for
all targets but for its own), the largest source, and the oracle, which knows the truth.
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
    """Forecasts of n observed rows, each by a predictor that was learned without its fold.

    Attributes:
        transfers: n observed.
        by: what was held out together.
        score: (n,) forecasts.
        lower, upper: (n,) 90 % bounds, by kind.
        improvement: (n,) probability of improvement over the no-transfer baseline.
    """

    transfers: Transfers
    by: By
    score: np.ndarray
    lower: dict[Bounds, np.ndarray]
    upper: dict[Bounds, np.ndarray]
    improvement: np.ndarray

    def orders(self) -> dict[str, np.ndarray]:
        """(n,) by what each way of ordering sorts, higher first; NaN comes last. Random order is not among them.

        A measure of several columns is there by the mean rank of these; `columns` has them one by one.
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
        """(n,) values of each column of measures of several columns, higher is better."""
        several = [columns for columns in self._measures().values() if len(columns) > 1]
        return {name: values for columns in several for name, values in columns.items()}

    def _measures(self) -> dict[str, dict[str, np.ndarray]]:
        """(n,) values, higher is better, by measure and column, of those that say which direction is better."""
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
    """Learn anew for each fold, and forecast it.

    Args:
        transfers: n observed.
        features: a feature set; None for the prior.
        by: `target` holds out all rows of a target; `encoder` all of a base encoder; `target and encoder` the rows of a
            target with one encoder, while those with others may be seen.
        jobs: folds at once; -1 for as many as there are cores.
        folds: (n,) names of folds of one's own, which must not part what `by` holds together; by default one each.
        what: for the progress bar.

    Raises:
        InputError: if there are fewer than two of what is to be held out.
    """
    check_jobs(jobs)
    folds = fold_names(transfers, by) if folds is None else folds
    names = list(dict.fromkeys(folds.tolist()))
    if len(names) < 2:
        raise InputError(f"the history holds one {by} only, so none can be held out. Observe another, or hold out by target.")
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
    """(n,) names of the folds. `target and encoder` holds out one target with each encoder at a time, never the same."""
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
    """(n,) the source's mean gain, relative to the target's own score, on other targets with the same or other encoders.

    Sums over all targets less those over the row's own; NaN where the source was tried on no other.
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
    """Refuse a number of processes that means nothing.

    Raises:
        InputError: if it is 0; negative ones are counted from the number of cores, as joblib does.
    """
    if jobs == 0:
        raise InputError("jobs is 0; give 1 or more, or -1 for as many as there are cores.")
