"""A head on a frozen encoder: the texts are encoded once, and the head is solved for.

The head minimises the logistic (for values, squared) loss with an L2 penalty, by scikit-learn's solvers; the strength of the
penalty is chosen by the loss on validation. There is no learning rate and there are no epochs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.special import logsumexp
from sklearn.linear_model import LogisticRegression, Ridge

from transfercast.core.kinds import Kind
from transfercast.sources.inference import read
from transfercast.tasks.task import Task

STRENGTHS = tuple(10.0**power for power in np.arange(-2, 3.5, 0.5))
"""Inverse strengths of the penalty that are tried, the strongest first."""

MOST_ITERATIONS = 2000


def fit_head(model: Any, tokenizer: Any, task: Task, max_tokens: int) -> float:
    """Solve for the head of a model whose logits are linear in the encoder's outputs; returns its mean loss on validation.

    Args:
        model: a PooledClassifier, or a classifier of tokens.
        tokenizer: that of the same checkpoint.
        task: its training rows fit the head, its validation rows choose the strength.
        max_tokens: longer texts are truncated.
    """
    inputs, labels = _inputs(model, tokenizer, task, "train", max_tokens)
    held, wanted = _inputs(model, tokenizer, task, "validation", max_tokens)
    mean, spread = inputs.mean(axis=0), inputs.std(axis=0) + 1e-6
    inputs, held = (inputs - mean) / spread, (held - mean) / spread
    heads = [_solved(task.kind, max(len(task.label_names), 1), inputs, labels, strength) for strength in STRENGTHS]
    weight, bias = min(heads, key=lambda head: _cost(task.kind, head, held, wanted))
    layer = model.classifier
    with torch.no_grad():
        scaled = weight / spread
        layer.weight.copy_(torch.from_numpy(scaled))
        layer.bias.copy_(torch.from_numpy(bias - scaled @ mean))
    return _cost(task.kind, (weight, bias), held, wanted)


Head = tuple[np.ndarray, np.ndarray]
"""Weights (C, d) and biases (C,)."""

UNSEEN = -30.0
"""Bias of a class that no training row has."""


def _inputs(model: Any, tokenizer: Any, task: Task, split: str, max_tokens: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (m, d) and labels (m,) or (m, C) of the head: one row for each document or, in sentences, for each word."""
    examples, words = task.splits[split], task.kind is Kind.SEQUENCE
    reading = read(model, tokenizer, examples.texts, max_tokens, split=words)
    inputs = reading.embeddings.astype(np.float64)
    if not words:
        return inputs, examples.labels
    number = {name: i for i, name in enumerate(task.label_names)}
    tags = [number[tag] for tags, seen in zip(examples.labels, reading.words, strict=True) for tag in tags[:seen]]
    return inputs, np.array(tags)


def _solved(kind: Kind, classes: int, inputs: np.ndarray, labels: np.ndarray, strength: float) -> Head:
    if kind is Kind.REGRESSION:
        ridge = Ridge(alpha=1 / strength).fit(inputs, labels)
        return ridge.coef_[None], np.atleast_1d(ridge.intercept_)
    if kind is Kind.MULTILABEL:
        of_labels = [_of_label(inputs, column, strength) for column in labels.T]
        return np.concatenate([weight for weight, _ in of_labels]), np.concatenate([bias for _, bias in of_labels])
    solver = LogisticRegression(C=strength, max_iter=MOST_ITERATIONS).fit(inputs, labels)
    weight, bias = solver.coef_, solver.intercept_
    if len(solver.classes_) == 2:  # scikit-learn gives the difference of the two logits
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    whole_weight, whole_bias = np.zeros((classes, inputs.shape[1])), np.full(classes, UNSEEN)
    whole_weight[solver.classes_], whole_bias[solver.classes_] = weight, bias
    return whole_weight, whole_bias


def _of_label(inputs: np.ndarray, labels: np.ndarray, strength: float) -> Head:
    """The head of one label of several, whose logit is that of the label itself."""
    if labels.min() == labels.max():
        return np.zeros((1, inputs.shape[1])), np.array([-UNSEEN if labels[0] else UNSEEN])
    solver = LogisticRegression(C=strength, max_iter=MOST_ITERATIONS).fit(inputs, labels)
    return solver.coef_, solver.intercept_


def _cost(kind: Kind, head: Head, inputs: np.ndarray, labels: np.ndarray) -> float:
    """Mean loss on validation."""
    logits = inputs @ head[0].T + head[1]
    if kind is Kind.REGRESSION:
        return float(((logits[:, 0] - labels) ** 2).mean())
    if kind is Kind.MULTILABEL:
        return float((np.logaddexp(0, logits) - labels * logits).mean())
    return float((logsumexp(logits, axis=1) - logits[np.arange(len(labels)), labels]).mean())
