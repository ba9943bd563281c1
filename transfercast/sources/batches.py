"""Texts as token ids, batches of similar length, and the loss of a batch."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from transfercast.core.kinds import Kind
from transfercast.tasks.task import Task

log = logging.getLogger(__name__)

IGNORED = -100  # label of a word piece that is not scored
UNLIMITED = 10**9


def tokenized(tokenizer: Any, texts: tuple[Any, ...], max_tokens: int, words: bool) -> Any:
    """Token ids of single texts, of pairs of texts, or (`words`) of sentences given as tuples of tokens."""
    options = {"truncation": True, "max_length": max_tokens}
    if words:
        return tokenizer([list(tokens) for tokens in texts], is_split_into_words=True, **options)
    if isinstance(texts[0], str):
        return tokenizer(list(texts), **options)
    return tokenizer([first for first, _ in texts], [second for _, second in texts], **options)


def tokenized_for(model: Any, tokenizer: Any, texts: tuple[Any, ...], max_tokens: int, words: bool) -> Any:
    """The same as `tokenized`, with no more tokens than the model has positions."""
    limit = min(max_tokens, most_tokens(model))
    encodings = tokenized(tokenizer, texts, limit, words)
    if limit < max_tokens and max(map(len, encodings["input_ids"]), default=0) == limit:
        _say_cut(limit, max_tokens)
    return encodings


def most_tokens(model: Any) -> int:
    """Largest number of tokens that a model can read: the size of its table of positions; without a table there is no limit.

    Positions of RoBERTa and related models start after that of the padding, those of BART and OPT at an offset.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.Embedding) and name.endswith(("position_embeddings", "embed_positions", "wpe")):
            unused = getattr(module, "offset", 0) if module.padding_idx is None else module.padding_idx + 1
            return int(module.num_embeddings - unused)
    return UNLIMITED


@cache
def _say_cut(limit: int, asked: int) -> None:
    """Warn once in a process, for all texts and models."""
    log.warning("texts are cut at %d tokens, for the encoder has no positions beyond (%d were allowed).", limit, asked)


def padded(encodings: Any, rows: Any, pad_token_id: int, device: torch.device) -> dict[str, torch.Tensor]:
    """The encodings of `rows` as padded tensors (rows, longest)."""
    longest = max(len(encodings["input_ids"][row]) for row in rows)
    tensors = {}
    for name in encodings:
        filler = pad_token_id if name == "input_ids" else 0
        lists = [[*encodings[name][row], *[filler] * (longest - len(encodings[name][row]))] for row in rows]
        tensors[name] = torch.tensor(lists, device=device)
    return tensors


def by_length(lengths: np.ndarray, tokens_a_batch: int) -> Iterator[np.ndarray]:
    """Row numbers, longest first, in batches of at most `tokens_a_batch` padded tokens (at least one row)."""
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        count = max(1, tokens_a_batch // int(max(lengths[order[start]], 1)))
        yield order[start : start + count]
        start += count


def shuffled(lengths: np.ndarray, batch_size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Batches in random order whose rows were sorted by length within chunks of 16 batches: little padding."""
    order = rng.permutation(len(lengths))
    chunk = batch_size * 16
    chunks = [order[start : start + chunk] for start in range(0, len(order), chunk)]
    rows = np.concatenate([part[np.argsort(lengths[part], kind="stable")] for part in chunks])
    batches = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def piece_labels(encodings: Any, labels: tuple[Any, ...], number: dict[str, int]) -> list[list[int]]:
    """The tag number on the first piece of each word, IGNORED elsewhere."""
    aligned = []
    for row, tags in enumerate(labels):
        previous, pieces = None, []
        for word in encodings.word_ids(row):
            pieces.append(number[tags[word]] if word is not None and word != previous else IGNORED)
            previous = word
        aligned.append(pieces)
    return aligned


class TrainingRows:
    """A task's n training rows, encoded for a model.

    Args:
        task: its training rows are encoded.
        model, tokenizer: the model and its tokenizer.
        max_tokens: number of tokens at which texts are truncated.

    Attributes:
        encodings: token ids of the texts.
        lengths: (n,) number of tokens.
    """

    def __init__(self, task: Task, model: Any, tokenizer: Any, max_tokens: int) -> None:
        train, words = task.splits["train"], task.kind is Kind.SEQUENCE
        self._kind, self._pad = task.kind, tokenizer.pad_token_id
        self.encodings = tokenized_for(model, tokenizer, train.texts, max_tokens, words=words)
        self.lengths = np.array([len(ids) for ids in self.encodings["input_ids"]])
        numbers = {name: number for number, name in enumerate(task.label_names)}
        self._labels: Any = piece_labels(self.encodings, train.labels, numbers) if words else train.labels

    def batch(self, rows: np.ndarray, device: torch.device) -> dict[str, torch.Tensor]:
        """The texts of some rows, padded."""
        return padded(self.encodings, rows, self._pad, device)

    def labels_in(self, rows: np.ndarray) -> int:
        """Number of labels in the mean loss of some rows: one a row; for sentences, one for each labelled token."""
        if self._kind is not Kind.SEQUENCE:
            return len(rows)
        return sum(label != IGNORED for row in rows for label in self._labels[row])

    def loss(self, logits: torch.Tensor, rows: np.ndarray) -> torch.Tensor:
        """The mean loss of the logits of some rows."""
        return loss_of(logits, self._kind, self._labels, rows)


def loss_of(logits: torch.Tensor, kind: Kind, labels: Any, rows: np.ndarray) -> torch.Tensor:
    """The mean loss of a batch.

    Args:
        logits: (rows, C), for sentences (rows, T, C).
        kind: kind of the task.
        labels: labels of all rows, for sentences those of `piece_labels`.
        rows: numbers of the batch's rows.
    """
    if kind is Kind.SEQUENCE:
        longest = logits.shape[1]
        lists = [[*labels[row], *[IGNORED] * (longest - len(labels[row]))] for row in rows]
        wanted = torch.tensor(lists, device=logits.device)
        return functional.cross_entropy(logits.flatten(0, 1), wanted.flatten(), ignore_index=IGNORED)
    if kind is Kind.REGRESSION:
        return functional.mse_loss(logits[:, 0], torch.tensor(labels[rows], dtype=logits.dtype, device=logits.device))
    wanted = torch.tensor(labels[rows], device=logits.device)
    if kind is Kind.MULTILABEL:
        return functional.binary_cross_entropy_with_logits(logits, wanted.to(logits.dtype))
    return functional.cross_entropy(logits, wanted)
