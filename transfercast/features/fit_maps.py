"""Embedding space maps of a pool's sources, written for `rank_maps` and for hf-dataset-selector."""

from __future__ import annotations

import logging
from pathlib import Path

from transfercast.core.cache import ArrayCache
from transfercast.core.errors import InputError
from transfercast.core.files import check_place, reason, refuse_foreign
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

    A source that cannot be read is left out with a warning.

    Args:
        pool: the sources.
        folder: folder for the maps; existing ones are replaced.
        pooling: of the embeddings; hf-dataset-selector expects `pooler` for BERT, and `cls` for RoBERTa and DistilBERT.
        rows: largest number of rows of the source's own task.
        device: cpu, cuda, mps; None takes the best.
        cache: folder of cached embeddings; by default the user's cache folder.

    Raises:
        InputError: if no source's task is known, no map could be fitted, or the folder holds files of others.

    Example:
        `pool` is a pool of two sources.

        >>> import transfercast as tc
        >>> [folder.name for folder in tc.fit_maps(pool, "maps")]
        ['help', 'storm']
    """
    if pooling not in POOLINGS:
        raise InputError(f"pooling {pooling!r}: choose of {', '.join(POOLINGS)}.")
    for name in pool:
        check_place(Path(folder) / name)
        refuse_foreign(Path(folder) / name)
    artifacts = Artifacts(cache or ArrayCache(), pick_device(device))
    written: list[Path] = []
    failed: dict[str, str] = {}
    for source in progress(list(pool.values()), "maps"):
        try:
            task = own_task(source)
            if task is None:
                raise InputError("it was adopted without its task, so there are no texts to fit a map on")
            found = artifacts.space_map(source, source.encoder, some(task.seen, rows).texts, pooling)
        except Exception as error:  # any error of one source; the others' maps are still fitted
            failed[source.name] = reason(error)
            log.warning("source %s is left out: %s", source.name, failed[source.name])
            continue
        path = Path(folder) / source.name
        found.save(path, base_model=source.encoder, task=source.name, pooling=pooling)
        written.append(path)
    if not written:
        raise InputError(f"{pool.folder}: no map could be fitted; the first reason: {next(iter(failed.values()))}.")
    return written
