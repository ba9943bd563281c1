"""Push and pull: a folder of a pool, of maps or of a predictor becomes a repository of the hub, and the other way round.

What comes from the hub was written by others: only safetensors and JSON are fetched, names are checked before they become
folders, and what a record says of files (where a task or an encoder lies) is left out.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from transfercast.core.errors import InputError, TransfercastError
from transfercast.core.files import check_place, read_json, reason, replaced_folder, sha256_of, write_json, write_text
from transfercast.core.records import checked_name
from transfercast.predictor import artifact, versions
from transfercast.predictor.predictor import Predictor
from transfercast.sharing.cards import map_card, predictor_card, source_card
from transfercast.sources.encoders import OFFLINE, weights_fingerprint
from transfercast.sources.esm import MapCard, SpaceMap
from transfercast.sources.source import FORMAT, RECORD, Source

log = logging.getLogger(__name__)

OFFLINE_ON_THE_HUB = "sentence-transformers/all-MiniLM-L6-v2"
FILES = ("*.json", "*.safetensors")

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")

What = Literal["source", "map", "predictor"]


def push(folder: str | Path, repo: str, *, base_model: str | None = None, private: bool = False) -> str:
    """Share a source (POOL/sources/NAME), a map (MAPS/NAME) or a predictor (the version in force) with a card.

    Its training data are not shared, nor where they lie.

    Args:
        folder: of what is to be shared.
        repo: USER/NAME on the hub; made where it is not there.
        base_model: the base encoder's name on the hub, where it is known here as a folder.
        private: whether a new repository is.

    Returns:
        The address of the repository.

    Raises:
        InputError: if the folder is none of these, its encoder has no name on the hub, or the hub refuses.

    Example:
        The folder `pool` holds the source help.

        >>> import transfercast as tc
        >>> tc.push("pool/sources/help", "me/help", base_model="prajjwal1/bert-tiny")
        'https://huggingface.co/me/help'
    """
    from huggingface_hub import HfApi

    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo):
        raise InputError(f"{repo!r}: name the repository as USER/NAME.")
    place = Path(folder).resolve()
    with tempfile.TemporaryDirectory(prefix="transfercast-push-") as made:
        staged = Path(made)
        what = _what(place)
        {"source": _stage_source, "map": _stage_map, "predictor": _stage_predictor}[what](place, staged, repo, base_model)
        with _hub(repo):
            address = HfApi().create_repo(repo, private=private, exist_ok=True)
            HfApi().upload_folder(
                repo_id=repo, folder_path=staged, allow_patterns=[*FILES, "README.md"], commit_message=f"transfercast {what}"
            )
    return str(address)


def _what(folder: Path) -> What:
    """What lies in a folder, or in what was fetched.

    Raises:
        InputError: if it is nothing that can be shared.
    """
    if (folder / RECORD).is_file():
        return "source"
    if (folder / "manifest.json").is_file() or (folder / "CURRENT").is_file():
        return "predictor"
    if (folder / "config.json").is_file():
        MapCard.read(folder)
        return "map"
    raise InputError(f"{folder}: no source ({RECORD}), map (config.json) or predictor (manifest.json).")


def _stage_source(folder: Path, staged: Path, repo: str, base_model: str | None) -> None:
    source = Source.read(folder)
    base = _on_the_hub(source.encoder, base_model)
    for pattern in FILES:
        for path in source.checkpoint.glob(pattern):
            shutil.copyfile(path, staged / path.name)
    kept = OFFLINE if source.encoder == OFFLINE else base
    about = source.model_copy(update={"encoder": kept, "spec": None, "device": "cpu"}).model_dump(mode="json")
    write_json(staged / RECORD, {"format": FORMAT, **about, "checkpoint": "."})
    write_text(staged / "README.md", source_card(source, base, repo))


def _stage_map(folder: Path, staged: Path, repo: str, base_model: str | None) -> None:
    card, found = MapCard.read(folder), SpaceMap.load(folder)
    base = _on_the_hub(card.base_model, base_model)
    about = json.loads((folder / "config.json").read_bytes())
    write_json(staged / "config.json", about | {"base_model_name": base})
    shutil.copyfile(folder / "model.safetensors", staged / "model.safetensors")
    write_text(staged / "README.md", map_card(card, base, found.weight.shape, repo))


def _stage_predictor(folder: Path, staged: Path, repo: str, _: str | None) -> None:
    version = versions.current(folder)
    Predictor.load(version)
    manifest, contents, parts = artifact.read(version)
    for name in contents:
        shutil.copyfile(version / name, staged / name)
    report = {name: value for name, value in parts["report.json"].items() if name != "folder"}
    write_json(staged / "report.json", report)
    hashes = manifest["sha256"] | {"report.json": sha256_of(staged / "report.json")}
    write_json(staged / "manifest.json", manifest | {"sha256": hashes})
    if places := [name for name in manifest.get("encoders", []) if not _HUB_NAME.fullmatch(str(name))]:
        log.warning(
            "the predictor names encoders by folders of yours (%s), which others will read.", ", ".join(map(str, places))
        )
    card = version / "CARD.md"
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    write_text(staged / "README.md", predictor_card(manifest, text, repo))


def _on_the_hub(encoder: str, told: str | None) -> str:
    name = told or (OFFLINE_ON_THE_HUB if encoder == OFFLINE else encoder)
    if not _HUB_NAME.fullmatch(name):
        raise InputError(f"its encoder is {encoder}, which others do not have. Say its name on the hub by --base-model NAME.")
    return name


def pull(
    repo: str,
    *,
    pool: str | Path = "pool",
    maps: str | Path = "maps",
    predictor: str | Path = "meta",
    name: str | None = None,
) -> Path:
    """Fetch a source into a pool, a map into a folder of maps, or a predictor into a folder of versions, put in force there.

    Args:
        repo: USER/NAME on the hub.
        pool, maps, predictor: where it goes, by what it is.
        name: of the source or map here; by default the source's own, and of a map USER--NAME.

    Returns:
        The folder in which it is now.

    Raises:
        InputError: if the hub does not have it, it is none of these, or another one of the name is here already.
        ArtifactError: if it is damaged.

    Example:
        The folder `meta` holds a predictor, which `train_meta` has made.

        >>> import transfercast as tc
        >>> address = tc.push("meta", "me/predictor")
        >>> folder = tc.pull("me/predictor", predictor="theirs")
        >>> tc.Predictor.load("theirs").id == tc.Predictor.load("meta").id
        True
    """
    from huggingface_hub import snapshot_download

    with tempfile.TemporaryDirectory(prefix="transfercast-pull-") as made:
        fetched = Path(made)
        with _hub(repo):
            snapshot_download(repo, allow_patterns=[*FILES], local_dir=fetched)
        shutil.rmtree(fetched / ".cache", ignore_errors=True)
        what = _what(fetched)
        if what == "source":
            return _take_source(fetched, Path(pool).resolve(), name)
        if what == "map":
            return _take_map(fetched, Path(maps), name or repo.replace("/", "--"))
        return _take_predictor(fetched, Path(predictor))


def _take_source(fetched: Path, pool: Path, name: str | None) -> Path:
    about = read_json(fetched / RECORD, "a source's record", FORMAT)
    own = checked_name(str(name or about.get("name")), "source")
    encoder = about.get("encoder")
    if not isinstance(encoder, str) or not _HUB_NAME.fullmatch(encoder):
        raise InputError(f"its record names no encoder of the hub ({encoder!r}). Adopt it instead: --adopt {own}=REPO.")
    write_json(fetched / RECORD, about | {"name": own, "checkpoint": ".", "spec": None})
    target = pool / "sources" / own
    check_place(target)
    if (target / RECORD).is_file():
        if weights_fingerprint(Source.read(target).checkpoint) == weights_fingerprint(fetched):
            return target
        raise InputError(f"{pool}: another source {own!r} is there already. Name it otherwise by --name.")
    with replaced_folder(target) as new:
        _move_files(fetched, new, last=RECORD)
        _read_as(new, own)
    return target


def _read_as(folder: Path, name: str) -> None:
    """See that a source's record is whole, in a folder that does not have its name yet."""
    with tempfile.TemporaryDirectory(prefix="transfercast-pull-") as made:
        trial = Path(made) / "sources" / name
        trial.mkdir(parents=True)
        shutil.copyfile(folder / RECORD, trial / RECORD)
        Source.read(trial)
    weights_fingerprint(folder)


