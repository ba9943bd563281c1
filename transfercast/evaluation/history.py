"""A whole history evaluated: each target held out, each base encoder where there are several, and the prior beside them."""

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
        by: by what was held out: `target`, and `encoder` where there are several.
        prior: the same targets, by the prior.
        left_out: what could not be evaluated, and why.
    """

    by: dict[str, Evaluation]
    prior: Evaluation
    left_out: tuple[str, ...]


def evaluate_history(transfers: Transfers, features: str = "all", jobs: int = 1) -> HistoryEvaluation:
    """Evaluate observed transfers.

    Args:
        transfers: n observed.
        features: a feature set.
        jobs: folds at once.

    Raises:
        InputError: if nothing can be held out of them.
    """
    by, left_out = {"target": evaluate(held_out(transfers, features, "target", jobs, what="targets held out"))}, []
    try:
        by["encoder"] = evaluate(held_out(transfers, features, "encoder", jobs, what="encoders held out"))
    except InputError as error:
        left_out.append(f"Not held out by encoder: {error}")
    prior = evaluate(held_out(transfers, None, "target", what="prior"))
    return HistoryEvaluation(by, prior, tuple(left_out))
