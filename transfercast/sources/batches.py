"""Texts as token ids, and batches of similar length."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

IGNORED = -100  # label of a word piece that is not scored


def tokenized(tokenizer: Any, texts: tuple[Any, ...], max_tokens: int, words: bool) -> Any:
    """Token ids of single texts, of pairs of texts, or (`words`) of sentences that are tuples of tokens already."""
    options = {"truncation": True, "max_length": max_tokens}
    if words:
        return tokenizer([list(tokens) for tokens in texts], is_split_into_words=True, **options)
    if isinstance(texts[0], str):
        return tokenizer(list(texts), **options)
    return tokenizer([first for first, _ in texts], [second for _, second in texts], **options)


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
