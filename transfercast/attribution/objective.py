"""F, the probability that conductance explains, as log-odds: of a class, a label, or of positive words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import logsigmoid

from transfercast.core.errors import InputError
from transfercast.sources.encoders import is_multilabel


def log_odds(model: Any, logits: torch.Tensor, targets: Sequence[Any]) -> torch.Tensor:
    """(rows,) log-odds of F, differentiable.

    Args:
        model: its configuration distinguishes multi-label heads and heads of one logit (sigmoid) from classes (softmax).
        logits: (rows, C), or (rows, T, C) of a token classifier.
        targets: for each row the class; for a token classifier the positions over which F is the mean probability of not
            being class 0 (`O`).
    """
    logits = logits.float()
    if logits.ndim == 3:
        return _of_tokens(logits, targets)
    classes = torch.tensor(targets, device=logits.device)
    if logits.shape[-1] == 1:
        return torch.where(classes == 1, logits[:, 0], -logits[:, 0])
    chosen = logits.gather(1, classes[:, None])[:, 0]
    if is_multilabel(model.config):
        return chosen
    others = logits.scatter(1, classes[:, None], -torch.inf)
    return chosen - others.logsumexp(1)


def _of_tokens(logits: torch.Tensor, positions: Sequence[Sequence[int]]) -> torch.Tensor:
    weights = torch.zeros(logits.shape[:2], device=logits.device)
    for row, found in enumerate(positions):
        weights[row, list(found)] = 1 / len(found)
    outside, inside = logits[..., 0], logits[..., 1:].logsumexp(2)
    logs = weights.log()  # -inf for tokens that do not count
    return (logs + logsigmoid(inside - outside)).logsumexp(1) - (logs + logsigmoid(outside - inside)).logsumexp(1)


def check_targets(model: Any, targets: Sequence[Any], tokens: bool) -> None:
    """Refuse models and targets without a probability, before any work.

    Raises:
        InputError: if the model is a regression, or a target is not one of its classes or not a list of words.
    """
    config = model.config
    if getattr(config, "problem_type", None) == "regression":
        raise InputError(f"{type(model).__name__} is a regression; conductance explains the probability of a class.")
    for row, target in enumerate(targets):
        if tokens:
            if isinstance(target, int) or not list(target):
                raise InputError(f"text {row}: target {target!r}; a token classifier takes a list of word numbers.")
        elif not isinstance(target, int) or not 0 <= target < max(config.num_labels, 2):
            raise InputError(f"text {row}: target {target!r} is none of the {max(config.num_labels, 2)} classes from 0.")
