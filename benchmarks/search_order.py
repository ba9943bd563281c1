"""TaskWeb, which has no curves: trials to within 1 % of the best in the forecast order, and forecast again after each result.

After the first result a target is no longer cold, so that the predictor's process speaks alone, given the target's own results
so far; so it is replayed here. Each target is held out whole, and every training counts the same.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.search_stops import CLOSE
from benchmarks.taskweb import JUDGED, history_of, judged_rows, measured_pairs
from transfercast.evaluation.holdout import held_out
from transfercast.predictor.data import Transfers, transfers_of
from transfercast.predictor.performance import performance_matrix
from transfercast.predictor.process import PairProcess


def reorder(folder: Path, most: int | None = None) -> dict[str, float]:
    """Mean trials of both, over targets and encoders, and the share that is saved by forecasting again.

    Args:
        folder: of TaskWeb's tables.
        most: targets and encoders to replay, evenly chosen; by default all.
    """
    history = history_of(folder)
    observed = replace(transfers_of(history.frames(), history.schema()), measured=measured_pairs(folder))
    forecast, rows = held_out(observed), judged_rows(observed)
    candidates, fixed, again = observed.candidates, [], []
    groups = [g for g in range(candidates.query_ids.max() + 1) if (rows & (candidates.query_ids == g)).sum() > 1]
    for group in groups[:: max(len(groups) // (most or len(groups)), 1)]:
        own = np.nonzero(rows & (candidates.query_ids == group))[0]
        order = own[np.argsort(-forecast.score[own], kind="stable")]
        fixed.append(trials_to_best(observed.score[order]))
        again.append(trials_to_best(observed.score[_reordered(observed, order)]))
    saved = 1 - float(np.sum(again) / np.sum(fixed))
    print(f"{len(fixed)} targets and encoders of {', '.join(JUDGED)}: {np.mean(fixed):.2f} trials in the forecast order, "
          f"{np.mean(again):.2f} forecast again after each")  # fmt: skip
    return {"trials_fixed": float(np.mean(fixed)), "trials_reordered": float(np.mean(again)), "reorder_gain": saved}


def trials_to_best(scores: np.ndarray) -> int:
    """How many trials until one is within 1 % of the best of all."""
    return int(np.argmax(np.maximum.accumulate(scores) >= CLOSE * scores.max())) + 1


def _reordered(observed: Transfers, order: np.ndarray) -> np.ndarray:
    """Row numbers in the order in which they are trained, when what is left is forecast again after each."""
    others = observed.candidates.targets != observed.candidates.targets[order[0]]
    columns = [column for column in observed.candidates.schema if column.group != "recipe"]
    taken, left = [int(order[0])], [int(row) for row in order[1:]]
    close = CLOSE * observed.score[order].max()
    while left and observed.score[taken[-1]] < close:
        known = np.concatenate([np.nonzero(others)[0], taken])
        process = PairProcess(performance_matrix(observed.take(known), columns))
        candidates = observed.candidates.take(np.array([*left, *taken]))
        forecasts = process.forecast(process.matrix.rows_of(candidates)).total[: len(left)]
        taken.append(left.pop(int(np.argmax(forecasts))))
    return np.array(taken + left)
