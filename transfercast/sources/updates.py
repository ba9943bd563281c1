"""The updates of one training, and which epoch's weights it ends with."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional

from transfercast.core.kinds import Kind
from transfercast.core.progress import progress
from transfercast.core.records import Recipe
from transfercast.core.trainings import EpochRecord
from transfercast.sources.batches import IGNORED, padded, piece_labels, shuffled, tokenized_for
from transfercast.sources.compact import compacted
from transfercast.sources.lora import Adapters
from transfercast.sources.precision import Precision, autocast
from transfercast.sources.recipes import MAX_GRADIENT_NORM, optimiser_for, rate_at, set_free
from transfercast.tasks.task import Task

AfterEpoch = Callable[[int, EpochRecord], None]


class Judged(NamedTuple):
    """A model on validation: its score, the threshold that it needs (one each of several labels), and its average precision."""

    score: float
    threshold: float | tuple[float, ...] = 0.5
    average_precision: float | None = None


class Chosen(NamedTuple):
    """The curve of a training, the epoch (from 0) whose weights the model has, and the threshold that these need."""

    curve: tuple[EpochRecord, ...]
    epoch: int
    threshold: float | tuple[float, ...]


class Run:
    """A model that is trained on a task's training rows.

    Args:
        task, model, tokenizer: the model lies on the device where it is trained.
        recipe: with rate and epochs.
        rng: for the order of rows.
        precision: of matrix products.
        compact: train only the embeddings of tokens that occur; adapters train none.
        parts: in which the rows of an update are read, one after the other, to need less memory.
    """

    def __init__(
        self,
        task: Task,
        model: Any,
        tokenizer: Any,
        recipe: Recipe,
        rng: np.random.Generator,
        precision: Precision,
        compact: bool,
        parts: int = 1,
    ) -> None:
        self.task, self.model, self.tokenizer, self.recipe, self.rng = task, model, tokenizer, recipe, rng
        self.precision, self.parts = precision, parts
        self.encodings = self._encoded("train")
        self.lengths = np.array([len(ids) for ids in self.encodings["input_ids"]])
        self.labels = _labels(task, self.encodings)
        self.adapters = Adapters(model) if recipe.adaptation == "lora" else None
        self.tables = compacted(model, self._token_lists()) if compact and self.adapters is None else None
        self.optimiser = optimiser_for(model, recipe)
        self.rates = [group["lr"] for group in self.optimiser.param_groups]
        self.epochs = recipe.epochs_of(len(self.lengths))
        self.updates = self.epochs * -(-len(self.lengths) // recipe.batch_size)

    def _encoded(self, split: str) -> Any:
        words = self.task.kind is Kind.SEQUENCE
        return tokenized_for(self.model, self.tokenizer, self.task.splits[split].texts, self.recipe.max_tokens, words=words)

    def _token_lists(self) -> list[list[int]]:
        """Token ids of all that is read during the training: padding, training rows, and validation rows."""
        return [[self.tokenizer.pad_token_id], *self.encodings["input_ids"], *self._encoded("validation")["input_ids"]]

    def trained(self, judge: Callable[[], Judged], after_epoch: AfterEpoch | None) -> Chosen:
        """Run all epochs.

        Args:
            judge: scores the model as it is.
            after_epoch: called with the epoch (from 0) and its record; raise in it to stop.
        """
        curve: list[EpochRecord] = []
        best, weights = 0, None
        threshold: float | tuple[float, ...] = 0.5
        for epoch in progress(range(self.epochs), f"{self.task.name}: epochs"):
            started = time.perf_counter()
            loss = self._epoch(epoch)
            seconds = time.perf_counter() - started
            judged = judge()
            curve.append(EpochRecord(judged.score, loss, seconds, judged.average_precision))
            if self.recipe.choose == "last" or judged.score >= curve[best].score:
                best, threshold = epoch, judged.threshold
                if self.recipe.choose == "best" and epoch < self.epochs - 1:
                    weights = {name: value.clone() for name, value in self.model.state_dict().items()}
            if after_epoch is not None:
                after_epoch(epoch, curve[-1])
        if weights is not None and best < self.epochs - 1:
            self.model.load_state_dict(weights)
        self._finish()
        return Chosen(tuple(curve), best, threshold)

    def _finish(self) -> None:
        if self.tables is not None:
            small, whole = self.tables
            small.write_back(whole)
            self.model.set_input_embeddings(whole)
        if self.adapters is not None:
            self.adapters.merge()
        for parameter in self.model.parameters():
            parameter.requires_grad_(True)

    def _epoch(self, epoch: int) -> float | None:
        """One pass over the training rows; the mean loss over its updates, None where it is no number."""
        self.model.train()
        set_free(self.model, self.recipe, epoch, self.epochs)
        batches = shuffled(self.lengths, self.recipe.batch_size, self.rng)
        device = self.model.device
        losses = torch.zeros((), device=device)
        for number, rows in enumerate(progress(batches, "batches"), start=epoch * len(batches)):
            factor = rate_at(self.recipe, number, self.updates)
            for group, rate in zip(self.optimiser.param_groups, self.rates, strict=True):
                group["lr"] = rate * factor
            self.optimiser.zero_grad(set_to_none=True)
            for part in np.array_split(rows, min(self.parts, len(rows))):
                batch = padded(self.encodings, part, self.tokenizer.pad_token_id, device)
                with autocast(device, self.precision):
                    logits = self.model(**batch).logits
                share = self._judged_in(part) / max(self._judged_in(rows), 1)
                loss = share * _loss(logits.float(), self.task.kind, self.labels, part)
                torch.autograd.backward(loss)
                losses += loss.detach()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), MAX_GRADIENT_NORM)
            if self.tables is not None:
                self.tables[0].note_update(self.optimiser)
            self.optimiser.step()
        mean = float(losses) / len(batches)
        return mean if math.isfinite(mean) else None

    def _judged_in(self, rows: np.ndarray) -> int:
        """Over how many labels the loss of some rows is a mean: one a row, or one a token that has one."""
        if self.task.kind is not Kind.SEQUENCE:
            return len(rows)
        return sum(label != IGNORED for row in rows for label in self.labels[row])


def _labels(task: Task, encodings: Any) -> Any:
    labels = task.splits["train"].labels
    if task.kind is not Kind.SEQUENCE:
        return labels
    return piece_labels(encodings, labels, {name: number for number, name in enumerate(task.label_names)})


def _loss(logits: torch.Tensor, kind: Kind, labels: Any, rows: np.ndarray) -> torch.Tensor:
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
