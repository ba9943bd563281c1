"""Build models for a task on the encoder of a checkpoint, and read models back."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

from transfercast.core.errors import InputError
from transfercast.core.kinds import Kind
from transfercast.sources.encoders import HEAD, MULTILABEL, is_multilabel, load_config, reading, wants_mean
from transfercast.sources.pooled import PooledClassifier
from transfercast.tasks.task import Task

DECODER = "decoder."
POOLER = "pooler."
"""Weights that an encoder may lack: an untrained pooler is used only by a head that is trained together with it."""


def pick_device(name: str | None = None, turn: int = 0) -> torch.device:
    """The device named, or the best there is: cuda, mps, cpu.

    Args:
        name: a device; None takes the best.
        turn: number of this process or training among those that share the machine: with several GPUs they are taken in turn.

    Raises:
        InputError: if the name is no device of this machine.
    """
    if name is None:
        if torch.cuda.is_available():
            several = torch.cuda.device_count()
            return torch.device("cuda", turn % several) if several > 1 else torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {name!r} is not there: {str(error).splitlines()[0]}") from error
    return device


def new_model(checkpoint: Path, task: Task, *, keep_head: bool = True, mean: bool = False) -> Any:
    """A model for the task on the encoder of a checkpoint.

    Args:
        checkpoint: folder of a base encoder or of a fine-tuned model.
        task: the head gets one output for each of its labels.
        keep_head: start from the checkpoint's head if its labels have the same names (always so for two binary tasks), since
            a source with similar decisions then has an advantage; otherwise the head is new.
        mean: pool texts by the mean over tokens, also if the checkpoint does not ask for it and has a trained pooler.

    Raises:
        InputError: if the checkpoint cannot be read, or weights of its encoder are missing.
    """
    from transformers import AutoModel

    config = load_config(checkpoint)
    family, names = _family(task.kind), task.label_names or ("value",)
    pooled = task.kind is not Kind.SEQUENCE and (mean or wants_mean(checkpoint))
    if keep_head and _has_head(checkpoint, config, task.kind, pooled) and tuple(config.id2label.values()) == names:
        return load_model(checkpoint, task.kind)
    encoder, missing = _loaded(AutoModel, checkpoint)
    if not pooled:
        _ask_for_labels(config, task.kind, names)
        with reading(checkpoint, "the model"):
            model = family.from_config(config)
        weights = model.base_model.state_dict()
        lacking = model.base_model.load_state_dict(encoder.state_dict(), strict=False).missing_keys
        _refuse_missing(checkpoint, {*lacking, *missing}, allowed=POOLER)
        if task.kind is Kind.SEQUENCE or not missing & weights.keys():
            return model.float()
    _refuse_missing(checkpoint, missing, allowed=POOLER)
    _ask_for_labels(encoder.config, task.kind, names)  # keeps its other entries
    return PooledClassifier(encoder).float()


def _ask_for_labels(config: Any, kind: Kind, names: tuple[str, ...]) -> None:
    config.num_labels = len(names)
    config.id2label = dict(enumerate(names))
    config.label2id = {name: number for number, name in enumerate(names)}
    config.problem_type = {Kind.REGRESSION: "regression", Kind.MULTILABEL: MULTILABEL}.get(kind)


def _has_head(checkpoint: Path, config: Any, kind: Kind, pooled: bool) -> bool:
    """Whether a checkpoint has a head of the kind that is wanted."""
    if is_multilabel(config) is not (kind is Kind.MULTILABEL):
        return False
    if pooled or (checkpoint / HEAD).is_file():
        return pooled and (checkpoint / HEAD).is_file()
    return bool((config.architectures or [""])[0].endswith(_family(kind).__name__.removeprefix("AutoModel")))


def _family(kind: Kind) -> Any:
    from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

    return AutoModelForTokenClassification if kind is Kind.SEQUENCE else AutoModelForSequenceClassification


def load_model(checkpoint: Path, kind: Kind) -> Any:
    """A fine-tuned model with its head, ready for inference.

    Raises:
        InputError: if the checkpoint cannot be read, is not whole, or has no head for this kind.
    """
    from transformers import AutoModel

    pooled = (checkpoint / HEAD).is_file() and kind is not Kind.SEQUENCE
    model, missing = _loaded(AutoModel if pooled else _family(kind), checkpoint)
    _refuse_missing(checkpoint, missing, allowed=POOLER if pooled else None)
    if pooled:
        model = PooledClassifier(model)
        model.load_head(checkpoint)
    return model.float().eval()


def load_encoder(checkpoint: Path) -> Any:
    """A checkpoint's encoder without a head, ready for inference; a pooler that was never trained is left out, too.

    For an encoder-decoder it is the encoder only.

    Raises:
        InputError: if the checkpoint cannot be read, or is not whole.
    """
    from transformers import AutoModel

    model, missing = _loaded(AutoModel, checkpoint)
    if model.config.is_encoder_decoder:
        _refuse_missing(checkpoint, missing, allowed=DECODER)
        return model.get_encoder().float().eval()
    _refuse_missing(checkpoint, missing, allowed=POOLER)
    if missing:
        model.pooler = None
    return model.float().eval()


def _loaded(family: Any, checkpoint: Path) -> tuple[Any, set[str]]:
    """A model and the names of its weights that the checkpoint lacks.

    Raises:
        InputError: if the checkpoint cannot be read, or its weights are of another shape or depth than its configuration.
    """
    with reading(checkpoint, "the model"):
        model, report = family.from_pretrained(
            checkpoint, trust_remote_code=False, use_safetensors=True, output_loading_info=True, ignore_mismatched_sizes=True
        )
    for name, stored, wanted in sorted(report["mismatched_keys"]):
        raise InputError(
            f"{checkpoint}: {name} is {tuple(stored)} in the weights, and {tuple(wanted)} by config.json. "
            f"Put the model's own config.json there."
        )
    layers = {_numberless(name) for name in model.state_dict()}
    prefix = f"{model.base_model_prefix}."
    for name in sorted(report["unexpected_keys"]):
        if {_numberless(name), _numberless(name.removeprefix(prefix)), _numberless(prefix + name)} & layers:
            raise InputError(
                f"{checkpoint}: the weights hold {name}, more than config.json says. Put the model's own config.json there."
            )
    return model, set(report["missing_keys"])


def _numberless(name: str) -> str:
    return re.sub(r"\d+", "#", name)


def _refuse_missing(checkpoint: Path, missing: set[str], allowed: str | None = None) -> None:
    lacking = sorted(name for name in missing if allowed is None or not name.startswith(allowed))
    if lacking:
        raise InputError(
            f"{checkpoint}: its weights lack {', '.join(lacking[:3])}{' and more' if len(lacking) > 3 else ''}. "
            f"Name a whole model that was saved after its training."
        )
