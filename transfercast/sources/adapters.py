"""LoRA adapters that were made with peft: once merged into their base encoder, they are fine-tuned models like any other.

An adapter's folder has adapter_config.json and adapter_model.safetensors, with the head among its weights. Of the
configuration only the settings of LoRA are read; entries that would import other code are ignored.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

from transfercast.core.errors import InputError, MissingExtraError
from transfercast.core.files import parse_json, reason, sha256_of
from transfercast.sources.encoders import load_tokenizer, quiet_transformers, reading

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
TASKS = ("SEQ_CLS", "TOKEN_CLS")
"""Names of peft."""

_TAKEN = (
    "r", "lora_alpha", "lora_dropout", "target_modules", "fan_in_fan_out", "bias", "modules_to_save", "use_rslora", "use_dora",
    "layers_to_transform", "layers_pattern", "rank_pattern", "alpha_pattern",
)  # fmt: skip


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter and no model of its own."""
    return (folder / CONFIG).is_file() and not (folder / "config.json").is_file()


def fingerprint_of(folder: Path) -> str:
    """SHA-256 of an adapter's weights.

    Raises:
        InputError: if it has none in safetensors.
    """
    if not (folder / WEIGHTS).is_file():
        raise InputError(f"{folder}: no {WEIGHTS}. Pickled weights (.bin) are not read; save the adapter again with peft.")
    return sha256_of(folder / WEIGHTS)


def base_stated(folder: Path) -> str | None:
    """The name of the base encoder in an adapter's configuration."""
    stated = _config(folder).get("base_model_name_or_path")
    return stated if isinstance(stated, str) and stated else None


def merge(folder: Path, base: Path, into: Path) -> None:
    """Write the base encoder with an adapter merged into it, and a tokenizer, as a whole model.

    Args:
        folder: folder of the adapter.
        base: folder of the encoder that it was made for.
        into: an empty folder.

    Raises:
        InputError: if it is no LoRA adapter of a classifier, or does not fit the encoder.
        MissingExtraError: without peft.
    """
    try:
        from peft import LoraConfig, get_peft_model, set_peft_model_state_dict
    except ImportError as error:
        raise MissingExtraError("LoRA adapters need: pip install 'transfercast[peft]'.") from error
    from safetensors.torch import load_file
    from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

    config = _config(folder)
    task = config.get("task_type")
    if config.get("peft_type") != "LORA" or task not in TASKS:
        raise InputError(
            f"{folder}: {config.get('peft_type')} for {task}; only LORA adapters of {', '.join(TASKS)} are merged."
        )
    fingerprint_of(folder)
    with reading(folder, "the adapter"), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft uses names that transformers is about to drop
        weights = load_file(folder / WEIGHTS)
        classes = _classes(folder, weights)
        family: Any = AutoModelForTokenClassification if task == "TOKEN_CLS" else AutoModelForSequenceClassification
        model = family.from_pretrained(
            base, num_labels=classes, trust_remote_code=False, use_safetensors=True, ignore_mismatched_sizes=True
        )
        lora = LoraConfig(task_type=task, **{name: config[name] for name in _TAKEN if name in config})
        adapted: Any = get_peft_model(model, lora)
        result: Any = set_peft_model_state_dict(adapted, weights)
        lacking = [name for name in result.missing_keys if "lora_" in name or "modules_to_save" in name]
        if lacking or result.unexpected_keys:
            raise InputError(f"{folder}: {(lacking or result.unexpected_keys)[0]} is not where the encoder {base} has it.")
        merged = adapted.merge_and_unload()
    with quiet_transformers():
        merged.save_pretrained(into)
    own = any((folder / name).is_file() for name in ("tokenizer.json", "vocab.txt"))
    load_tokenizer(folder if own else base).save_pretrained(into)


def _config(folder: Path) -> dict[str, Any]:
    try:
        content = (folder / CONFIG).read_bytes()
    except OSError as error:
        raise InputError(f"{folder / CONFIG}: cannot be read ({reason(error)}).") from error
    config = parse_json(content, str(folder / CONFIG))
    if not isinstance(config, dict):
        raise InputError(f"{folder / CONFIG}: not a configuration of peft.")
    return config


def _classes(folder: Path, weights: dict[str, Any]) -> int:
    """Number of classes of the head among an adapter's weights."""
    for head in ("out_proj", "classifier", "score"):
        for name, tensor in weights.items():
            if re.search(rf"(^|\.){head}\.(modules_to_save\.(default\.)?)?weight$", name) and tensor.ndim == 2:
                return int(tensor.shape[0])
    raise InputError(f"{folder / WEIGHTS}: no head among its weights. Save the adapter with modules_to_save=['classifier'].")
