"""The updates of one training, and the choice of the epoch whose weights are kept."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

from transfercast.core.kinds import Kind
from transfercast.core.progress import progress
from transfercast.core.records import Recipe
from transfercast.core.trainings import EpochRecord
from transfercast.sources.batches import TrainingRows, shuffled, tokenized_for
from transfercast.sources.compact import compacted
from transfercast.sources.lora import Adapters
from transfercast.sources.multitask import Companion
from transfercast.sources.precision import Precision, autocast
from transfercast.sources.recipes import MAX_GRADIENT_NORM, optimiser_for, rate_at, set_free
from transfercast.tasks.task import Task

AfterEpoch = Callable[[int, EpochRecord], None]


class Judged(NamedTuple):
    """Result of a model on validation: score, threshold (one for each of several labels), and average precision."""

    score: float
    threshold: float | tuple[float, ...] = 0.5
    average_precision: float | None = None


class Chosen(NamedTuple):
    """The curve of a training, the epoch (from 0) whose weights the model has, and the threshold for these weights."""

    curve: tuple[EpochRecord, ...]
    epoch: int
    threshold: float | tuple[float, ...]


class Run:
    """A model that is trained on a task's training rows.

    Args:
        task, model, tokenizer: the model is on the device where it is trained.
        recipe: has rate and epochs.
        rng: generator for the order of rows.
        precision: of matrix products.
        compact: train only the embeddings of tokens that occur; with adapters no embeddings are trained.
        parts: number of parts in which the rows of an update are processed in turn, to need less memory.
        companion: a task that is learned at the same time, with the same encoder.
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
        companion: Companion | None = None,
    ) -> None:
        self.task, self.model, self.tokenizer, self.recipe, self.rng = task, model, tokenizer, recipe, rng
        self.precision, self.parts, self.companion = precision, parts, companion
        self.rows = TrainingRows(task, model, tokenizer, recipe.max_tokens)
        self.adapters = Adapters(model) if recipe.adaptation == "lora" else None
        self.tables = compacted(model, self._token_lists()) if compact and self.adapters is None else None
        self.optimiser = optimiser_for(model, recipe, None if companion is None else companion.head)
        self.rates = [group["lr"] for group in self.optimiser.param_groups]
        self.epochs = recipe.epochs_of(len(self.rows.lengths))

    def _token_lists(self) -> list[list[int]]:
        """Token ids that occur in the training: those of padding, training rows and validation rows."""
        held, words = self.task.splits["validation"].texts, self.task.kind is Kind.SEQUENCE
        read_too = tokenized_for(self.model, self.tokenizer, held, self.recipe.max_tokens, words=words)
        beside = [] if self.companion is None else self.companion.rows.encodings["input_ids"]
        return [[self.tokenizer.pad_token_id], *self.rows.encodings["input_ids"], *read_too["input_ids"], *beside]

    def trained(self, judge: Callable[[], Judged], after_epoch: AfterEpoch | None) -> Chosen:
        """Run all epochs.

        Args:
            judge: scores the model in its present state.
            after_epoch: called with the epoch (from 0) and its record; an error that it raises ends the training.
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
        """One pass over the training rows; returns the mean loss over the updates on them, None if it is not finite."""
        self.model.train()
        set_free(self.model, self.recipe, epoch, self.epochs)
        batches = self._batches()
        losses = []
        for number, (companion, rows) in enumerate(progress(batches, "batches"), start=epoch * len(batches)):
            factor = rate_at(self.recipe, number, self.epochs * len(batches))
            for group, rate in zip(self.optimiser.param_groups, self.rates, strict=True):
                group["lr"] = rate * factor
            loss = self._update(companion, rows)
            if companion is None:
                losses.append(loss)
        mean = float(torch.stack(losses).mean())
        return mean if math.isfinite(mean) else None

    def _batches(self) -> list[tuple[Companion | None, np.ndarray]]:
        """An epoch's batches of the task itself (with None) and, mixed with them, those of its companion."""
        own = shuffled(self.rows.lengths, self.recipe.batch_size, self.rng)
        batches: list[tuple[Companion | None, np.ndarray]] = [(None, rows) for rows in own]
        if self.companion is None:
            return batches
        batches += [(self.companion, rows) for rows in self.companion.batches()]
        return [batches[place] for place in self.rng.permutation(len(batches))]

    def _update(self, companion: Companion | None, rows: np.ndarray) -> torch.Tensor:
        """Update on one batch; returns its mean loss. A companion's gradient is clipped, then multiplied by its weight."""
        device, read = self.model.device, self.rows if companion is None else companion.rows
        weight = 1.0 if companion is None else companion.weight
        mean = torch.zeros((), device=device)
        self.optimiser.zero_grad(set_to_none=True)
        for part in np.array_split(rows, min(self.parts, len(rows))):
            batch = read.batch(part, device)
            with autocast(device, self.precision):
                logits = self.model(**batch).logits if companion is None else companion.logits(self.model, batch)
            loss = read.labels_in(part) / max(read.labels_in(rows), 1) * read.loss(logits.float(), part)
            torch.autograd.backward(weight * loss)
            mean += loss.detach()
        learned = [parameter for group in self.optimiser.param_groups for parameter in group["params"]]
        torch.nn.utils.clip_grad_norm_(learned, weight * MAX_GRADIENT_NORM)
        if self.tables is not None:
            self.tables[0].note_update(self.optimiser)
        self.optimiser.step()
        return mean
