"""Frozen transfer: a linear probe on the frozen source encoder's features, scored by cross-validation.

Ridge regression on standardised features, its penalty chosen by the closed-form leave-one-out error inside each of five
folds; classes are one-hot columns, so that every kind of task needs one factorisation a fold. The score is the target's own
metric; for sequences the micro F1 of words that are tagged. Feature extraction as in Peters, Ruder, Smith (RepL4NLP 2019),
arXiv:1903.05987.
"""

from __future__ import annotations

import numpy as np

from transfercast.core.errors import ShapeError
from transfercast.core.kinds import ALL_KINDS, METRICS, Kind
from transfercast.features.registry import measure
from transfercast.features.rows import one_hot, useless
from transfercast.sources.scores import score_of

FOLDS = 5
PENALTIES = np.logspace(-1, 4, 6)
SEED = 0
OUTSIDE = 0
LIKELY = 0.5


@measure(kinds=ALL_KINDS, better="higher", group="embeddings", paper="peters2019tune")
def frozen_transfer(source_embeddings: np.ndarray, target_values: np.ndarray, target_metric: str) -> float:
    """Cross-validated score of a linear probe, in the range of the metric; NaN if features are not finite or constant.

    Args:
        source_embeddings: (n, d) features of the target's rows (for sequences, of its words).
        target_values: (n,) class numbers (1 is positive in binary tasks, 0 is `O` in sequences), or real values, or (n, C)
            labels 0 and 1.
        target_metric: the target's metric, which also shows whether it has classes, values or sequences.

    Raises:
        ShapeError: if the lengths differ, or there are fewer rows than folds.
    """
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import KFold, StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features, values = np.asarray(source_embeddings, dtype=np.float64), np.asarray(target_values)
    if len(features) != len(values) or len(values) < FOLDS:
        raise ShapeError(f"a label for every row, and at least {FOLDS}: {len(features)} rows, {len(values)} labels.")
    if useless(features) is not None:
        return float("nan")
    kinds = METRICS[target_metric].kinds
    classes = None if Kind.REGRESSION in kinds or values.ndim == 2 else np.unique(values)
    wanted = values.astype(np.float64).reshape(len(values), -1) if classes is None else one_hot(values)
    stratified = classes is not None and np.unique(values, return_counts=True)[1].min() >= FOLDS
    folds = (StratifiedKFold if stratified else KFold)(FOLDS, shuffle=True, random_state=SEED)
    found = np.empty_like(wanted)
    for train, held_out in folds.split(features, values):
        probe = make_pipeline(StandardScaler(), RidgeCV(PENALTIES)).fit(features[train], wanted[train])
        found[held_out] = probe.predict(features[held_out]).reshape(len(held_out), -1)
    if values.ndim == 2:
        return score_of(target_metric, (found > LIKELY).astype(int), values)
    predicted = found[:, 0] if classes is None else classes[found.argmax(1)]
    if Kind.SEQUENCE not in kinds:
        return score_of(target_metric, predicted, values)
    right = ((predicted == values) & (values != OUTSIDE)).sum()
    return float(2 * right / max((predicted != OUTSIDE).sum() + (values != OUTSIDE).sum(), 1))
