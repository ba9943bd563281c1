"""Evaluation of a history: each target is held out, and each base encoder if there are several; the prior for comparison."""

from __future__ import annotations

from dataclasses import dataclass

from transfercast.core.errors import InputError
from transfercast.evaluation.evaluate import Evaluation, evaluate
from transfercast.evaluation.holdout import held_out
from transfercast.predictor.data import Transfers


@dataclass(frozen=True)
class HistoryEvaluation:
    """Evaluations of one history.

    Attributes:
        by: evaluations by what is held out: `target`, and `encoder` if there are several.
        prior: evaluation of the prior on the same targets.
        left_out: reasons for evaluations that were not possible, one sentence each.
    """

    by: dict[str, Evaluation]
    prior: Evaluation
    left_out: tuple[str, ...]


def evaluate_history(transfers: Transfers, features: str = "all", jobs: int = 1) -> HistoryEvaluation:
    """Evaluate observed transfers.

    Args:
        transfers: n observed transfers.
        features: a feature set.
        jobs: number of folds that are learned at the same time.

    Raises:
        InputError: if there are fewer than two targets.
    """
    by, left_out = {"target": evaluate(held_out(transfers, features, "target", jobs, what="targets held out"))}, []
    try:
        by["encoder"] = evaluate(held_out(transfers, features, "encoder", jobs, what="encoders held out"))
    except InputError as error:
        left_out.append(f"Not held out by encoder: {error}")
    prior = evaluate(held_out(transfers, None, "target", what="prior"))
    return HistoryEvaluation(by, prior, tuple(left_out))
