"""The prior: the order of sources by the evidence alone, before the user has observed any transfer.

Within a query, each column ranks the candidates; centred ranks x are in [-0.5, 0.5], and higher is better if the direction of
the column is known. They add to a forecast

    w . x          with a learned prior; its weights w, shares of the headroom, come from transfers between other tasks
    c * mean(x)    without one: each measure has one vote, and c is RANGE in score units

The learned prior is used if the candidates have one of its measures in the same version; its weights of recipe columns are
always used. RANGE was measured in a pilot on 81 pairs of GoEmotions labels: the score of the best source was 0.147 F1 above
that of the average source.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from transfercast.core.table import Column
from transfercast.predictor.data import Candidates

RANGE = 0.3
SPREAD = 0.1
"""Standard deviation of the prior's error, as a share of the headroom, if there are no residuals."""


BUNDLED = Path(__file__).with_name("bundled")
"""The version folder of the predictor that comes with the package."""

Weights = Mapping[str, float]
"""Difference between the highest and the lowest rank, as a share of the headroom, by `key_of` of a column."""


@cache
def bundled_weights() -> Weights:
    """The weights of the bundled predictor; empty if there is no such predictor."""
    if not BUNDLED.is_dir():
        return {}
    found: dict[str, float] = json.loads((BUNDLED / "model.json").read_bytes())["calibration"]["weights"]
    return found


def key_of(column: Column) -> str:
    """Name and version of a column; a weight holds only for the version of the measure that it was learned with.

    >>> key_of(Column(name="logme", measure="logme", version=2, better="higher", group="embeddings"))
    'logme@2'
    """
    return f"{column.name}@{column.version}"


def has_weights(rows: Candidates, weights: Weights) -> bool:
    """Whether a measure of the candidates has a weight for its version."""
    return any(key_of(column) in weights for column in rows.schema if column.group != "recipe")


def prior_points(rows: Candidates, groups: Sequence[str], headroom: np.ndarray, weights: Weights) -> np.ndarray:
    """(n, g) score units that each evidence group adds to the mean of a row's query.

    Args:
        rows: n candidates.
        groups: evidence groups, in the order of the result.
        headroom: (n,) headroom of the rows, in score units.
        weights: weights of columns; if no measure of the candidates has one, each measure has one vote.
    """
    used = np.array([number for number, column in enumerate(rows.schema) if key_of(column) in weights], dtype=np.int64)
    votes = 0.0 if has_weights(rows, weights) else RANGE * centred_ranks(rows, groups)
    parts = ranks_of(rows, used) * np.array([weights[key_of(rows.schema[number])] for number in used]) * headroom[:, None]
    return votes + _by_group(parts, [rows.schema[number].group for number in used], groups)


def _by_group(parts: np.ndarray, own: Sequence[str], groups: Sequence[str]) -> np.ndarray:
    """(n, g) sums of (n, f) columns of `own` groups."""
    belongs = np.array(own, dtype=object)[:, None] == np.array(groups, dtype=object)[None, :]
    return np.asarray(parts @ belongs.astype(np.float64))


def centred_ranks(rows: Candidates, groups: Sequence[str]) -> np.ndarray:
    """(n, g) parts of each evidence group in the centred mean rank of each row within its query.

    Args:
        rows: n candidates; columns without a known direction are not used.
        groups: evidence groups, in the order of the result.

    Returns:
        Parts that sum to a rank in [-0.5, 0.5] for each row; 0 if all columns are equal for all candidates.
    """
    directed = np.array([number for number, column in enumerate(rows.schema) if column.better != "unknown"], dtype=np.int64)
    by_measure: dict[tuple[str, str], list[np.ndarray]] = {}
    for number, rank in zip(directed, ranks_of(rows, directed).T, strict=True):
        if np.any(rank != 0):
            column = rows.schema[number]
            by_measure.setdefault((column.group, column.measure), []).append(rank)
    means = [np.mean(columns, axis=0) / len(by_measure) for columns in by_measure.values()]
    if not means:
        return np.zeros((len(rows), len(groups)))
    return _by_group(np.stack(means, axis=1), [group for group, _ in by_measure], groups)


def ranks_of(rows: Candidates, columns: np.ndarray) -> np.ndarray:
    """(n, f) centred ranks of some columns within each query, in [-0.5, 0.5]; ties have their mean rank, missing values 0.

    The highest value has the highest rank, unless lower is better.

    Args:
        rows: n candidates.
        columns: (f,) numbers of columns.
    """
    signs = np.array([-1.0 if rows.schema[number].better == "lower" else 1.0 for number in columns])
    values = rows.values[:, columns] * signs
    ranks = pd.DataFrame(np.where(np.isfinite(values), values, np.nan)).groupby(rows.query_ids)
    return np.asarray(np.nan_to_num((ranks.rank().to_numpy() - 0.5) / np.maximum(ranks.transform("count").to_numpy(), 1) - 0.5))
