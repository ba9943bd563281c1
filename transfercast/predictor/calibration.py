"""From relative scores to scores: the target's baseline, its headroom, and the slope of scores on relative scores.

With b the no-transfer baseline, r the headroom (from b to the metric's highest value), f the models' relative score and q the
prior in score units (`prior`), a forecast is

    b + g r + (1 - p) a r f + p c q,    p = HALF / (HALF + n)

clipped to the metric's range. g is the intercept of the encoder and a the slope of the row's regime, both shares of the
headroom; c is the prior's scale, 1 until observations show another. With n observations the share p of the order comes from
the prior. If the models' forecasts of held-out targets have no positive slope, a = 0 and p = 1.

Errors of one target's rows are correlated, so means over targets are shrunk toward the values that are assumed without any
observation; TARGETS sets how strongly.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from transfercast.predictor.data import Candidates, Transfers
from transfercast.predictor.masking import Regime
from transfercast.predictor.prior import SPREAD, Weights, prior_points

HALF = 20.0
"""Number of observations at which half of the order comes from the prior."""

ENCODER_ROWS = 30.0
"""Number of observations at which an encoder's own intercept and that of all encoders count equally."""

TARGETS = 3.0
"""Number of targets at which observed mean and assumed value (a score of ASSUMED, a gain of 0, a scale of 1) count equally.

If the assumed value is right, shrinking the mean of G targets costs at most 4 % of RMSE for any G: with w = G / (G + 3),
the squared error grows from 1 to 1 + w^2 / G, which is 1.08 for two targets, 1.083 for three, and 1.082 for four.
"""

STEEPEST = 2.0
"""Largest slope, as a multiple of the slope of the true relative scores; forecasts vary less, so theirs may be larger."""

ASSUMED = 0.5
"""Assumed score of a target without any known score."""

LEAST_HEADROOM = 0.02


@dataclass(frozen=True)
class Levels:
    """Expected scores without any evidence on the pair.

    Gains are shares of the headroom: a target at 0.93 cannot gain 0.1, and its sources differ less.

    Attributes:
        observed: number of observations by metric.
        score: mean score by metric, shrunk toward ASSUMED, which replaces an unknown baseline.
        gain: mean gain by least squares, shrunk toward 0.
        gain_with: the same by encoder, shrunk toward `gain`.
    """

    observed: dict[str, int]
    score: dict[str, float]
    gain: float
    gain_with: dict[str, float]

    def baselines(self, rows: Candidates) -> np.ndarray:
        """(n,) no-transfer baselines, with `score` for unknown ones."""
        typical = rows.each(rows.metric, lambda name: self.score.get(name, ASSUMED))
        return np.where(np.isnan(rows.baseline), typical, rows.baseline)

    def headroom(self, rows: Candidates) -> np.ndarray:
        """(n,) score units from the baseline to the metric's highest value, at least LEAST_HEADROOM."""
        return np.asarray(np.maximum(rows.metric_range[1] - self.baselines(rows), LEAST_HEADROOM))

    def intercepts(self, rows: Candidates) -> np.ndarray:
        """(n,) expected gain with the row's encoder from any source, as a share of the headroom."""
        return rows.each(rows.encoder, lambda name: self.gain_with.get(name, self.gain))


def levels_of(transfers: Transfers) -> Levels:
    """Levels from n observations."""
    rows = transfers.candidates
    names = list(dict.fromkeys(rows.metric))
    counts = {name: int((rows.metric == name).sum()) for name in names}
    means = {name: float(transfers.score[rows.metric == name].mean()) for name in names}
    kept = {name: _kept(rows.targets[rows.metric == name]) for name in names}
    start = Levels(counts, means, 0.0, {})
    headroom = start.headroom(rows)
    moved, weight = (transfers.score - start.baselines(rows)) * headroom, headroom**2
    gain = _kept(rows.targets) * float(moved.sum() / weight.sum())
    shrunk = ENCODER_ROWS * float(weight.mean())
    with_encoder = {
        name: float((moved[rows.encoder == name].sum() + shrunk * gain) / (weight[rows.encoder == name].sum() + shrunk))
        for name in dict.fromkeys(rows.encoder)
    }
    scores = {name: kept[name] * means[name] + (1 - kept[name]) * ASSUMED for name in names}
    return Levels(counts, scores, gain, with_encoder)


