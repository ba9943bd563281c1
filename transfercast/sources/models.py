"""Models built for a task on the encoder of a checkpoint, and read back from one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from transfercast.core.errors import InputError
from transfercast.core.kinds import Kind
from transfercast.sources.encoders import quiet_transformers
from transfercast.tasks.task import Task


def pick_device(name: str | None = None) -> torch.device:
    """The device named, or the best there is: cuda, mps, cpu.

    Raises:
        InputError: if the name is no device of this machine.
    """
    if name is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {name!r} is not there: {str(error).splitlines()[0]}") from error
    return device


def new_model(checkpoint: Path, task: Task) -> Any:
    """A model for the task on the encoder of a checkpoint.

    The head is fresh, unless the checkpoint was trained for labels of the same names (as any two binary tasks are): then
    its head is kept, so that a source that decides alike starts ahead.
    """
    from transformers import AutoConfig, AutoModel

    config = AutoConfig.from_pretrained(checkpoint, trust_remote_code=False)
    family = _family(task.kind)
    same_head = (config.architectures or [""])[0].endswith(family.__name__.removeprefix("AutoModel"))
    names = task.label_names or ("value",)
    if same_head and tuple(config.id2label.values()) == names:
        return load_model(checkpoint, task.kind)
    config.num_labels = len(names)
    config.id2label = dict(enumerate(names))
    config.label2id = {name: number for number, name in enumerate(names)}
    config.problem_type = "regression" if task.kind is Kind.REGRESSION else None
    with quiet_transformers():
        model = family.from_config(config)
        encoder = AutoModel.from_pretrained(checkpoint, trust_remote_code=False, use_safetensors=True)
    missing = model.base_model.load_state_dict(encoder.state_dict(), strict=False).missing_keys
    if missing:
        raise InputError(f"{checkpoint}: its encoder lacks the weights {missing[:3]}. Is it a whole model?")
    return model.float()


def _family(kind: Kind) -> Any:
    from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

    return AutoModelForTokenClassification if kind is Kind.SEQUENCE else AutoModelForSequenceClassification


def load_model(checkpoint: Path, kind: Kind) -> Any:
    """A fine-tuned model with its head, ready for inference.

    Raises:
        InputError: if the checkpoint has no head for this kind.
    """
    with quiet_transformers():
        model, report = _family(kind).from_pretrained(
            checkpoint, trust_remote_code=False, use_safetensors=True, output_loading_info=True
        )
    if report["missing_keys"]:
        raise InputError(f"{checkpoint}: no trained head (missing {sorted(report['missing_keys'])[:3]}).")
    return model.float().eval()


def load_encoder(checkpoint: Path) -> Any:
    """A checkpoint's encoder without a head, ready for inference; without its pooler, too, where that was never trained."""
    from transformers import AutoModel

    with quiet_transformers():
        model, report = AutoModel.from_pretrained(
            checkpoint, trust_remote_code=False, use_safetensors=True, output_loading_info=True
        )
    if any(name.startswith("pooler.") for name in report["missing_keys"]):
        model.pooler = None
    return model.float().eval()
