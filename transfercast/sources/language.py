"""Language-model fine-tuning on a task's texts: the middle stage of ULMFiT (Howard and Ruder 2018), without any label.

Encoders learn to predict masked tokens, like BERT: of the 15 % of the tokens that are to be predicted, 80 % are masked, 10 %
are replaced by a random token, and 10 % are left (Devlin et al. 2019). Decoders learn to predict the next token. Learning rates
decrease layer by layer, and rise and fall over the updates, as in the next stage; all layers learn. If the checkpoint has a
language model's head, it is used, and discarded afterwards.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from transfercast.core.errors import InputError
from transfercast.core.kinds import Kind
from transfercast.core.progress import progress
from transfercast.core.records import Recipe
from transfercast.sources.batches import IGNORED, padded, shuffled, tokenized_for
from transfercast.sources.encoders import load_config, reading
from transfercast.sources.precision import Precision, autocast
from transfercast.sources.recipes import MAX_GRADIENT_NORM, optimiser_for, rate_at
from transfercast.tasks.task import Task

TOLD, MASKED, REPLACED = 0.15, 0.8, 0.1
"""Share of tokens to be predicted; of these, the share that is masked, and the share that is replaced."""


def tune_language(
    model: Any, checkpoint: Path, tokenizer: Any, task: Task, recipe: Recipe, rng: np.random.Generator, precision: Precision
) -> float:
    """Train the encoder of a model as a language model on the task's training texts.

    Args:
        model: a model whose encoder was read from the checkpoint, on its device.
        checkpoint: folder of the checkpoint.
        tokenizer: of the checkpoint.
        task: its training texts are read, no labels.
        recipe: with a rate, and `lm_epochs`.
        rng: for the order of rows and for masks.
        precision: of matrix products.

    Returns:
        The mean loss over the last epoch, in nats a token.

    Raises:
        InputError: if there is no language model of the checkpoint's architecture, or its tokenizer has no mask.
    """
    language, masks = _language_model(checkpoint, tokenizer)
    language = language.float().to(model.device)
    encodings = tokenized_for(
        language, tokenizer, task.splits["train"].texts, recipe.max_tokens, words=task.kind is Kind.SEQUENCE
    )
    lengths = np.array([len(ids) for ids in encodings["input_ids"]])
    optimiser = optimiser_for(language, recipe)
    rates = [group["lr"] for group in optimiser.param_groups]
    epochs = recipe.lm_epochs or 0
    updates, update, mean = epochs * -(-len(lengths) // recipe.batch_size), 0, 0.0
    language.train()
    for _ in progress(range(epochs), f"{task.name}: epochs of language modelling"):
        losses = []
        for rows in progress(shuffled(lengths, recipe.batch_size, rng), "batches"):
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * rate_at(recipe, update, updates)
            batch = padded(encodings, rows, tokenizer.pad_token_id, model.device)
            wanted = to_tell(batch, tokenizer, rng) if masks else following(batch)
            with autocast(model.device, precision):
                logits = language(**batch).logits
            told = wanted != IGNORED
            loss = functional.cross_entropy(logits[told].float(), wanted[told])
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(language.parameters(), MAX_GRADIENT_NORM)
            optimiser.step()
            losses.append(loss.detach())
            update += 1
        mean = float(torch.stack(losses).mean())
    model.base_model.load_state_dict(language.base_model.state_dict(), strict=False)  # a pooler is in one of them at most
    return mean


def _language_model(checkpoint: Path, tokenizer: Any) -> tuple[Any, bool]:
    """A language model on a checkpoint's encoder, and whether it predicts masked tokens."""
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    config = load_config(checkpoint)
    remedy = "Leave this stage out with ulmfit/lm=0."
    families: list[Any] = [] if config.is_encoder_decoder else [AutoModelForMaskedLM, AutoModelForCausalLM]
    family = next((one for one in families if type(config) in one._model_mapping), None)
    if family is None:
        raise InputError(f"{checkpoint}: there is no language model of {type(config).__name__} to fine-tune. {remedy}")
    if family is AutoModelForMaskedLM and tokenizer.mask_token_id is None:
        raise InputError(f"{checkpoint}: the tokenizer has no mask token, which language-model fine-tuning needs. {remedy}")
    with reading(checkpoint, "the language model"):
        model = family.from_pretrained(checkpoint, trust_remote_code=False, use_safetensors=True)
    return model, family is AutoModelForMaskedLM


def to_tell(batch: dict[str, torch.Tensor], tokenizer: Any, rng: np.random.Generator) -> torch.Tensor:
    """Hide tokens of a batch, in place; returns (n, T) their ids, IGNORED at tokens that are not to be predicted.

    Special tokens and padding are never hidden; if there are other tokens, at least one of them is to be predicted.
    """
    ids = batch["input_ids"].cpu().numpy()
    free = ~np.isin(ids, tokenizer.all_special_ids) & (batch["attention_mask"].cpu().numpy() == 1)
    chance = np.where(free, rng.random(ids.shape), 2.0)
    told = (chance < TOLD) | (free & (chance == chance.min()))
    wanted = np.where(told, ids, IGNORED)
    fate = rng.random(ids.shape)
    hidden = np.where(told & (fate < MASKED), tokenizer.mask_token_id, ids)
    replaced = told & (fate >= MASKED) & (fate < MASKED + REPLACED)
    hidden = np.where(replaced, rng.integers(0, len(tokenizer), ids.shape), hidden)
    batch["input_ids"] = torch.from_numpy(hidden).to(batch["input_ids"].device)
    return torch.from_numpy(wanted).to(batch["input_ids"].device)


def following(batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """(n, T) the next token at each token, IGNORED at the last one and at padding."""
    wanted = torch.full_like(batch["input_ids"], IGNORED)
    next_there = batch["attention_mask"][:, 1:] == 1
    wanted[:, :-1][next_there] = batch["input_ids"][:, 1:][next_there]
    return wanted
