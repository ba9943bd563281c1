"""Fine-tuning one model on one task."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from transfercast.core.kinds import Kind
from transfercast.core.progress import progress
from transfercast.core.records import Recipe, checked_seed
from transfercast.sources.batches import IGNORED, padded, piece_labels, shuffled, tokenized_for
from transfercast.sources.compact import compacted
from transfercast.sources.encoders import load_tokenizer
from transfercast.sources.inference import read
from transfercast.sources.models import new_model
from transfercast.sources.recipes import optimiser_for, rate_at, set_free
from transfercast.sources.scores import score_of
from transfercast.tasks.task import Examples, Task

MAX_GRADIENT_NORM = 1.0


@dataclass(frozen=True, slots=True)
class Trained:
    """A fine-tuned model, its tokenizer, and the seconds the training took (scoring not counted)."""

    model: Any
    tokenizer: Any
    seconds: float

    def score(self, task: Task, split: str, max_tokens: int) -> float:
        """The task's metric on one of its splits."""
        return scored(self.model, self.tokenizer, task, task.splits[split], max_tokens)


def scored(model: Any, tokenizer: Any, task: Task, examples: Examples, max_tokens: int) -> float:
    """The task's metric on labelled documents; words cut off by truncation count as tagged O."""
    reading = read(model, tokenizer, examples.texts, max_tokens, split=task.kind is Kind.SEQUENCE)
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
    after_epoch: Callable[[int, float], None] | None = None,
    compact: bool = True,
) -> Trained:
    """Train the encoder of a checkpoint, with a fresh head, on a task's training rows.

    Args:
        task: what to learn.
        checkpoint: folder of a base encoder or of a source.
        recipe: how.
        seed: of the head's initialisation, dropout and row order; the global random state is left as it was.
        device: where.
        after_epoch: called with the epoch (from 0) and the validation score; raise in it to stop.
        compact: train only the embeddings of tokens that occur; the result is the same to rounding, in less time.

    Returns:
        The model after the last epoch, on `device`.

    Raises:
        InputError: if the checkpoint cannot be read, or the seed is out of range.
    """
    tokenizer = load_tokenizer(checkpoint)
    examples = task.splits["train"]
    rng = np.random.default_rng(checked_seed(seed))
    seconds = 0.0
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        model = new_model(checkpoint, task).to(device)
        encodings = tokenized_for(model, tokenizer, examples.texts, recipe.max_tokens, words=task.kind is Kind.SEQUENCE)
        lengths = np.array([len(ids) for ids in encodings["input_ids"]])
        labels = _labels(task, encodings)
        model.config.pad_token_id = tokenizer.pad_token_id
        tables = compacted(model, _token_lists(task, model, tokenizer, recipe, encodings)) if compact else None
        optimiser = optimiser_for(model, recipe)
        rates = [group["lr"] for group in optimiser.param_groups]
        updates = recipe.epochs * -(-len(lengths) // recipe.batch_size)
        update = 0
        for epoch in progress(range(recipe.epochs), f"{task.name}: epochs"):
            started = time.perf_counter()
            model.train(recipe.adaptation != "features")
            set_free(model, recipe, epoch)
            for rows in progress(shuffled(lengths, recipe.batch_size, rng), "batches"):
                for group, rate in zip(optimiser.param_groups, rates, strict=True):
                    group["lr"] = rate * rate_at(recipe, update, updates)
                loss = _loss(model, task.kind, padded(encodings, rows, tokenizer.pad_token_id, device), labels, rows)
                optimiser.zero_grad(set_to_none=True)
                torch.autograd.backward(loss)
                torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRADIENT_NORM)
                if tables is not None:
                    tables[0].note_update(optimiser)
                optimiser.step()
                update += 1
            seconds += time.perf_counter() - started
            if after_epoch is not None:
                validation = task.splits["validation"]
                after_epoch(epoch, scored(model, tokenizer, task, validation, recipe.max_tokens))
    if tables is not None:
        tables[0].write_back(tables[1])
        model.set_input_embeddings(tables[1])
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    return Trained(model.eval(), tokenizer, seconds)


def _token_lists(task: Task, model: Any, tokenizer: Any, recipe: Recipe, encodings: Any) -> list[list[int]]:
    """Token ids of all that is read during a training: padding, training rows, and validation rows, scored after epochs."""
    texts, words = task.splits["validation"].texts, task.kind is Kind.SEQUENCE
    validation = tokenized_for(model, tokenizer, texts, recipe.max_tokens, words=words)
    return [[tokenizer.pad_token_id], *encodings["input_ids"], *validation["input_ids"]]


def _labels(task: Task, encodings: Any) -> Any:
    labels = task.splits["train"].labels
    if task.kind is not Kind.SEQUENCE:
        return labels
    return piece_labels(encodings, labels, {name: number for number, name in enumerate(task.label_names)})


def _loss(model: Any, kind: Kind, batch: dict[str, torch.Tensor], labels: Any, rows: np.ndarray) -> torch.Tensor:
    logits = model(**batch).logits
    if kind is Kind.SEQUENCE:
        longest = batch["input_ids"].shape[1]
        lists = [[*labels[row], *[IGNORED] * (longest - len(labels[row]))] for row in rows]
        wanted = torch.tensor(lists, device=logits.device)
        return functional.cross_entropy(logits.flatten(0, 1), wanted.flatten(), ignore_index=IGNORED)
    if kind is Kind.REGRESSION:
        return functional.mse_loss(logits[:, 0], torch.tensor(labels[rows], dtype=logits.dtype, device=logits.device))
    return functional.cross_entropy(logits, torch.tensor(labels[rows], device=logits.device))
