"""Fetch embedding space maps that others have published on the Hugging Face hub."""

from __future__ import annotations

import logging
from pathlib import Path

from transfercast.core.errors import InputError
from transfercast.core.files import check_place, reason, replaced_folder
from transfercast.core.progress import progress
from transfercast.core.records import checked_name
from transfercast.sources.esm import MapCard, SpaceMap

log = logging.getLogger(__name__)

_FILES = ["config.json", "model.safetensors"]


def fetch_maps(encoder: str, folder: str | Path) -> list[Path]:
    """Fetch every map of a base encoder that carries hf-dataset-selector's tags; maps that exist already are kept.

    A map that cannot be fetched or read is left out with a warning.

    Args:
        encoder: its name on the hub.
        folder: folder for the maps, which get one subfolder each.

    Raises:
        InputError: if the hub cannot be reached, has no map of this encoder, or none that can be read.
    """
    from huggingface_hub import HfApi, snapshot_download

    check_place(Path(folder) / "map")
    api = HfApi()
    try:
        name = api.model_info(encoder).id  # the hub's own name, where it was moved
        names = [found.id for found in api.list_models(filter=["embedding_space_map", f"base_model:{name}"])]
    except Exception as error:  # the hub's client and the HTTP client below it raise unrelated classes
        raise InputError(f"the hub tells nothing of {encoder!r} ({type(error).__name__}). Check name and network.") from error
    if not names:
        raise InputError(f"the hub has no embedding space map of {name!r}. Fit your own with: transfercast fit-maps POOL")
    there = []
    for one in progress(names, "maps"):
        try:
            path = Path(folder) / checked_name(one.replace("/", "--"), "map")
            if not path.is_dir():
                with replaced_folder(path) as new:
                    snapshot_download(one, allow_patterns=_FILES, local_dir=new)
                    MapCard.read(new)
                    SpaceMap.load(new)
            there.append(path)
        except Exception as error:  # unrelated classes, as above; the other maps are still fetched
            log.warning("map %s is left out: %s", one, reason(error))
    if not there:
        raise InputError(f"none of the {len(names)} maps of {name!r} could be fetched; see the warnings above.")
    return there
