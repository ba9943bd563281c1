"""Multi-task learning with hard sharing (Caruana 1997): one encoder learns the source's and the target's task together.

Each update reads a batch of one of the two tasks, in random order, and each task has its own head (as in MT-DNN, Liu et
al. 2019). The source's head is discarded at the end, so the model is saved, read and used as a source like any other.
Sequential transfer needs the weights of a source; multi-task learning needs its training rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from transfercast.core.errors import InputError
from transfercast.core.kinds import Kind
from transfercast.core.records import Recipe
from transfercast.sources.batches import TrainingRows, shuffled
from transfercast.sources.pooled import HEAD_DEVIATION, mean_over_tokens
from transfercast.tasks.task import Task


class Companion:
    """A source's task, and its head on the encoder of the target's model.

    Args:
        task: the source's task; only its training rows are read.
        model, tokenizer: those of the target; the model is on the device where it is trained.
        recipe: it has the sampling, and the weight of the source's loss.
        rng: generator for the order of rows.
        target_rows: number of the target's training rows.

    Attributes:
        rows: n training rows.
        head: linear, on the mean over tokens of the encoder's last layer, or, for sentences, on each token.
        weight: factor of an update's gradient.

    Raises:
        InputError: if the model has no encoder of its own to share.
    """

    def __init__(
        self, task: Task, model: Any, tokenizer: Any, recipe: Recipe, rng: np.random.Generator, target_rows: int
    ) -> None:
        if model.config.is_encoder_decoder:
            raise InputError(
                f"adaptation 'multitask' is for encoders and decoders, not for both in one ({model.config.model_type})."
            )
        self.rows = TrainingRows(task, model, tokenizer, recipe.max_tokens)
        self.head = nn.Linear(model.config.hidden_size, max(1, len(task.label_names))).to(model.device)
        nn.init.normal_(self.head.weight, std=HEAD_DEVIATION)
        nn.init.zeros_(self.head.bias)
        self.weight = recipe.source_weight
        self._words, self._rng, self._batch_size = task.kind is Kind.SEQUENCE, rng, recipe.batch_size
        rows = len(self.rows.lengths)
        self._rows_an_epoch = target_rows if recipe.sampling == "inverse" else rows
        self._left = np.empty(0, dtype=np.int64)

    def batches(self) -> list[np.ndarray]:
        """Row numbers of an epoch's batches; no row is repeated before all others were drawn."""
        while len(self._left) < self._rows_an_epoch:
            self._left = np.concatenate([self._left, self._rng.permutation(len(self.rows.lengths))])
        rows, self._left = np.split(self._left, [self._rows_an_epoch])
        return [rows[places] for places in shuffled(self.rows.lengths[rows], self._batch_size, self._rng)]

    def logits(self, model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """(rows, C) of a batch of texts, (rows, T, C) of sentences."""
        states = model.base_model(**batch).last_hidden_state
        return torch.as_tensor(self.head(states if self._words else mean_over_tokens(states, batch["attention_mask"])))
