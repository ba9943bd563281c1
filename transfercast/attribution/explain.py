"""One text explained: which class of which model, and the conductance of the words towards it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from transfercast.attribution.conductance import Conductance, term_conductance
from transfercast.core.errors import InputError
from transfercast.core.kinds import Kind
from transfercast.sources.encoders import checkpoint_folder, load_tokenizer
from transfercast.sources.inference import read
from transfercast.sources.models import load_model, pick_device

OUTSIDE = 0
"""Class of a word that belongs to nothing."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """A text's words, and what they do to a decision.

    Attributes:
        decision: the class, or the words tagged, in words.
        found: conductance towards it.
    """

    decision: str
    found: Conductance


def explain(
    checkpoint: str, text: str, *, label: str | None = None, tolerance: float = 0.02, max_tokens: int = 256,
    device: str | None = None,
) -> Explanation:  # fmt: skip
    """Explain what a fine-tuned model says of a text.

    Args:
        checkpoint: a folder, or a name on the hub.
        text: for token classifiers, its blank-separated words are the tokens.
        label: name or number of the class to explain; by default class 1 of two, or the most probable of more. Token
            classifiers explain the words that they tag.
        tolerance, max_tokens: as in `term_conductance`.
        device: cpu, cuda, mps; None takes the best there is.

    Raises:
        InputError: if the text is empty, the label unknown, or a token classifier tags nothing.
    """
    if not text.split():
        raise InputError("the text is empty; give at least one word.")
    folder = checkpoint_folder(checkpoint)
    kind = _kind(folder)
    model, tokenizer = load_model(folder, kind).to(pick_device(device)), load_tokenizer(folder)
    names = {number: str(name) for number, name in model.config.id2label.items()}
    tokens = kind is Kind.SEQUENCE
    texts: list[Any] = [tuple(text.split())] if tokens else [text]
    if tokens:
        tags = read(model, tokenizer, tuple(texts), max_tokens, split=True).outputs.argmax(1)
        target: Any = [position for position, tag in enumerate(tags) if tag != OUTSIDE]
        if not target:
            raise InputError(f"{checkpoint} tags no word of this text, so there is no decision to explain.")
        decision = "tags of " + ", ".join(f"{texts[0][position]} ({names[int(tags[position])]})" for position in target)
    else:
        target = _class(label, names, model, tokenizer, text, max_tokens)
        decision = names.get(target, f"class {target}")
    (found,) = term_conductance(
        model, tokenizer, texts, target=[target], tolerance=tolerance, max_tokens=max_tokens, split=tokens
    )
    return Explanation(decision, found)


def _kind(folder: Any) -> Kind:
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    architecture = (config.architectures or [""])[0]
    if architecture.endswith("ForTokenClassification"):
        return Kind.SEQUENCE
    if not architecture.endswith("ForSequenceClassification"):
        raise InputError(f"{folder}: {architecture or 'a model without architecture'} is no classifier; fine-tune it first.")
    return Kind.MULTICLASS


def _class(label: str | None, names: dict[int, str], model: Any, tokenizer: Any, text: str, max_tokens: int) -> int:
    if label is None:
        if len(names) <= 2:
            return 1
        return int(read(model, tokenizer, (text,), max_tokens, split=False).outputs[0].argmax())
    numbers = {name: number for number, name in names.items()}
    if label in numbers:
        return numbers[label]
    if label.isdigit() and int(label) in names:
        return int(label)
    raise InputError(f"label {label!r} is none of {', '.join(names.values())}.")
