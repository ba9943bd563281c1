"""Fine-tune one model on one task."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from transfercast.core.errors import InputError
from transfercast.core.kinds import Kind
from transfercast.core.records import Recipe, checked_seed
from transfercast.core.trainings import EpochRecord
from transfercast.sources.encoders import load_tokenizer
from transfercast.sources.frozen import fit_head
from transfercast.sources.inference import Reading, read
from transfercast.sources.language import tune_language
from transfercast.sources.models import new_model
from transfercast.sources.multitask import Companion
from transfercast.sources.precision import Precision
from transfercast.sources.scores import average_precision, chance_of, score_of
from transfercast.sources.threshold import HALF, best_threshold, best_thresholds, head_bias, move_threshold
from transfercast.sources.updates import AfterEpoch, Chosen, Judged, Run
from transfercast.tasks.task import Examples, Task

FEWEST_JUDGED, JUDGED_FOR_A_ROW = 300, 2
"""Largest number of validation rows on which epochs are scored: the larger of a fixed number and a number per training row."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A fine-tuned model and the record of its training.

    Attributes:
        model, tokenizer: on the device where they were trained.
        seconds: time of the training, with encoding texts and scoring epochs, without loading the model.
        curve: one record for each epoch; a single one for a head that was solved for.
        epoch: number, from 0, of the epoch that the weights are from.
        peak_mb: peak memory in MiB: on a GPU that of tensors, elsewhere that of the process since it started.
        chance: score on validation of a model that learned nothing, see `chance_of`.
    """

    model: Any
    tokenizer: Any
    seconds: float
    curve: tuple[EpochRecord, ...]
    epoch: int
    peak_mb: float
    chance: float

    def score(self, task: Task, split: str, max_tokens: int) -> float:
        """The task's metric on one of its splits."""
        return scored(self.model, self.tokenizer, task, task.splits[split], max_tokens)


def scored(model: Any, tokenizer: Any, task: Task, examples: Examples, max_tokens: int) -> float:
    """The task's metric on labelled documents; words cut off by truncation count as tagged O."""
    return _score(read(model, tokenizer, examples.texts, max_tokens, split=task.kind is Kind.SEQUENCE), task, examples)


def _score(reading: Reading, task: Task, examples: Examples) -> float:
    predicted = reading.predictions(task.kind, task.label_names)
    if task.kind is Kind.SEQUENCE:
        cut = zip(predicted, examples.labels, strict=True)
        predicted = [(*tags, *["O"] * (len(gold) - len(tags))) for tags, gold in cut]
    return score_of(task.metric, predicted, examples.labels)


