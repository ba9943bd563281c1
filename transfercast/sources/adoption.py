"""Add existing models to a pool, without training."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from transfercast.core.errors import InputError, TransfercastError
from transfercast.core.files import replaced_folder
from transfercast.core.kinds import METRIC_OF, METRICS, Kind
from transfercast.core.records import checked_name
from transfercast.sources.adapters import base_stated, fingerprint_of, is_adapter, merge
from transfercast.sources.bases import UNKNOWN, base_of, base_of_adapter
from transfercast.sources.encoders import (
    HEAD,
    OFFLINE,
    checkpoint_folder,
    found_folder,
    is_multilabel,
    load_config,
    load_tokenizer,
)
from transfercast.sources.source import RECORD, Source


def adoptable_folder(name: str) -> Path:
    """The folder of a fine-tuned model, or of an adapter: a folder, or a name on the hub.

    Raises:
        InputError: if there is none.
    """
    folder = found_folder(name)
    return folder if is_adapter(folder) else checkpoint_folder(name)


def adopt(
    pool: str | Path,
    name: str,
    checkpoint: str,
    *,
    score: float | None = None,
    encoder: str | None = None,
    max_tokens: int = 128,
) -> Source:
    """The same as `SourcePool.adopt`, also for a pool that is still empty."""
    folder = Path(pool).resolve() / "sources" / checked_name(name, "source")
    given = adoptable_folder(checkpoint).resolve()
    there = Source.read(folder) if (folder / RECORD).is_file() else None
    taken = f"{folder.parent.parent}: another source {name!r} is there already. Adopt under another name."
    known = [OFFLINE, *encoders_in(folder.parent)]
    if is_adapter(given):
        identity = fingerprint_of(given)
        if there is not None and (there.recipe is not None or there.identity != identity):
            raise InputError(taken)
        told = encoder or (None if there is None else there.encoder)
        base = base_of_adapter(given, base_stated(given), told, known)
        if there is not None and there.encoder == base and (score is None or there.scores == {"test": score}):
            return there
        with replaced_folder(folder) as new:
            merge(given, checkpoint_folder(base), new)
            _record(new, name, base, score, max_tokens, there, identity=identity).write(new)
        return Source.read(folder)
    if there is not None and (there.recipe is not None or there.checkpoint != given):
        raise InputError(taken)
    _kind_of(given)  # a model that is not a classifier is refused before its encoder is asked for
    kept = None if there is None or there.encoder == UNKNOWN or encoder is not None else there.encoder
    source = _record(given, name, kept or base_of(given, encoder, known), score, max_tokens, there)
    if source != there:
        with replaced_folder(folder) as new:
            source.write(new)
    return source


def _record(
    checkpoint: Path, name: str, encoder: str, score: float | None, max_tokens: int, there: Source | None, **more: Any
) -> Source:
    """The record of an adopted model, after a check that all its parts can be read.

    Raises:
        InputError: if it cannot be, or the score is out of its metric's range.
    """
    from transfercast.sources.batches import most_tokens
    from transfercast.sources.models import load_model

    kind, label_names = _kind_of(checkpoint)
    metric = METRICS[METRIC_OF[kind]]
    if score is not None and not metric.lowest <= score <= metric.highest:
        raise InputError(f"source {name!r}: score {score} is outside [{metric.lowest:g}, {metric.highest:g}] of {metric.name}.")
    load_tokenizer(checkpoint)
    return Source(
        name=name,
        kind=kind,
        label_names=label_names,
        checkpoint=checkpoint,
        encoder=encoder,
        metric=metric.name,
        scores=(there.scores if there is not None else {}) if score is None else {"test": score},
        max_tokens=min(max_tokens, most_tokens(load_model(checkpoint, kind))),
        **more,
    )


def encoders_in(sources: Path) -> list[str]:
    """Base encoders of those sources of a pool that can be read."""
    names = set()
    for record in sources.glob(f"*/{RECORD}"):
        with suppress(TransfercastError):
            names.add(Source.read(record.parent).encoder)
    return sorted(names - {UNKNOWN})


def _kind_of(folder: Path) -> tuple[Kind, tuple[str, ...]]:
    config = load_config(folder)
    named = config.architectures if isinstance(config.architectures, list) else None
    architecture = str((named or ["none"])[0])
    if set(config.id2label) != set(range(config.num_labels)):
        raise InputError(f"{folder}/config.json: id2label must name the classes 0 to {config.num_labels - 1}, each once.")
    names = tuple(str(config.id2label[number]) for number in range(config.num_labels))
    if architecture.endswith("ForTokenClassification"):
        return Kind.SEQUENCE, names
    if not architecture.endswith("ForSequenceClassification") and not (folder / HEAD).is_file():
        raise InputError(f"{folder}: architecture {architecture} is no sequence or token classifier.")
    if config.problem_type == "regression" or config.num_labels == 1:
        return Kind.REGRESSION, ()
    if is_multilabel(config):
        return Kind.MULTILABEL, names
    return (Kind.BINARY if config.num_labels == 2 else Kind.MULTICLASS), names
