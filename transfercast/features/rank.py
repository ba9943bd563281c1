"""Rank encoders, fine-tuned checkpoints, or embedding space maps for one task, without training anything.

The ranking is by one measure on the task's training and validation rows; `extract_features` computes all measures of a pool.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from transfercast.core.cache import ArrayCache
from transfercast.core.errors import InputError, TransfercastError
from transfercast.core.files import reason
from transfercast.core.kinds import Kind
from transfercast.core.poolings import LAYERS, POOLINGS, Layers, Pooling
from transfercast.core.progress import progress
from transfercast.features.artifacts import Artifacts
from transfercast.features.evidence import values_of
from transfercast.features.maps import MappedTarget, score_maps
from transfercast.features.registry import Measure, measures
from transfercast.features.rows import useless
from transfercast.features.widths import common_width, principal_components
from transfercast.sources.encoders import checkpoint_folder, load_config
from transfercast.sources.esm import MapCard, config_files
from transfercast.sources.models import pick_device
from transfercast.tasks.task import Task

log = logging.getLogger(__name__)

EMBEDDINGS_ALONE = {"source_embeddings", "target_values", "target_kind", "target_metric"}


@dataclass(frozen=True, slots=True)
class Ranking:
    """Sources in the order in which to try them.

    Attributes:
        measure: measure that they are ranked by.
        scores: score of each, best first.
        failed: reasons for those without a score.
        rows: number of rows of the target that were read.
        components: number of principal components that embeddings were reduced to, for encoders of several widths; None if
            they were used whole.
    """

    measure: str
    scores: dict[str, float]
    failed: dict[str, str]
    rows: int
    components: int | None = None

    def to_frame(self) -> pd.DataFrame:
        """Columns rank, source and the measure, best first."""
        ranks = range(1, len(self.scores) + 1)
        return pd.DataFrame({"rank": ranks, "source": list(self.scores), self.measure: list(self.scores.values())})


def rank_encoders(
    task: Task,
    encoders: Sequence[str],
    *,
    measure: str = "logme",
    pooling: Pooling = "mean",
    layers: Layers = "last",
    max_tokens: int = 128,
    device: str | None = None,
    cache: ArrayCache | None = None,
) -> Ranking:
    """Rank encoders or fine-tuned checkpoints by how well their embeddings fit a task's labels.

    With a measure that grows with the width of embeddings (the H-score), encoders of several widths are compared by as many
    principal components as the narrowest has dimensions; see `widths`. For encoder-decoders such as BART and T5, the encoder
    is used. An encoder that cannot be read is left out with a warning; `failed` gives the reason.

    Args:
        task: its training and validation rows are read; its test rows are not.
        encoders: `offline`, folders, or names on the hub.
        measure: one that needs only embeddings and labels: logme, h_score, nearest_neighbours, frozen_transfer.
        pooling: over tokens; sequence tasks always use words.
        layers: the last layer, the mean of all, or the one with the best score.
        max_tokens: number of tokens at which texts are truncated.
        device: cpu, cuda, mps; None takes the best.
        cache: folder of cached embeddings; by default the user's cache folder.

    Raises:
        InputError: if the measure needs more than embeddings or does not apply to the task, or no encoder could be read.

    Example:
        >>> import pandas as pd
        >>> import transfercast as tc
        >>> things = ("film", "book", "song", "play", "meal", "trip")
        >>> words = {"good": 1, "great": 1, "bad": 0, "poor": 0}
        >>> rows = [(f"{word} {thing}", label) for word, label in words.items() for thing in things]
        >>> reviews = tc.Task.from_dataset(pd.DataFrame(rows, columns=["text", "label"]), name="reviews")
        >>> ranking = tc.rank_encoders(reviews, ["offline"], measure="nearest_neighbours")
        >>> ranking.to_frame()
           rank   source  nearest_neighbours
        0     1  offline                 1.0
    """
    chosen = _by_embeddings(measure, task.kind)
    if pooling not in POOLINGS or layers not in LAYERS:
        raise InputError(f"pooling {pooling!r}, layers {layers!r}: choose of {', '.join(POOLINGS)} and {', '.join(LAYERS)}.")
    artifacts = Artifacts(cache or ArrayCache(), pick_device(device))
    split, seen = task.kind is Kind.SEQUENCE, task.seen
    read: dict[str, tuple[np.ndarray, dict[str, Any]]] = {}
    failed: dict[str, str] = {}
    for encoder in progress(list(dict.fromkeys(encoders)), "encoders"):
        try:
            reading = artifacts.base_reading(encoder, seen.texts, max_tokens, split=split)
            candidates = reading.pooled("mean" if split else pooling, layers)
            if (why := useless(candidates[-1])) is not None:
                raise InputError(why)
            given = {"target_values": values_of(task, reading), "target_kind": task.kind, "target_metric": task.metric}
            read[encoder] = candidates, {name: given[name] for name in chosen.needs if name in given}
        except Exception as error:  # unrelated classes; other encoders are still ranked
            failed[encoder] = reason(error)
    rows = min((candidates.shape[1] for candidates, _ in read.values()), default=0)
    widths = [candidates.shape[-1] for candidates, _ in read.values()]
    components = common_width(widths, rows) if chosen.grows_with_width else None
    scores: dict[str, float] = {}
    for encoder, (candidates, given) in read.items():
        try:
            scores[encoder] = _best_score(chosen, candidates, given, components)
        except Exception as error:  # a measure may fail on the outputs of a broken model
            failed[encoder] = reason(error)
    for encoder, why in failed.items():
        log.warning("%s is left out: %s", encoder, why)
    return _ranked(measure, scores, failed, len(seen), components)


def _best_score(measure: Measure, candidates: np.ndarray, given: dict[str, Any], components: int | None) -> float:
    """The best score of (K, n, d) candidate embeddings, which are reduced to so many principal components if widths differ."""
    reduced = candidates if components is None else [principal_components(one, components) for one in candidates]
    found = [measure.function(source_embeddings=embeddings, **given) for embeddings in reduced]
    if np.isnan(found).all():
        raise InputError(f"{measure.name} is not defined on its embeddings")
    return float(np.nanmax(found))


def _by_embeddings(name: str, kind: Kind) -> Measure:
    fitting = {found: one for found, one in measures().items() if "source_embeddings" in one.needs and len(one.columns) == 1}
    fitting = {found: one for found, one in fitting.items() if set(one.needs) <= EMBEDDINGS_ALONE}
    if name not in fitting:
        raise InputError(f"{name!r} is no measure of embeddings and labels alone; there are {', '.join(fitting)}.")
    if kind not in fitting[name].kinds:
        raise InputError(f"{fitting[name].why_not(kind, kind)}. Try --measure logme.")
    return fitting[name]


def rank_maps(
    task: Task,
    maps: str | Path,
    *,
    encoder: str | None = None,
    max_tokens: int = 128,
    jobs: int | None = None,
    device: str | None = None,
    cache: ArrayCache | None = None,
) -> Ranking:
    """Rank fine-tuned sources by ESM-LogME, using only their embedding space maps.

    The base encoder encodes the task once; no source is loaded. A map that cannot be read is left out with a warning.

    Args:
        task: its training and validation rows are read; its test rows are not.
        maps: a folder with a folder for each map, ours or hf-dataset-selector's.
        encoder: the base encoder; by default that of the maps.
        max_tokens: number of tokens at which texts are truncated; hf-dataset-selector truncates at 128.
        jobs: maps at a time; None takes all cores.
        device: cpu, cuda, mps; None takes the best.
        cache: folder of cached embeddings; by default the user's cache folder.

    Raises:
        InputError: if there are no maps, they are of several encoders, or none could be scored.

    Example:
        `pool` is a pool of two sources, and `reviews` a task.

        >>> import transfercast as tc
        >>> _ = tc.fit_maps(pool, "maps")
        >>> ranking = tc.rank_maps(reviews, "maps")
        >>> ranking.measure, sorted(ranking.scores)
        ('esm_logme', ['help', 'storm'])
    """
    cards, failed = _cards(Path(maps))
    names = {card.base_model for card in cards.values()}
    if encoder is None and len(names) != 1:
        raise InputError(f"{maps}: maps of {len(names)} encoders ({', '.join(sorted(names))}). Name the one to use.")
    base = encoder or names.pop()
    config = load_config(checkpoint_folder(base))
    by_pooling: dict[Pooling, dict[str, Path]] = {}
    for name, card in cards.items():
        try:
            # absolute, for worker processes may have begun in another folder
            by_pooling.setdefault(card.pooling_for(config), {})[name] = card.folder.absolute()
        except TransfercastError as error:
            failed[name] = str(error)
    split, seen = task.kind is Kind.SEQUENCE, task.seen
    reading = Artifacts(cache or ArrayCache(), pick_device(device)).base_reading(base, seen.texts, max_tokens, split=split)
    scores: dict[str, float] = {}
    for pooling, folders in by_pooling.items():
        embeddings = reading.pooled("mean" if split else pooling)[0]
        found = score_maps(MappedTarget.of(embeddings, values_of(task, reading)), folders, jobs or os.cpu_count())
        for name, score in progress(found, "maps", total=len(folders)):
            if isinstance(score, str):
                failed[name] = score
            else:
                scores[name] = score
    for name, why in failed.items():
        log.warning("map %s is left out: %s", name, why)
    return _ranked("esm_logme", scores, failed, len(seen))


def _cards(folder: Path) -> tuple[dict[str, MapCard], dict[str, str]]:
    cards, failed = {}, {}
    for path in config_files(folder):
        try:
            cards[path.parent.name] = MapCard.read(path.parent)
        except TransfercastError as error:
            failed[path.parent.name] = str(error)
    if not cards:
        raise InputError(f"{folder}: no map can be read; the first reason: {next(iter(failed.values()))}")
    return cards, failed


def _ranked(
    measure: str, scores: dict[str, float], failed: dict[str, str], rows: int, components: int | None = None
) -> Ranking:
    if not scores:
        raise InputError(f"nothing could be ranked; the first reason: {next(iter(failed.values()), 'nothing was named')}")
    order = sorted(scores, key=lambda name: -scores[name])
    return Ranking(measure, {name: scores[name] for name in order}, failed, rows, components)
