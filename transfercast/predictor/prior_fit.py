"""What transfers between other tasks teach of a transfer between tasks that nobody knows: weights of the evidence.

Within each target, with x the columns' ranks in [-0.5, 0.5] and y the relative scores, the weights are

    w = u v + argmin_d  |y - X (u v + d)|^2 + RIDGE |d|^2,    u = (n u_0 + VOTE_ROWS) / (n + VOTE_ROWS)

where v is the equal vote of the measures and u what it is worth: by least squares on n transfers, u_0, pulled toward 1. So a
column that shows nothing keeps its vote, and a few transfers change little (ridge regression toward a prior mean; Hoerl and
Kennard 1970). They are learned from transfers with the most frequent recipe. The weight of another adaptation is twice
the share of the headroom by which its scores differ from these on the same pairs (least squares, shrunk by RECIPE_PAIRS),
because two values of a column are half a rank apart. Names of sources and targets are not used. Weights, gains and intervals
are judged on families of tasks that were held out whole, with their sources.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from transfercast.predictor.calibration import calibration_of_prior, levels_of, slope_of
from transfercast.predictor.data import ADAPTATIONS, Candidates, Transfers
from transfercast.predictor.fitting import ATLAS, FittedModel, held_out_errors, judged, of_prior
from transfercast.predictor.prior import Weights, key_of, ranks_of
from transfercast.predictor.relative import relative_scores

RIDGE, VOTE_ROWS = 100.0, 300.0
"""Chosen on three published tables, half of the sources and a fifth of the targets held out. NDCG of the learned weights and of
equal votes, learned from all that is left: lr_dep 72.7, 70.0; tg_records 61.3, 57.3; TaskWeb 65.5, 65.6. Learned from six
targets with six sources each: 70.6, 55.9, 65.3; with a penalty of .05 n, and votes worth u_0: 69.5, 48.5, 62.0."""

RECIPE_PAIRS = 20.0
"""Pairs that were trained both ways at which half of an adaptation's effect is kept."""

_ADAPTATIONS = frozenset(f"recipe_{name}" for name in ADAPTATIONS.values())

SMALLEST = 1e-4
"""Weights below this share of the headroom are not kept."""


def fit_on_families(transfers: Transfers, families: Mapping[str, str]) -> FittedModel:
    """The prior with learned weights, observed gains, and the errors that both make of families that they do not know.

    Args:
        transfers: n observed transfers.
        families: of each task; a task that is not named is a family of its own.
    """
    errors = np.full(len(transfers), np.nan)
    for known, asked in held_out_families(transfers, families):
        if not known.any():
            continue
        rest, own = transfers.take(known), transfers.take(asked)
        errors[asked] = held_out_errors(calibration_of_prior(rest, learned_weights(rest)), own, np.zeros(len(own)))
    calibration = calibration_of_prior(transfers, learned_weights(transfers))
    return replace(of_prior(*judged(calibration, transfers, errors), transfers.candidates.schema), features=ATLAS)


def held_out_families(transfers: Transfers, families: Mapping[str, str]) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each family, (n,) whether a transfer has no task of it, and (n,) whether its target is of it."""
    of_source, of_target = (
        np.array([families.get(name, name) for name in names], dtype=object)
        for names in (transfers.candidates.sources, transfers.candidates.targets)
    )
    return [((of_source != one) & (of_target != one), of_target == one) for one in dict.fromkeys(of_target)]


def learned_weights(transfers: Transfers) -> Weights:
    """Weights of the columns of measures and of adaptations, in shares of the headroom."""
    usual = transfers.candidates.recipes == Counter(transfers.candidates.recipes).most_common(1)[0][0]
    return {**_weights_of_measures(transfers.take(usual)), **_weights_of_adaptations(transfers, usual)}


def _weights_of_measures(transfers: Transfers) -> Weights:
    rows = transfers.candidates
    columns = np.array([number for number, column in enumerate(rows.schema) if column.group != "recipe"], dtype=np.int64)
    ranks, outcome = ranks_of(rows, columns), relative_scores(transfers.score, rows.query_ids)
    votes = _votes(rows, columns)
    joined = ranks @ votes
    worth = float(joined @ outcome) / max(float(joined @ joined), 1e-12)
    votes = votes * max((len(rows) * worth + VOTE_ROWS) / (len(rows) + VOTE_ROWS), 0.0)
    gram = ranks.T @ ranks + RIDGE * np.eye(len(columns))
    weights = votes + np.linalg.solve(gram, ranks.T @ (outcome - ranks @ votes))
    weights = weights * slope_of(transfers, ranks @ weights, levels_of(transfers))
    kept = zip(columns, weights.tolist(), strict=True)
    return {key_of(rows.schema[number]): round(weight, 6) for number, weight in kept if abs(weight) >= SMALLEST}


def _weights_of_adaptations(transfers: Transfers, usual: np.ndarray) -> Weights:
    """Twice an adaptation's effect: those who have it and those who have not are half a rank apart."""
    rows = transfers.candidates
    pairs = list(zip(rows.sources, rows.targets, rows.encoder, rows.metric, strict=True))
    headroom = levels_of(transfers).headroom(rows)
    of_pair = {pairs[row]: row for row in np.flatnonzero(usual)}
    found = {}
    for number, column in enumerate(rows.schema):
        if column.name in _ADAPTATIONS:
            trained = [row for row in np.flatnonzero(rows.values[:, number] == 1) if pairs[row] in of_pair]
            other = [of_pair[pairs[row]] for row in trained]
            if trained:
                apart, room = transfers.score[trained] - transfers.score[other], headroom[other]
                effect = float(apart @ room) / float(room @ room) * len(trained) / (len(trained) + RECIPE_PAIRS)
                found[key_of(column)] = round(2 * effect, 6)
    return found


def _votes(rows: Candidates, columns: np.ndarray) -> np.ndarray:
    """(f,) one vote for each measure, shared by its columns; none where the direction is not known."""
    measures = [(rows.schema[number].group, rows.schema[number].measure) for number in columns]
    directed = np.array([rows.schema[number].better != "unknown" for number in columns])
    counts = {name: sum(d for d, own in zip(directed, measures, strict=True) if own == name) for name in measures}
    return np.array([float(d) / max(counts[name], 1) for d, name in zip(directed, measures, strict=True)]) / max(len(counts), 1)
