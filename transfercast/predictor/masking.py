"""The cells of the performance matrix that the forecast of a row must not use, for each cold-start regime.

    target cold start    the row's target was not observed with any encoder
    warm target          its target was observed, but not with the row's encoder
    encoder cold start   no transfer was observed with its encoder
    source cold start    its source was not observed

For learning and evaluation, the features of an observed row are computed from the matrix without those cells, as they would
have been before its observation.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from transfercast.predictor.performance import PerformanceMatrix, Rows

Regime = Literal["target cold start", "warm target", "encoder cold start", "source cold start"]
REGIMES: tuple[Regime, ...] = get_args(Regime)
COLD = REGIMES[0]


def hidden_together(regime: Regime, rows: Rows, target: np.ndarray) -> np.ndarray:
    """(n,) numbers: in this regime the forecast of a row must not use cells that have the row's number.

    Args:
        regime: the regime.
        rows: n candidates or cells.
        target: (n,) number of each row's target, in any numbering.
    """
    if regime == "target cold start":
        return target
    if regime == "warm target":
        return np.asarray(target * (rows.encoder.max(initial=0) + 1) + rows.encoder)
    return rows.encoder if regime == "encoder cold start" else rows.source


def regimes_of(matrix: PerformanceMatrix, rows: Rows) -> np.ndarray:
    """(n,) regime of each row; source cold start comes before encoder cold start, and that before those of the target."""
    known = matrix.rows
    observed = {matrix.profiles.names[index] for index in np.unique(known.target)}
    warm = np.array([name in observed for name in rows.profiles.names], dtype=bool)[rows.target]
    new_source, new_encoder = (
        ~np.isin(asked, seen) for asked, seen in ((rows.source, known.source), (rows.encoder, known.encoder))
    )
    return np.select([new_source, new_encoder, warm], [REGIMES[3], REGIMES[2], REGIMES[1]], COLD).astype(object)
