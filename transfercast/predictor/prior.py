"""What to expect of a pair before anything was observed: the mean rank of the measures.

Within a target, each measure ranks the candidates (a measure of several columns by their mean rank); the mean over
measures, centred, is in [-0.5, 0.5]. RANGE turns it into score units: in the pilot on 81 pairs of GoEmotions labels
the best source stood 0.147 F1 above the average source.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from transfercast.predictor.data import Candidates

RANGE = 0.3
SPREAD = 0.1
"""Standard deviation of the prior's error, as a share of the headroom, until there are residuals."""


def centred_ranks(rows: Candidates, groups: Sequence[str]) -> np.ndarray:
    """(n, g) what each group of evidence adds to the centred mean rank of each row within its query.

    Args:
        rows: n candidates; columns without a known direction do not count.
        groups: evidence groups, in the order of the result.

    Returns:
        Rows sum to a rank in [-0.5, 0.5]; 0 where nothing tells the candidates apart.
    """
    directed = [number for number, column in enumerate(rows.schema) if column.better != "unknown"]
    signs = np.array([1.0 if rows.schema[number].better == "higher" else -1.0 for number in directed])
    ranks = _ranks_within(rows.values[:, directed] * signs, rows.query_ids)
    by_measure: dict[tuple[str, str], list[np.ndarray]] = {}
    for column, rank in zip((rows.schema[number] for number in directed), ranks.T, strict=True):
        if np.any(rank != 0):
            by_measure.setdefault((column.group, column.measure), []).append(rank)
    result = np.zeros((len(rows), len(groups)))
    for (group, _), columns in by_measure.items():
        result[:, list(groups).index(group)] += np.mean(columns, axis=0) / len(by_measure)
    return result


def _ranks_within(values: np.ndarray, query_ids: np.ndarray) -> np.ndarray:
    """(n, f) ranks within each query, ties shared, moved and scaled into [-0.5, 0.5]; 0 where missing."""
    ranks = pd.DataFrame(np.where(np.isfinite(values), values, np.nan)).groupby(query_ids)
    return np.asarray(np.nan_to_num((ranks.rank().to_numpy() - 0.5) / np.maximum(ranks.transform("count").to_numpy(), 1) - 0.5))
