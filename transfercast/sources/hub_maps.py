"""Embedding space maps that others have published on the Hugging Face hub, fetched into a folder."""

from __future__ import annotations

import logging
from pathlib import Path

from transfercast.core.errors import ArtifactError, InputError
from transfercast.core.files import replaced_folder
from transfercast.core.progress import progress
from transfercast.sources.esm import MapCard, SpaceMap

log = logging.getLogger(__name__)

_FILES = ["config.json", "model.safetensors"]


def fetch_maps(encoder: str, folder: str | Path) -> list[Path]:
    """Fetch every map of a base encoder that carries hf-dataset-selector's tags; those that are there already stay.

    A map that cannot be fetched or read is left out with a warning.

    Args:
        encoder: its name on the hub.
        folder: where maps go, one folder each.

    Raises:
        InputError: if the hub cannot be reached, or has no map of this encoder.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    api = HfApi()
    unreachable = (HfHubHTTPError, LocalEntryNotFoundError, OSError)
    try:
        name = api.model_info(encoder).id  # the hub's own name, where it was moved
        names = [found.id for found in api.list_models(filter=["embedding_space_map", f"base_model:{name}"])]
    except unreachable as error:
        raise InputError(f"the hub tells nothing of {encoder!r} ({type(error).__name__}). Check name and network.") from error
    if not names:
        raise InputError(f"the hub has no embedding space map of {name!r}. Fit your own with: transfercast fit-maps POOL")
    there = []
    for one in progress(names, "maps"):
        path = Path(folder) / one.replace("/", "--")
        try:
            if not path.is_dir():
                with replaced_folder(path) as new:
                    snapshot_download(one, allow_patterns=_FILES, local_dir=new)
                    MapCard.read(new)
                    SpaceMap.load(new)
            there.append(path)
        except (*unreachable, ArtifactError) as error:
            log.warning("map %s is left out: %s", one, error)
    return there
