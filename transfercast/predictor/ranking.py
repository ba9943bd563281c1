"""How good an order is: NDCG over the full ranking, regret@k, and what it costs to come near the best.

Per target, the relevance of a source is n minus its true rank (equal scores share their mean rank), its gain
2^relevance - 1.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

REGRET_AT = (1, 3, 5)


def ndcg(forecast: np.ndarray, truth: np.ndarray) -> float:
    """NDCG of one target's full ranking, in [0, 1]; ties in the forecast are broken by row order."""
    relevance = len(truth) - rankdata(-truth)
    gains = 2.0**relevance - 1
    discounts = 1 / np.log2(np.arange(2, len(truth) + 2))
    order = np.argsort(-forecast, kind="stable")
    ideal = (np.sort(gains)[::-1] * discounts).sum()
    return float((gains[order] * discounts).sum() / ideal) if ideal > 0 else 1.0


def regret(forecast: np.ndarray, truth: np.ndarray, k: int) -> float:
    """What the best of the k best-ranked falls short of the best, in percent of the best; 0 where the best is 0 or less."""
    top = np.argsort(-forecast, kind="stable")[:k]
    best = float(truth.max())
    return 100 * (best - float(truth[top].max())) / best if best > 0 else 0.0


def mean_regret(forecast: np.ndarray, truth: np.ndarray) -> float:
    """The mean of regret@1, @3 and @5: by this choices are made."""
    return float(np.mean([regret(forecast, truth, k) for k in REGRET_AT]))


def share_of_time(forecast: np.ndarray, truth: np.ndarray, hours: np.ndarray, within: float = 0.01) -> float:
    """Share of the hours of trying all, after which this order has a score within `within` of the best.

    Where no hours are known, every training counts the same.
    """
    hours = hours if hours.sum() > 0 else np.ones(len(truth))
    order = np.argsort(-forecast, kind="stable")
    reached = np.maximum.accumulate(truth[order]) >= truth.max() - within * abs(truth.max())
    return float(np.cumsum(hours[order])[int(np.argmax(reached))] / hours.sum())
