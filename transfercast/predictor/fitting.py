"""Fitting of a predictor: base models, the scale of their forecasts, calibration and residuals, by cross-validation.

The targets are divided into folds, and each fold is forecast by base models that are fitted on the other folds. These held-out
forecasts give the models' standard deviations, the slope of the calibration, the difficulty, and the residuals of the
intervals; for the residuals of a fold, the first three come from the other folds. The forecast is the weighted mean of the
models' forecasts, each divided by its standard deviation, with the weights

    shares    process 1, regressor 2 P / (P + EQUAL_PAIRS), divided by their sum, with P observed pairs of source and target

because trees need more observations than the process. For an evaluation, targets are held out before the transfers are given
here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from transfercast.core.table import Column
from transfercast.predictor.base_models import MODELS, BaseModels, fit_base_models
from transfercast.predictor.calibration import (
    STEEPEST,
    Calibration,
    Levels,
    calibration_of_prior,
    levels_of,
    prior_scale_of,
    slope_of,
)  # fmt: skip
from transfercast.predictor.data import Candidates, Transfers
from transfercast.predictor.difficulty import EQUAL, Difficulty, fit_difficulty
from transfercast.predictor.feature_sets import columns_of, uses_history
from transfercast.predictor.folds import folds_by
from transfercast.predictor.intervals import Residuals, shared_and_own
from transfercast.predictor.masking import COLD, REGIMES, Regime
from transfercast.predictor.prior import Weights, bundled_weights
from transfercast.predictor.relative import relative_scores

FEWEST_TARGETS = 3
"""With fewer targets no model is learned: the order is the prior's, and the levels are those observed."""

EQUAL_PAIRS = 1600.0
"""Number of observed pairs at which process and regressor count equally; with many more, the regressor counts up to twice as
much as the process. On published tables, parts of them and the atlas, 400, 800 and 1,600 gave NDCG 67.6, 67.9 and 67.9."""

FOLDS = 5
ATLAS = "atlas"
"""Name of the feature set of a prior that was learned from other tasks; see `prior_fit`."""

MOST_MASKS = 24
"""Largest number of queries, encoders or sources that are held out to calibrate a regime."""


class RelativeForecast(NamedTuple):
    """(n,) relative scores, the (n,) regime of each row, and its (n,) difficulty."""

    score: np.ndarray
    regimes: np.ndarray
    difficulty: np.ndarray


@dataclass(frozen=True)
class FittedModel:
    """A fitted predictor.

    Attributes:
        features: the feature set, or ATLAS.
        schema: columns of measures and recipes that it was fitted on, in order.
        models: base models; None if only the prior is used.
        deviations: (m,) standard deviations of the base models' held-out forecasts.
        shares: (m,) weights of the base models in target cold start. In other regimes the process forecasts alone, because
            the trees are fitted only on rows in target cold start.
        calibration: from relative scores to scores.
        residuals: residuals of held-out targets; empty with fewer than two.
        difficulty: difficulty of forecasts in target cold start; in other regimes it is 1.
    """

    features: str
    schema: tuple[Column, ...]
    models: BaseModels | None
    deviations: np.ndarray
    shares: np.ndarray
    calibration: Calibration
    residuals: Residuals
    difficulty: Difficulty = EQUAL

    def relative(self, candidates: Candidates) -> RelativeForecast:
        """Relative scores, regimes and difficulties."""
        regimes = self.regimes(candidates)
        if self.models is None:
            return RelativeForecast(np.zeros(len(candidates)), regimes, np.ones(len(candidates)))
        forecasts = self.models.forecasts(candidates)
        difficulty = np.where(regimes == COLD, self.difficulty.of(forecasts / self.deviations), 1.0)
        return RelativeForecast((forecasts * self.factors(regimes)).sum(axis=1), regimes, difficulty)

    def regimes(self, candidates: Candidates) -> np.ndarray:
        """(n,) the cold-start regime of each row."""
        return np.full(len(candidates), COLD, dtype=object) if self.models is None else self.models.regimes(candidates)

    def factors(self, regimes: np.ndarray) -> np.ndarray:
        """(n, m) factors of the base models' forecasts for rows in (n,) regimes."""
        alone = np.eye(len(MODELS))[0]
        return np.asarray(np.where((regimes == COLD)[:, None], self.shares / self.deviations, alone))

    def about(self) -> dict[str, Any]:
        """Features, models and slopes, as plain values."""
        slopes = {name: round(value, 6) for name, value in self.calibration.slopes.items()}
        return {"features": self.features, "models": [] if self.models is None else list(MODELS), "slopes": slopes}


def of_prior(calibration: Calibration, residuals: Residuals, schema: tuple[Column, ...] = ()) -> FittedModel:
    """A fitted predictor without base models; the order is the prior's."""
    return FittedModel("all", schema, None, np.ones(len(MODELS)), shares_of(0), calibration, residuals)


def shares_of(pairs: int) -> np.ndarray:
    """(m,) shares of the base models in the forecast, given the number of observed pairs of source and target.

    >>> shares_of(1600).tolist()
    [0.5, 0.5]
    """
    trees = 2.0 * pairs / (pairs + EQUAL_PAIRS)
    return np.array([1.0, trees]) / (1 + trees)


NOTHING_OBSERVED = of_prior(Calibration(Levels({}, {}, 0.0, {})), {})


