"""Find the base encoder of a fine-tuned model: from the user, its model card, its configuration, or its weights.

All measures of a source depend on its encoder: the target trained alone, embeddings, vocabulary. So a given name is
checked by architecture, layers and width, and if there is none, an error asks the user for it.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from transfercast.core.errors import InputError, TransfercastError
from transfercast.core.files import reason
from transfercast.sources.encoders import OFFLINE, checkpoint_folder, downloaded, load_config, weights_fingerprint
from transfercast.sources.source import RECORD, Source

log = logging.getLogger(__name__)

UNKNOWN = "unknown"
"""Encoder of sources that were adopted by versions that did not ask for one."""

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
_ROWS = 2000
"""Number of word embeddings that are compared."""
NEAR = 0.9
"""Median cosine of word embeddings above which one model counts as fine-tuned from another: few of them change much."""


def base_of(folder: Path, told: str | None, known: Sequence[str]) -> str:
    """Name of the base encoder of a fine-tuned model, such that `checkpoint_folder` finds it.

    Args:
        folder: folder of the fine-tuned model.
        told: name that the user gave, if any; then it is only checked.
        known: available encoders: a model whose word embeddings are close to those of exactly one was made from that one.

    Raises:
        InputError: if the encoder that the user named cannot be read or has another shape, or if no encoder is found.
    """
    if told is not None:
        base = checkpoint_folder(told)
        if (other := _difference(folder, base)) is not None:
            raise InputError(f"{folder} was not fine-tuned from {told}: {other}. Name the encoder that it was made from.")
        return name_of(told, known)
    why_not = []
    for name, where, find in _stated(folder):
        try:
            base = find(name)
            other = _difference(folder, base)
        except TransfercastError as error:
            other = str(error)
        if other is None:
            log.warning("%s: base encoder %s, as %s says.", folder, name, where)
            return _known_name(name, base, known)
        why_not.append(f"{where} names {name!r} ({other})")
    near = _near(folder, known)
    if len(near) == 1:
        log.warning("%s: base encoder %s, whose word embeddings it shares.", folder, near[0])
        return near[0]
    found = "; ".join(why_not) or "neither its card nor its config.json names one"
    raise InputError(f"{folder}: which base encoder was it fine-tuned from? {found}. Say it by --encoder NAME_OR_FOLDER.")


def base_of_adapter(folder: Path, stated: str | None, told: str | None, known: Sequence[str]) -> str:
    """Name of the base encoder that an adapter is to be merged into: given by the user, or by its configuration.

    Raises:
        InputError: if the encoder cannot be read, or none is named.
    """
    if told is not None:
        return name_of(told, known)
    try:
        if stated is None:
            raise InputError("it is not stated")
        return _known_name(stated, _on_the_hub(stated), known)
    except TransfercastError as error:
        raise InputError(
            f"{folder}: which base encoder was the adapter made for? Its configuration names {stated!r} ({error}). "
            f"Say it by --encoder NAME_OR_FOLDER."
        ) from error


def name_of(encoder: str, known: Sequence[str]) -> str:
    """A name of an encoder that is valid elsewhere, too: that of a known encoder with the same weights, or an absolute path."""
    whole = str(Path(encoder).resolve()) if encoder != OFFLINE and Path(encoder).is_dir() else encoder
    return _known_name(whole, checkpoint_folder(encoder), known)


def _known_name(name: str, base: Path, known: Sequence[str]) -> str:
    """The name of a known encoder with the same weights, so that each encoder has one name."""
    weights = weights_fingerprint(base)
    return next((one for one, folder in _folders(known) if weights_fingerprint(folder) == weights), name)


def _stated(folder: Path) -> Iterator[tuple[str, str, Callable[[str], Path]]]:
    """Names of base encoders in a model's own files, each with its file and the function that finds such a name."""
    with suppress(TransfercastError):
        if (folder / RECORD).is_file() and (encoder := Source.read(folder).encoder) != UNKNOWN:
            yield encoder, f"its {RECORD}", checkpoint_folder
    card = folder / "README.md"
    if card.is_file():
        for name in _of_card(card.read_text(encoding="utf-8", errors="replace")):
            yield name, "its model card", _on_the_hub
    try:
        about = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return
    stated = about.get("_name_or_path") if isinstance(about, dict) else None
    if isinstance(stated, str) and stated:
        yield stated, "its config.json", _on_the_hub


def _of_card(text: str) -> list[str]:
    """`base_model` of a card's front matter: a name or a list of names."""
    front = re.match(r"---\s*\n(.*?)\n---", text, re.DOTALL)
    found = re.search(r"^base_model:[ \t]*(.*)((?:\n[ \t]*-[ \t]+.*)*)", front[1], re.MULTILINE) if front else None
    if found is None:
        return []
    names = [found[1], *re.findall(r"-[ \t]+(.*)", found[2])]
    return [name.strip().strip("'\"[]") for name in names if name.strip()]


def _on_the_hub(name: str) -> Path:
    """The hub model of a name from a file of somebody else; such a name is never used as a path.

    Raises:
        InputError: if it is a path, or the hub does not have it.
    """
    if name == OFFLINE or not _HUB_NAME.fullmatch(name):
        raise InputError("no name of the hub; if it is a folder of yours, say so")
    return downloaded(name)


def _difference(tuned: Path, base: Path) -> str | None:
    """The first difference in shape between a base encoder and the encoder of a fine-tuned model; None if there is none."""
    of_tuned, of_base = (_shape(load_config(folder)) for folder in (tuned, base))
    if of_tuned == of_base:
        return None
    return f"that is {_as_text(of_base)}, the model {_as_text(of_tuned)}"


def _shape(config: Any) -> tuple[str, Any, Any]:
    inner = config.get_text_config()
    return inner.model_type, getattr(inner, "num_hidden_layers", None), getattr(inner, "hidden_size", None)


def _as_text(shape: tuple[str, Any, Any]) -> str:
    return f"{shape[0]} of {shape[1]} layers, {shape[2]} wide"


def _near(tuned: Path, known: Sequence[str]) -> list[str]:
    """The encoders of the model's shape whose word embeddings are close to those of the model."""
    own = _word_embeddings(tuned)
    near = []
    for name, folder in _folders(known):
        try:
            theirs = _word_embeddings(folder) if _difference(tuned, folder) is None else None
        except InputError:
            continue
        if own is not None and theirs is not None and _median_cosine(own, theirs) >= NEAR:
            near.append(name)
    return near


def _folders(names: Sequence[str]) -> Iterator[tuple[str, Path]]:
    for name in dict.fromkeys(names):
        try:
            yield name, checkpoint_folder(name)
        except TransfercastError as error:
            log.info("encoder %s is not compared: %s", name, reason(error))


def _word_embeddings(folder: Path) -> np.ndarray | None:
    """(n, d) some rows of a model's word embeddings: the table that has one row for each word of the vocabulary."""
    from safetensors import safe_open

    words = getattr(load_config(folder).get_text_config(), "vocab_size", None)
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            for name in sorted(tensors.keys()):
                part = tensors.get_slice(name)
                shape = part.get_shape()
                if len(shape) == 2 and shape[0] == words and not re.search(r"lm_head|decoder|predictions", name):
                    return np.asarray(part[:: max(1, shape[0] // _ROWS)].float().numpy())
    return None


def _median_cosine(one: np.ndarray, other: np.ndarray) -> float:
    """Median cosine of the rows of the same words; 0 if the numbers of rows differ."""
    if one.shape != other.shape:
        return 0.0
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float(np.median((one * other).sum(1) / np.maximum(norms, 1e-12)))
