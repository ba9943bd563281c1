"""The diagonal of a fine-tuned encoder's Fisher information, row by row: only the sum of squares is kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional

from transfercast.core.kinds import Kind
from transfercast.core.progress import progress
from transfercast.sources.batches import IGNORED, padded, piece_labels, tokenized_for
from transfercast.tasks.task import Examples


def fisher(
    model: Any, tokenizer: Any, examples: Examples, kind: Kind, label_names: tuple[str, ...], max_tokens: int
) -> list[np.ndarray]:
    """For each parameter block of the encoder except its embeddings, the (p,) diagonal scaled to length 1, as float16.

    The diagonal is the mean over rows of the squared gradient of the log likelihood of the row's label. For values the
    likelihood is that of a normal with variance 1 around the model's output; for sentences it is the mean over their words.

    Args:
        model: fine-tuned on `label_names`, on its device.
        tokenizer: its own.
        examples: at least one row.
        kind, label_names: of the model's task.
        max_tokens: longer texts are truncated.
    """
    model.eval()
    embeddings = {id(parameter) for parameter in model.get_input_embeddings().parameters()}
    blocks = [parameter for parameter in model.base_model.parameters() if id(parameter) not in embeddings]
    sums = [torch.zeros_like(block) for block in blocks]
    encodings = tokenized_for(model, tokenizer, examples.texts, max_tokens, words=kind is Kind.SEQUENCE)
    labels: Any = examples.labels
    if kind is Kind.SEQUENCE:
        labels = piece_labels(encodings, examples.labels, {name: number for number, name in enumerate(label_names)})
    for row in progress(range(len(examples)), "Fisher information"):
        logits = model(**padded(encodings, [row], tokenizer.pad_token_id, model.device)).logits
        gradients = torch.autograd.grad(_log_likelihood(logits[0], labels[row], kind), blocks, allow_unused=True)
        for total, gradient in zip(sums, gradients, strict=True):
            if gradient is not None:
                total += gradient**2
    norms = [torch.linalg.vector_norm(total) for total in sums]
    return [
        (total / norm if norm > 0 else total).flatten().half().cpu().numpy() for total, norm in zip(sums, norms, strict=True)
    ]


def _log_likelihood(logits: torch.Tensor, label: Any, kind: Kind) -> torch.Tensor:
    if kind is Kind.REGRESSION:
        return -((logits[0] - float(label)) ** 2) / 2
    if kind is Kind.MULTILABEL:
        wanted = torch.tensor(label, dtype=logits.dtype, device=logits.device)
        return -functional.binary_cross_entropy_with_logits(logits, wanted, reduction="sum")
    if kind is not Kind.SEQUENCE:
        return logits.log_softmax(-1)[int(label)]
    wanted = torch.tensor(label, device=logits.device)
    counted = wanted != IGNORED
    return logits.log_softmax(-1)[counted].gather(1, wanted[counted][:, None]).mean()
