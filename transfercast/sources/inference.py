"""Outputs of a model for texts, from one forward pass: embeddings of every layer and pooling, probabilities, tags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from transfercast.core.errors import InputError
from transfercast.core.kinds import Kind
from transfercast.core.poolings import Layers, Pooling
from transfercast.sources.batches import by_length, padded, tokenized_for
from transfercast.sources.encoders import is_multilabel

TOKENS_A_BATCH = 4096


@dataclass(frozen=True, slots=True)
class Reading:
    """A model's outputs for n texts.

    Attributes:
        layers: (L, n, d) mean of each layer over the tokens; for sentences (L, m, d), the first piece of each of the m words
            that were read, in order.
        firsts: (L, n, d) first token of each layer; for sentences the same as `layers`.
        outputs: class probabilities (n, C), which sum to 1 unless there are several labels, or values (n, 1) of a
            regression; of a token classifier (m, C); of an encoder without a head, the pooler's output (n, d), or (n, 0)
            without a pooler.
        words: (n,) number of words read of each sentence (truncation may leave some out); empty for texts.
    """

    layers: np.ndarray
    firsts: np.ndarray
    outputs: np.ndarray
    words: np.ndarray

    @property
    def embeddings(self) -> np.ndarray:
        """(n, d) mean over the tokens of the last layer."""
        return np.asarray(self.layers[-1])

    def pooled(self, pooling: Pooling, layers: Layers = "last") -> np.ndarray:
        """(K, n, d) embeddings of one pooling: of the last layer or the mean of layers (K = 1), or of each layer for `best`.

        Args:
            pooling: `pooler` is the output of an encoder's pooler, for any `layers`.
            layers: layers of the mean over tokens, or of the first token.

        Raises:
            InputError: if the model was not read as an encoder, or has no trained pooler.
        """
        if pooling == "pooler":
            if self.outputs.shape[-1] != self.layers.shape[-1]:
                raise InputError("this encoder has no trained pooler. Use pooling 'cls' or 'mean'.")
            return self.outputs[None]
        of_layers = self.layers if pooling == "mean" else self.firsts
        if layers == "best":
            return of_layers
        return of_layers.mean(0, keepdims=True) if layers == "mean" else of_layers[-1:]

    def predictions(self, kind: Kind, label_names: tuple[str, ...]) -> Any:
        """(n,) classes or values, (n, C) labels 0 and 1, or n tuples of tags that end where the text was truncated.

        Args:
            kind, label_names: of the model's own task.
        """
        if kind is Kind.REGRESSION:
            return self.outputs[:, 0]
        if kind is Kind.MULTILABEL:
            return (self.outputs > 0.5).astype(np.int64)
        classes = self.outputs.argmax(1)
        if kind is not Kind.SEQUENCE:
            return classes
        ends = np.cumsum(self.words)[:-1]
        return [tuple(label_names[number] for number in part) for part in np.split(classes, ends)]


@torch.inference_mode()
def read(model: Any, tokenizer: Any, texts: tuple[Any, ...], max_tokens: int, *, split: bool) -> Reading:
    """Encode texts with a fine-tuned model, or with an encoder, on the model's device.

    Args:
        model, tokenizer: results of `load_model` or `load_encoder`, and of `load_tokenizer`.
        texts: n strings or pairs; with `split`, n tuples of tokens.
        max_tokens: longer texts are truncated there, or at the model's last position if that is less.
        split: whether texts are sentences that are read word by word.
    """
    model.eval()
    encodings = tokenized_for(model, tokenizer, texts, max_tokens, words=split)
    lengths = np.array([len(ids) for ids in encodings["input_ids"]])
    read_rows: list[tuple[torch.Tensor, ...]] = [()] * len(texts)
    for rows in by_length(lengths, TOKENS_A_BATCH):
        batch = padded(encodings, rows, tokenizer.pad_token_id, model.device)
        result = model(**batch, output_hidden_states=True)
        layers, mask = _layers(result), batch["attention_mask"][..., None]
        probabilities = _probabilities(model, result, layers)
        for place, row in enumerate(rows):
            values, states = probabilities[place], layers[:, place]
            if split:
                first = _first_pieces(encodings.word_ids(int(row)))
                said = values[first] if values.ndim == 2 else values[None]
                found = states[:, first], states[:, :0], said
            else:
                said = _mean(values, mask[place]) if values.ndim == 2 else values[None]
                found = _mean(states, mask[place]), states[:, :1], said
            read_rows[row] = tuple(part.to("cpu", copy=True) for part in found)  # views would keep the batch
    vectors, firsts, outputs = zip(*read_rows, strict=True)
    words = np.array([part.shape[1] for part in vectors]) if split else np.empty(0, dtype=np.int64)
    of_layers = torch.cat(vectors, 1).numpy()
    return Reading(of_layers, of_layers if split else torch.cat(firsts, 1).numpy(), torch.cat(outputs).numpy(), words)


def _layers(result: Any) -> torch.Tensor:
    """(L, n, T, d) outputs of the layers; for an encoder-decoder those of its encoder."""
    states = result.get("hidden_states") or result.encoder_hidden_states
    return torch.stack(states[1:]).float()


def _probabilities(model: Any, result: Any, layers: torch.Tensor) -> torch.Tensor:
    if "logits" not in result:
        made = result.get("pooler_output")
        return layers.new_empty(layers.shape[1], 0) if made is None else torch.as_tensor(made.float())
    logits = result.logits.float()
    if is_multilabel(model.config):
        return torch.as_tensor(logits.sigmoid())
    return torch.as_tensor(logits if logits.shape[-1] == 1 else logits.softmax(-1))


def _mean(vectors: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return (vectors * mask).sum(-2, keepdim=True) / mask.sum()


def _first_pieces(word_ids: list[int | None]) -> list[int]:
    return [i for i, word in enumerate(word_ids) if word is not None and (i == 0 or word_ids[i - 1] != word)]
