"""What to expect of a pair before its user observed anything: the order of sources by the evidence alone.

Within a target, each column ranks the candidates; ranks, centred, are in [-0.5, 0.5], higher is better where a direction is
known. What they add to a forecast is

    w . x          with a learned prior, whose weights w are shares of the headroom: what transfers between other tasks showed
    c * mean(x)    without one: one vote for each measure, c = RANGE in score units

The first holds where a column of the learned prior, in its version, is among the candidates' columns. RANGE was measured in a
pilot on 81 pairs of GoEmotions labels: the best source stood 0.147 F1 above the average source.
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
"""Standard deviation of the prior's error, as a share of the headroom, until there are residuals."""


BUNDLED = Path(__file__).with_name("bundled")
"""The version folder of the predictor that comes with the package."""

Weights = Mapping[str, float]
"""Share of the headroom from the lowest to the highest rank, by `key_of` a column."""


@cache
def bundled_weights() -> Weights:
    """The weights of the bundled predictor; none where there is none."""
    if not BUNDLED.is_dir():
        return {}
    found: dict[str, float] = json.loads((BUNDLED / "model.json").read_bytes())["calibration"]["weights"]
    return found


def key_of(column: Column) -> str:
    """Name and version of a column: ranks by another version of a measure are not what was learned.

    >>> key_of(Column(name="logme", measure="logme", version=2, better="higher", group="embeddings"))
    'logme@2'
    """
    return f"{column.name}@{column.version}"


def has_weights(rows: Candidates, weights: Weights) -> bool:
    """Whether some measure of the candidates, in its version, has a weight."""
    return any(key_of(column) in weights for column in rows.schema if column.group != "recipe")


def prior_points(rows: Candidates, groups: Sequence[str], headroom: np.ndarray, weights: Weights) -> np.ndarray:
    """(n, g) score units that each group of evidence adds to the mean of a row's query.

    Args:
        rows: n candidates.
        groups: evidence groups, in the order of the result.
        headroom: (n,) of the rows, score units.
        weights: of columns; where no measure has one, each measure has one vote.
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
    """(n, g) what each group of evidence adds to the centred mean rank of each row within its query.

    Args:
        rows: n candidates; columns without a known direction do not count.
        groups: evidence groups, in the order of the result.

    Returns:
        Rows sum to a rank in [-0.5, 0.5]; 0 where nothing tells the candidates apart.
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
    """(n, f) ranks of some columns within each query, ties shared, moved and scaled into [-0.5, 0.5]; 0 where missing.

    The highest value has the highest rank, unless lower is better.

    Args:
        rows: n candidates.
        columns: (f,) numbers of columns.
    """
    signs = np.array([-1.0 if rows.schema[number].better == "lower" else 1.0 for number in columns])
    values = rows.values[:, columns] * signs
    ranks = pd.DataFrame(np.where(np.isfinite(values), values, np.nan)).groupby(rows.query_ids)
    return np.asarray(np.nan_to_num((ranks.rank().to_numpy() - 0.5) / np.maximum(ranks.transform("count").to_numpy(), 1) - 0.5))
