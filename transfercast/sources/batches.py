"""Texts as token ids, and batches of similar length."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import nn

log = logging.getLogger(__name__)

IGNORED = -100  # label of a word piece that is not scored
UNLIMITED = 10**9


def tokenized(tokenizer: Any, texts: tuple[Any, ...], max_tokens: int, words: bool) -> Any:
    """Token ids of single texts, of pairs of texts, or (`words`) of sentences that are tuples of tokens already."""
    options = {"truncation": True, "max_length": max_tokens}
    if words:
        return tokenizer([list(tokens) for tokens in texts], is_split_into_words=True, **options)
    if isinstance(texts[0], str):
        return tokenizer(list(texts), **options)
    return tokenizer([first for first, _ in texts], [second for _, second in texts], **options)


def tokenized_for(model: Any, tokenizer: Any, texts: tuple[Any, ...], max_tokens: int, words: bool) -> Any:
    """As `tokenized`, of at most as many tokens as the model has positions for."""
    limit = min(max_tokens, most_tokens(model))
    encodings = tokenized(tokenizer, texts, limit, words)
    if limit < max_tokens and max(map(len, encodings["input_ids"]), default=0) == limit:
        _say_cut(limit, max_tokens)
    return encodings


def most_tokens(model: Any) -> int:
    """How many tokens a model can read: the size of its table of positions; without a table there is no limit.

    RoBERTa and its kin count positions from behind the padding's, BART and OPT from an offset.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.Embedding) and name.endswith(("position_embeddings", "embed_positions", "wpe")):
            unused = getattr(module, "offset", 0) if module.padding_idx is None else module.padding_idx + 1
            return int(module.num_embeddings - unused)
    return UNLIMITED


@cache
def _say_cut(limit: int, asked: int) -> None:
    """Once a process, however many texts and models there are."""
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
