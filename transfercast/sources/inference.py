"""What a fine-tuned model says of texts, in one forward pass: probabilities, tags, embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from transfercast.core.kinds import Kind
from transfercast.sources.batches import by_length, padded, tokenized

TOKENS_A_BATCH = 4096


@dataclass(frozen=True, slots=True)
class Reading:
    """A model's reading of n texts.

    Attributes:
        embeddings: (n, d) mean of the last layer over the tokens; of sentences (m, d), the first piece of each of the
            m words that were read, in order.
        outputs: class probabilities (n, C), or values (n, 1) of a regression; of sentences read by a token classifier
            (m, C).
        words: (n,) number of words read of each sentence (truncation may leave some out); for texts empty.
    """

    embeddings: np.ndarray
    outputs: np.ndarray
    words: np.ndarray

    def predictions(self, kind: Kind, label_names: tuple[str, ...]) -> Any:
        """(n,) classes or values, or n tuples of tags ending where the reading was cut off.

        Args:
            kind, label_names: of the model's own task.
        """
        if kind is Kind.REGRESSION:
            return self.outputs[:, 0]
        classes = self.outputs.argmax(1)
        if kind is not Kind.SEQUENCE:
            return classes
        ends = np.cumsum(self.words)[:-1]
        return [tuple(label_names[number] for number in part) for part in np.split(classes, ends)]


@torch.inference_mode()
def read(model: Any, tokenizer: Any, texts: tuple[Any, ...], max_tokens: int, *, split: bool) -> Reading:
    """Read texts with a fine-tuned model on the device it lies on.

    Args:
        model, tokenizer: as `load_model` and `load_tokenizer` give them.
        texts: n strings or pairs; with `split`, n tuples of tokens.
        max_tokens: longer texts are cut.
        split: whether texts are sentences that are read word by word.
    """
    model.eval()
    encodings = tokenized(tokenizer, texts, max_tokens, words=split)
    lengths = np.array([len(ids) for ids in encodings["input_ids"]])
    embeddings: list[np.ndarray] = [np.empty(0)] * len(texts)
    outputs: list[np.ndarray] = [np.empty(0)] * len(texts)
    for rows in by_length(lengths, TOKENS_A_BATCH):
        batch = padded(encodings, rows, tokenizer.pad_token_id, model.device)
        result = model(**batch, output_hidden_states=True)
        last, mask = result.hidden_states[-1].float(), batch["attention_mask"][..., None]
        logits = result.logits.float()
        probabilities = logits if logits.shape[-1] == 1 else logits.softmax(-1)
        for place, row in enumerate(rows):
            first = _first_pieces(encodings.word_ids(int(row))) if split else []
            vectors = last[place, first] if split else _mean(last[place], mask[place])
            values = probabilities[place]
            if values.ndim == 2:
                values = values[first] if split else _mean(values, mask[place])
            embeddings[row] = vectors.cpu().numpy()
            outputs[row] = values.reshape(-1, values.shape[-1]).cpu().numpy()
    words = np.array([len(part) for part in embeddings]) if split else np.empty(0, dtype=np.int64)
    return Reading(np.concatenate(embeddings), np.concatenate(outputs), words)


def _mean(vectors: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return (vectors * mask).sum(0, keepdim=True) / mask.sum()


def _first_pieces(word_ids: list[int | None]) -> list[int]:
    return [i for i, word in enumerate(word_ids) if word is not None and (i == 0 or word_ids[i - 1] != word)]