def _take_map(fetched: Path, maps: Path, name: str) -> Path:
    target = maps / checked_name(name, "map")
    check_place(target)
    SpaceMap.load(fetched)
    with replaced_folder(target) as new:
        _move_files(fetched, new, last="config.json")
    return target


def _take_predictor(fetched: Path, folder: Path) -> Path:
    version = Predictor.load(fetched).id
    target = folder / "versions" / checked_name(version, "version")
    if not target.is_dir():
        check_place(target)
        with replaced_folder(target) as new:
            _move_files(fetched, new, last="manifest.json")
    elif (target / "manifest.json").read_bytes() != (fetched / "manifest.json").read_bytes():
        raise InputError(f"{folder}: another version {version} is there already. Pull into another folder.")
    Predictor.promote(folder, version)
    return target


def _move_files(fetched: Path, new: Path, last: str) -> None:
    files = sorted(path for pattern in FILES for path in fetched.glob(pattern) if path.is_file() and not path.is_symlink())
    for path in sorted(files, key=lambda path: path.name == last):
        shutil.copyfile(path, new / path.name)


@contextmanager
def _hub(repo: str) -> Iterator[None]:
    """Turn what the hub's client raises into one error.

    Raises:
        InputError: in place of any error but ours.
    """
    from huggingface_hub.utils.tqdm import disable_progress_bars, enable_progress_bars

    disable_progress_bars()
    try:
        yield
    except TransfercastError:
        raise
    except Exception as error:  # the hub's client and the HTTP client below it raise unrelated classes
        code: Any = getattr(getattr(error, "response", None), "status_code", None)
        remedy = "Log in with: hf auth login" if code in (401, 403) else "Check the name and the network"
        raise InputError(f"{repo}: the hub refuses ({type(error).__name__}: {reason(error)}). {remedy}.") from error
    finally:
        enable_progress_bars()
