"""Embedding space maps of a pool's sources, written for `rank_maps` and for hf-dataset-selector."""

from __future__ import annotations

import logging
from pathlib import Path

from transfercast.core.cache import ArrayCache
from transfercast.core.errors import InputError
from transfercast.core.poolings import POOLINGS, Pooling
from transfercast.core.progress import progress
from transfercast.features.artifacts import Artifacts
from transfercast.features.evidence import OWN_ROWS, own_task, some
from transfercast.sources.models import pick_device
from transfercast.sources.pool import SourcePool

log = logging.getLogger(__name__)


def fit_maps(
    pool: SourcePool,
    folder: str | Path,
    *,
    pooling: Pooling = "mean",
    rows: int = OWN_ROWS,
    device: str | None = None,
    cache: ArrayCache | None = None,
) -> list[Path]:
    """Fit and write the map of every source whose task is known, each into a folder of the source's name.

    Args:
        pool: the sources.
        folder: where maps go; those that are there already are replaced.
        pooling: of the embeddings; `pooler` is what hf-dataset-selector expects of BERT, `cls` of RoBERTa and DistilBERT.
        rows: of the source's own task, at most.
        device: cpu, cuda, mps; None takes the best there is.
        cache: where embeddings are kept; by default the user's cache folder.

    Raises:
        InputError: if no source's task is known, or the encoder has no such pooling.
    """
    if pooling not in POOLINGS:
        raise InputError(f"pooling {pooling!r}: choose of {', '.join(POOLINGS)}.")
    artifacts = Artifacts(cache or ArrayCache(), pick_device(device))
    written = []
    for source in progress(list(pool.values()), "maps"):
        task = own_task(source)
        if task is None:
            log.warning("source %s was adopted without its task: no map, for there are no texts to fit it on.", source.name)
            continue
        found = artifacts.space_map(source, pool.encoder, some(task.seen, rows).texts, pooling)
        path = Path(folder) / source.name
        found.save(path, base_model=pool.encoder, task=source.name, pooling=pooling)
        written.append(path)
    if not written:
        raise InputError(f"{pool.folder}: every source was adopted without its task, so no map can be fitted.")
    return written
