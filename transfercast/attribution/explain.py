"""Explain a model's decision for one text: the class, and the conductance of the words towards it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transfercast.attribution.conductance import Conductance, term_conductance
from transfercast.core.errors import InputError
from transfercast.core.kinds import Kind
from transfercast.sources.batches import most_tokens
from transfercast.sources.encoders import HEAD, checkpoint_folder, load_tokenizer
from transfercast.sources.inference import read
from transfercast.sources.models import load_model, pick_device
from transfercast.sources.source import Source

OUTSIDE = 0
"""Class of a word outside all spans."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """A text's words, and their effect on a decision.

    Attributes:
        decision: the class, or the tagged words, as a text.
        conductance: conductance of the words towards it.
        max_tokens: number of tokens at which the text was cut, if it was truncated.
    """

    decision: str
    conductance: Conductance
    max_tokens: int


def explain(
    checkpoint: str, text: str, *, text_pair: str | None = None, names: Sequence[str] = (), label: str | None = None,
    tolerance: float = 0.02, max_tokens: int = 256, device: str | None = None,
) -> Explanation:  # fmt: skip
    """Explain the decision of a fine-tuned model for a text.

    Args:
        checkpoint: a folder, or a name on the hub.
        text: for token classifiers, its blank-separated words are the tokens.
        text_pair: the second text, for a model of pairs.
        names: names of the classes, if those of the model's configuration are to be replaced.
        label: name or number of the class to explain; by default class 1 of two, or the most probable of more. Token
            classifiers explain the words that they tag.
        tolerance: as in `term_conductance`.
        max_tokens: longer texts are truncated; at most the number of the model's positions.
        device: cpu, cuda, mps; None takes the best.

    Raises:
        InputError: if a text is empty, the label unknown, or a token classifier tags nothing or was given a pair or a label.
    """
    if not text.split() or (text_pair is not None and not text_pair.split()):
        raise InputError("the text is empty; give at least one word.")
    folder = checkpoint_folder(checkpoint)
    kind = _kind(folder)
    tokens = kind is Kind.SEQUENCE
    if tokens and (text_pair is not None or label is not None):
        raise InputError(f"{checkpoint} tags words; it takes one text and no label, and the words that it tags are explained.")
    model, tokenizer = load_model(folder, kind).to(pick_device(device)), load_tokenizer(folder)
    max_tokens = min(max_tokens, most_tokens(model))
    texts: list[Any] = [text if text_pair is None else (text, text_pair)]
    own_names = {int(number): str(name) for number, name in model.config.id2label.items()}
    target: Any
    if tokens:
        texts = [tuple(text.split())]
        target, decision = _tagged(checkpoint, own_names, model, tokenizer, texts[0], max_tokens)
    else:
        shown = dict(enumerate(names)) if len(names) == len(own_names) else own_names
        target = _class(label, shown, own_names)
        if target is None:
            target = int(read(model, tokenizer, tuple(texts), max_tokens, split=False).outputs[0].argmax())
        decision = shown.get(target, f"class {target}")
    (conductance,) = term_conductance(
        model, tokenizer, texts, target=[target], tolerance=tolerance, max_tokens=max_tokens, split=tokens
    )
    return Explanation(decision, conductance, max_tokens)


def class_names(source: Source) -> tuple[str, ...]:
    """The names of a source's classes in its data: the positive class of a binary task has the name of its label.

    If the labels are 0 and 1, that is the name of their column, or of the task if the column is just `label`.
    """
    spec = source.spec
    if source.kind is not Kind.BINARY or spec is None:
        return source.label_names
    column = spec.get("label")
    positive = spec.get("positive") or (source.name if column in (None, "label") else str(column))
    return (f"not {positive}", str(positive))


def _kind(folder: Any) -> Kind:
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    architecture = (config.architectures or [""])[0]
    if architecture.endswith("ForTokenClassification"):
        return Kind.SEQUENCE
    if not architecture.endswith("ForSequenceClassification") and not (folder / HEAD).is_file():
        raise InputError(f"{folder}: {architecture or 'a model without architecture'} is no classifier; fine-tune it first.")
    return Kind.MULTICLASS


def _tagged(
    checkpoint: str, names: dict[int, str], model: Any, tokenizer: Any, words: tuple[str, ...], max_tokens: int
) -> tuple[list[int], str]:
    """Numbers of the words that a token classifier tags, and the same as a text."""
    tags = read(model, tokenizer, (words,), max_tokens, split=True).outputs.argmax(1)
    target = [position for position, tag in enumerate(tags) if tag != OUTSIDE]
    if not target:
        raise InputError(f"{checkpoint} tags no word of this text, so there is no decision to explain.")
    return target, "tags of " + ", ".join(f"{words[position]} ({names[int(tags[position])]})" for position in target)


def _class(label: str | None, shown: dict[int, str], own_names: dict[int, str]) -> int | None:
    """The number of a class, given by a name or a number; by default class 1 of two classes, and None of more."""
    if label is None:
        return 1 if len(own_names) <= 2 else None
    numbers = {name: number for names in (own_names, shown) for number, name in names.items()}
    if label in numbers:
        return numbers[label]
    if label.isascii() and label.isdigit() and int(label) in own_names:
        return int(label)
    raise InputError(f"label {label!r} is none of {', '.join(shown.values())}.")
