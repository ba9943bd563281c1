"""Quality of an order: NDCG over the full ranking, regret@k, and the hours until a score near the best.

For each target, the relevance of a source is n minus its true rank (equal scores share their mean rank), and its gain is
2^relevance - 1. If a forecast has equal candidates, each figure is its expectation over their orders, because the order of
rows comes from the plan that made the history and must not count.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import comb

import numpy as np
from scipy.stats import rankdata

REGRET_AT = (1, 3, 5)


def tied(forecast: np.ndarray) -> Iterator[np.ndarray]:
    """Numbers of the candidates in groups of equal forecasts, the best first."""
    order = np.argsort(-forecast, kind="stable")
    ordered = forecast[order]
    yield from np.split(order, np.nonzero(ordered[1:] != ordered[:-1])[0] + 1)


def ndcg(forecast: np.ndarray, truth: np.ndarray) -> float:
    """NDCG of one target's full ranking, in [0, 1]."""
    relevance = len(truth) - rankdata(-truth)
    gains = np.exp2(relevance - len(truth)) - np.exp2(-float(len(truth)))  # divided by 2^n, which overflows from 1,025 on
    discounts = 1 / np.log2(np.arange(2, len(truth) + 2))
    expected = np.concatenate([np.full(len(rows), gains[rows].mean()) for rows in tied(forecast)])
    ideal = (np.sort(gains)[::-1] * discounts).sum()
    return float((expected * discounts).sum() / ideal) if ideal > 0 else 1.0


def regret(forecast: np.ndarray, truth: np.ndarray, k: int) -> float:
    """Best score minus the best of the first k, in percent of the best score; 0 if the best score is 0 or less."""
    best, in_hand, left = float(truth.max()), -np.inf, k
    for rows in tied(forecast):
        if left >= len(rows):
            in_hand, left = max(in_hand, float(truth[rows].max())), left - len(rows)
        elif left > 0:
            in_hand, left = _expected_largest(truth[rows], left, in_hand), 0
    return 100 * (best - in_hand) / best if best > 0 else 0.0


def _expected_largest(values: np.ndarray, k: int, least: float) -> float:
    """Expectation of max(least, the largest of k of the values), drawn without replacement."""
    descending = np.sort(values)[::-1]
    # the j-th largest is the largest drawn if it is among the k and the j before it are not
    chances = [comb(len(values) - 1 - j, k - 1) / comb(len(values), k) for j in range(len(values) - k + 1)]
    return float(np.maximum(descending[: len(chances)], least) @ np.array(chances))


def mean_regret(forecast: np.ndarray, truth: np.ndarray) -> float:
    """The mean of regret@1, @3 and @5, by which predictors are compared."""
    return float(np.mean([regret(forecast, truth, k) for k in REGRET_AT]))


def share_of_time(forecast: np.ndarray, truth: np.ndarray, hours: np.ndarray, within: float = 0.01) -> float:
    """Hours until this order has a score within the share `within` of the best, as a share of the hours of all trainings.

    If no hours are known, all trainings count equally.
    """
    hours = hours if hours.sum() > 0 else np.ones(len(truth))
    good = truth >= truth.max() - within * abs(truth.max())
    spent = 0.0
    for rows in tied(forecast):
        if not good[rows].any():
            spent += float(hours[rows].sum())
            continue
        near, far = hours[rows][good[rows]], hours[rows][~good[rows]]
        # each of the others precedes all g that are good enough with probability 1 / (g + 1)
        spent += float(far.sum()) / (len(near) + 1) + float(near.mean())
        break
    return float(spent / hours.sum())