def fit(
    transfers: Transfers, features: str = "all", regimes: tuple[Regime, ...] = REGIMES, weights: Weights | None = None
) -> FittedModel:
    """Fit base models, calibration, difficulty and intervals, in one thread because the matrices are small.

    Args:
        transfers: n observed transfers.
        features: a feature set; see `feature_sets`.
        regimes: regimes to calibrate if the transfers have examples of them; target cold start is always calibrated.
        weights: weights of the prior; None takes the bundled ones.

    Raises:
        InputError: if a name in `features` is unknown.
    """
    columns = columns_of(transfers.candidates.schema, features)
    weights = bundled_weights() if weights is None else weights
    if len(np.unique(transfers.candidates.targets)) < FEWEST_TARGETS:
        return fit_prior(transfers, columns, weights)
    with threadpool_limits(1):
        return _fit(transfers, features, columns, regimes, weights)


def fit_prior(transfers: Transfers, schema: tuple[Column, ...] = (), weights: Weights | None = None) -> FittedModel:
    """The prior with the observed levels; each target's residuals are those of forecasts with the others' levels."""
    weights = bundled_weights() if weights is None else weights
    targets, errors = transfers.candidates.targets, np.full(len(transfers), np.nan)
    for own in (targets == name for name in np.unique(targets)):
        if not own.all():
            without = calibration_of_prior(transfers.take(~own), weights)
            errors[own] = held_out_errors(without, transfers.take(own), np.zeros(int(own.sum())))
    return of_prior(*judged(calibration_of_prior(transfers, weights), transfers, errors), schema)


def _fit(
    transfers: Transfers, features: str, columns: tuple[Column, ...], regimes: tuple[Regime, ...], weights: Weights
) -> FittedModel:
    history, targets = uses_history(features), transfers.candidates.targets
    folds = folds_by(targets, min(FOLDS, len(np.unique(targets))))
    shares = shares_of(len(set(zip(transfers.candidates.sources, targets, strict=True))))
    forecasts, errors = held_out_forecasts(transfers, columns, history, folds), np.zeros(len(transfers))
    outs = [folds == fold for fold in np.unique(folds)]
    for out in outs:
        deviations, calibration = _calibrated(transfers.take(~out), forecasts[~out], shares, weights)
        errors[out] = held_out_errors(calibration, transfers.take(out), forecasts[out] / deviations @ shares)
    deviations, calibration = _calibrated(transfers, forecasts, shares, weights)
    scaled, normalised = forecasts / deviations, np.zeros(len(transfers))
    for out in outs:
        normalised[out] = errors[out] / fit_difficulty(scaled[~out], errors[~out]).of(scaled[out])
    models = fit_base_models(transfers, columns, history)
    calibration.slopes.update(_slopes(models, transfers, regimes, calibration.levels))
    calibration, residuals = judged(calibration, transfers, normalised)
    difficulty = fit_difficulty(scaled, errors)
    return FittedModel(features, columns, models, deviations, shares, calibration, residuals, difficulty)


def held_out_forecasts(transfers: Transfers, columns: tuple[Column, ...], history: bool, folds: np.ndarray) -> np.ndarray:
    """(n, m) relative scores of the base models, each fitted without the row's fold."""
    forecasts = np.zeros((len(transfers), len(MODELS)))
    for out in (folds == fold for fold in np.unique(folds)):
        models = fit_base_models(transfers.take(~out), columns, history)
        forecasts[out] = models.forecasts(transfers.candidates.take(out))
    return forecasts


def _calibrated(
    transfers: Transfers, forecasts: np.ndarray, shares: np.ndarray, weights: Weights
) -> tuple[np.ndarray, Calibration]:
    """(m,) standard deviations of (n, m) held-out forecasts, and the calibration of their mean with weights `shares`."""
    deviations = forecasts.std(axis=0)
    deviations = np.where(deviations > 1e-9, deviations, 1.0)
    levels = levels_of(transfers)
    outcome = relative_scores(transfers.score, transfers.candidates.query_ids)
    steepest = STEEPEST * slope_of(transfers, outcome / (outcome.std() or 1.0), levels)
    slope = min(slope_of(transfers, forecasts / deviations @ shares, levels), steepest)
    return deviations, Calibration(levels, {COLD: slope}, weights, prior_scale_of(transfers, levels, weights))


def _slopes(models: BaseModels, transfers: Transfers, regimes: tuple[Regime, ...], levels: Levels) -> dict[Regime, float]:
    """Slopes of the process's forecasts in the regimes with examples, except target cold start."""
    slopes: dict[Regime, float] = {}
    for regime in regimes:
        forecasts = np.full(len(transfers), np.nan)
        for own, process in models.masked(transfers, regime, MOST_MASKS) if regime != COLD else ():
            forecasts[own] = process.forecast(process.matrix.rows_of(transfers.candidates).take(own)).total
        known = np.isfinite(forecasts)
        if known.any():
            slopes[regime] = slope_of(transfers.take(known), forecasts[known], levels)
    return slopes


def held_out_errors(calibration: Calibration, transfers: Transfers, relative: np.ndarray) -> np.ndarray:
    """(n,) true score minus forecast as a share of the headroom, in target cold start."""
    rows = transfers.candidates
    scores = calibration.scores(rows, relative, np.full(len(rows), COLD, dtype=object))
    return np.asarray((transfers.score - scores) / calibration.levels.headroom(rows))


def judged(calibration: Calibration, transfers: Transfers, errors: np.ndarray) -> tuple[Calibration, Residuals]:
    """The calibration with the standard deviations of held-out errors, and these errors by target.

    Args:
        calibration: calibration without standard deviations.
        transfers: n observed transfers.
        errors: (n,) held-out errors divided by their difficulty; with any NaN, the calibration is unchanged and there are
            no residuals.
    """
    if not np.isfinite(errors).all():
        return calibration, {}
    targets = transfers.candidates.targets
    shared, own = shared_and_own(errors, transfers.candidates.query_ids)
    residuals = {str(name): errors[targets == name] for name in np.unique(targets)}
    return replace(calibration, shared_error=shared, own_error=own), residuals
