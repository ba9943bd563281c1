"""What to expect of a pair before anything was observed: the mean rank of the measures.

Within a target, each measure ranks the candidates (a measure of several columns by their mean rank); the mean over
measures, centred, is a standing in [-0.5, 0.5]. RANGE turns it into points: in the pilot on 81 pairs of GoEmotions labels
the best source stood 0.147 F1 above the average source.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from transfercast.core.table import Column

RANGE = 0.3
SPREAD = 0.1
"""Standard deviation of the prior's error, in points, until residuals are there to tell."""


def standings(frame: pd.DataFrame, schema: Sequence[Column], groups: Sequence[str]) -> np.ndarray:
    """(n, g) what each group of evidence adds to the centred mean rank of each row among those of its target.

    Args:
        frame: (n, f) features, with an index level `target`.
        schema: of the columns; those without a known direction, and those not in the frame, do not count.
        groups: names of groups, in the order of the result.

    Returns:
        Rows sum to a standing in [-0.5, 0.5]; 0 where nothing tells the candidates apart.
    """
    targets = frame.index.get_level_values("target")
    by_measure: dict[tuple[str, str], list[np.ndarray]] = {}
    for column in schema:
        if column.better == "unknown" or column.name not in frame:
            continue
        values = frame[column.name] if column.better == "higher" else -frame[column.name]
        ranks = values.groupby(targets).rank(pct=False)
        counts = values.groupby(targets).transform("count")
        centred = ((ranks - 0.5) / counts.where(counts > 0) - 0.5).fillna(0.0).to_numpy()
        if np.any(centred != 0):
            by_measure.setdefault((column.group, column.measure), []).append(centred)
    result = np.zeros((len(frame), len(groups)))
    for (group, _), columns in by_measure.items():
        result[:, list(groups).index(group)] += np.mean(columns, axis=0) / len(by_measure)
    return result