def fine_tune(
    task: Task,
    checkpoint: Path,
    recipe: Recipe,
    *,
    seed: int,
    device: torch.device,
    companion: Task | None = None,
    after_epoch: AfterEpoch | None = None,
    compact: bool = True,
    precision: Precision = "auto",
    parts: int = 1,
) -> Trained:
    """Train a model for a task on the encoder of a checkpoint.

    Args:
        task: the task to learn.
        checkpoint: folder of a base encoder or of a source; `multitask` starts from a base encoder.
        recipe: the recipe; values that it leaves open depend on the number of training rows.
        seed: seed of the head's initialisation, dropout and row order; the global random state is not changed.
        device: device to train on.
        companion: for `multitask`, the source's task, whose training rows are learned at the same time.
        after_epoch: called with the epoch (from 0) and its record; an error that it raises ends the training.
        compact: train only the embeddings of tokens that occur; the result is the same up to rounding, in less time.
        precision: of matrix products in the updates; `auto` is bfloat16 where the hardware supports it.
        parts: number of parts in which the rows of an update are processed in turn: the same update, with less memory and
            more time.

    Raises:
        InputError: if the checkpoint cannot be read, the seed is out of range, or `multitask` has no companion.
    """
    if (recipe.adaptation == "multitask") is not (companion is not None):
        raise InputError(
            f"recipe {recipe.key!r}: multitask trains a target together with a source's task, and nothing else does. "
            "Fit sources with another recipe."
        )
    rows = len(task.splits["train"])
    recipe = recipe.settled(rows)
    tokenizer = load_tokenizer(checkpoint)
    rng = np.random.default_rng(checked_seed(seed))
    solved = recipe.adaptation == "features"
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        model = new_model(checkpoint, task, keep_head=recipe.head == "keep", mean=solved).to(device)
        model.config.pad_token_id = tokenizer.pad_token_id

        started = time.perf_counter()
        held = task.splits["validation"]
        few = _few(held, rows)

        def judge(examples: Examples = few) -> Judged:
            return _judged(model, tokenizer, task, examples, recipe)

        if recipe.adaptation == "ulmfit" and recipe.lm_epochs:
            tune_language(model, checkpoint, tokenizer, task, recipe, rng, precision)
        if solved:
            chosen = _solved(model, tokenizer, task, recipe, lambda: judge(held), after_epoch)
        else:
            beside = None if companion is None else Companion(companion, model, tokenizer, recipe, rng, rows)
            chosen = Run(task, model, tokenizer, recipe, rng, precision, compact, parts, beside).trained(judge, after_epoch)
        whole = few is held or solved or recipe.threshold == "half"
        threshold = chosen.threshold if whole else judge(held).threshold
    move_threshold(model, threshold)
    return Trained(
        model=model.eval(),
        tokenizer=tokenizer,
        seconds=time.perf_counter() - started,
        curve=chosen.curve,
        epoch=chosen.epoch,
        peak_mb=_peak_mb(device),
        chance=chance_of(task.kind, task.metric, (few if task.kind is Kind.BINARY and not solved else held).labels),
    )


def _solved(
    model: Any,
    tokenizer: Any,
    task: Task,
    recipe: Recipe,
    judge: Callable[[], Judged],
    after_epoch: AfterEpoch | None,
) -> Chosen:
    started = time.perf_counter()
    loss = fit_head(model, tokenizer, task, recipe.max_tokens)
    seconds = time.perf_counter() - started
    judged = judge()
    record = EpochRecord(judged.score, loss if math.isfinite(loss) else None, seconds, judged.average_precision)
    if after_epoch is not None:
        after_epoch(0, record)
    return Chosen((record,), 0, judged.threshold)


def _few(held: Examples, train_rows: int) -> Examples:
    """The validation rows on which epochs are scored: the same draw for every training, at about the cost of an epoch."""
    most = max(FEWEST_JUDGED, JUDGED_FOR_A_ROW * train_rows)
    return held if len(held) <= most else held.take(np.sort(np.random.default_rng(0).choice(len(held), most, replace=False)))


def _judged(model: Any, tokenizer: Any, task: Task, examples: Examples, recipe: Recipe) -> Judged:
    """The score of the model on validation rows, at the best threshold there if the recipe asks for that."""
    reading = read(model, tokenizer, examples.texts, recipe.max_tokens, split=task.kind is Kind.SEQUENCE)
    fits = recipe.threshold == "validation" and head_bias(model) is not None
    if task.kind is Kind.MULTILABEL and fits:
        thresholds = best_thresholds(task.metric, reading.outputs, examples.labels)
        return Judged(score_of(task.metric, (reading.outputs > thresholds).astype(int), examples.labels), thresholds)
    if task.kind is not Kind.BINARY:
        return Judged(_score(reading, task, examples))
    positive = reading.outputs[:, 1]
    threshold = best_threshold(task.metric, positive, examples.labels) if fits else HALF
    score = score_of(task.metric, (positive > threshold).astype(int), examples.labels)
    return Judged(score, threshold, average_precision(positive, examples.labels))


def _peak_mb(device: torch.device) -> float:
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device) / 2**20)
    if sys.platform == "win32":
        import psutil

        return float(psutil.Process().memory_info().peak_wset / 2**20)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