def _kept(targets: np.ndarray) -> float:
    """Weight of a mean over rows of `targets` when it is shrunk; in [1/4, 1)."""
    count = len(np.unique(targets))
    return count / (count + TARGETS)


@dataclass(frozen=True)
class Calibration:
    """From relative scores to scores.

    Attributes:
        levels: expected scores without evidence.
        slopes: share of the headroom that a relative score of 1 adds, by regime.
        weights: weights of the prior's columns; see `prior`.
        prior_scale: factor of the prior's score units.
        shared_error: standard deviation of the error that the rows of a target share, as a share of the headroom.
        own_error: standard deviation of the rest of a row's error, as a share of the headroom.
    """

    levels: Levels
    slopes: dict[Regime, float] = field(default_factory=dict)
    weights: Weights = field(default_factory=dict)
    prior_scale: float = 1.0
    shared_error: float = 0.0
    own_error: float = SPREAD

    @property
    def observations(self) -> int:
        """Number of transfers that forecasts rest on."""
        return sum(self.levels.observed.values())

    def prior_share(self, regimes: np.ndarray) -> np.ndarray:
        """(n,) share of the order that comes from the prior."""
        learned = np.array([self.slope(name) > 0 for name in regimes], dtype=bool)
        return np.where(learned, HALF / (HALF + self.observations), 1.0)

    def slope(self, regime: Regime) -> float:
        """Slope of a regime, or that of target cold start if the regime had no examples."""
        return self.slopes.get(regime, self.slopes.get("target cold start", 0.0))

    def levels_and_slopes(self, rows: Candidates, regimes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n,) score at a relative score of 0, and (n,) score units that a relative score of 1 adds."""
        headroom = self.levels.headroom(rows)
        slopes = np.array([self.slope(name) for name in regimes], dtype=np.float64)
        return (
            self.levels.baselines(rows) + self.levels.intercepts(rows) * headroom,
            (1 - self.prior_share(regimes)) * slopes * headroom,
        )

    def prior_points(self, rows: Candidates, regimes: np.ndarray, groups: tuple[str, ...]) -> np.ndarray:
        """(n, g) score units that each evidence group adds through the prior."""
        points = prior_points(rows, groups, self.levels.headroom(rows), self.weights)
        return np.asarray(self.prior_scale * self.prior_share(regimes)[:, None] * points)

    def scores(self, rows: Candidates, relative: np.ndarray, regimes: np.ndarray) -> np.ndarray:
        """(n,) scores in the metric's range."""
        level, slope = self.levels_and_slopes(rows, regimes)
        prior = self.prior_points(rows, regimes, rows.evidence_groups).sum(axis=1)
        return np.asarray(np.clip(level + slope * relative + prior, *rows.metric_range))


def slope_of(transfers: Transfers, relative: np.ndarray, levels: Levels) -> float:
    """Slope of scores on relative scores within queries, as a share of the headroom, by least squares; at least 0."""
    query_ids = transfers.candidates.query_ids
    moved = _centred(transfers.score, query_ids)
    forecast = _centred(relative, query_ids) * levels.headroom(transfers.candidates)
    total = float(forecast @ forecast)
    return max(float(forecast @ moved) / total, 0.0) if total > 1e-12 else 0.0


def prior_scale_of(transfers: Transfers, levels: Levels, weights: Weights) -> float:
    """Factor of the prior's score units: the least-squares factor of the observed targets, shrunk toward 1; at least 0."""
    rows = transfers.candidates
    points = prior_points(rows, rows.evidence_groups, levels.headroom(rows), weights).sum(axis=1)
    total = float((points**2).sum())
    shown = max(float(points @ _centred(transfers.score, rows.query_ids)) / total, 0.0) if total > 1e-12 else 1.0
    kept = _kept(rows.targets)
    return kept * shown + (1 - kept)


def calibration_of_prior(transfers: Transfers, weights: Weights) -> Calibration:
    """Observed levels, and the prior for the order, without slopes of base models."""
    levels = levels_of(transfers)
    return Calibration(levels, {}, weights, prior_scale_of(transfers, levels, weights))


def _centred(values: np.ndarray, query_ids: np.ndarray) -> np.ndarray:
    """(n,) values minus their query's mean."""
    return np.asarray(values - (np.bincount(query_ids, values) / np.maximum(np.bincount(query_ids), 1))[query_ids])
