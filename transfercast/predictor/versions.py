"""The versions of a predictor in one folder, and which of them is in force.

    meta/CURRENT         ids of promoted versions in the order of their promotion; the last one is in force
    meta/versions/ID/    one version each; see `artifact`

CURRENT is replaced as a whole, under a lock that holds across processes, so that no promotion gets lost.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

from filelock import FileLock, Timeout

from transfercast.core.errors import ArtifactError, InputError, TransfercastError
from transfercast.core.files import reason, remove_folder, write_text

log = logging.getLogger(__name__)

LOCK_SECONDS = 10.0
"""Time to wait for the lock; its holder only replaces one small file."""

_ID = re.compile(r"[0-9]{4,9}-[0-9a-f]{8}")


def new_id(folder: Path, content: str) -> str:
    """An id for the next version: the highest number in the folder plus one, and the start of the content's fingerprint."""
    return f"{max(map(_number, all_ids(folder)), default=0) + 1:04d}-{content[:8]}"


def all_ids(folder: Path) -> list[str]:
    """Ids of all versions in the folder, promoted or not, the oldest first."""
    return sorted((path.name for path in (folder / "versions").glob("[0-9]*") if _ID.fullmatch(path.name)), key=_number)


def place_of(folder: Path, version: str) -> Path:
    """Folder of a version.

    Raises:
        InputError: if `version` is not the id of a version in the folder.
    """
    if not _ID.fullmatch(version) or not (folder / "versions" / version).is_dir():
        raise InputError(f"{folder}: no version {version!r}; its versions are {', '.join(all_ids(folder)) or 'none'}.")
    return folder / "versions" / version


def current(folder: Path) -> Path:
    """Folder of the version in force; if `folder` is itself a version's folder, that version.

    Raises:
        InputError: if no version was promoted.
        ArtifactError: if CURRENT is damaged.
    """
    if (folder / "manifest.json").is_file():
        return folder
    promoted = promoted_ids(folder)
    if not promoted and all_ids(folder):
        raise InputError(
            f"{folder}: no version was promoted, because none was as good as the prior on held-out targets. Continue without "
            "this predictor, and retrain with more observations."
        )
    if not promoted:
        raise InputError(f"{folder}: no predictor. Make one with: transfercast train-meta --history ... --out {folder}")
    return folder / "versions" / promoted[-1]


def promoted_ids(folder: Path) -> list[str]:
    """Ids of promoted versions in the order of their promotion; a version that was promoted twice occurs twice.

    Raises:
        ArtifactError: if CURRENT has anything but ids of versions, such as another folder.
    """
    pointer = folder / "CURRENT"
    if not pointer.is_file():
        return []
    try:
        ids = pointer.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{pointer}: cannot be read ({reason(error)}). {_PUT_RIGHT}") from error
    wrong = next((name for name in ids if not _ID.fullmatch(name)), None)
    if wrong is not None:
        raise ArtifactError(f"{pointer}: {wrong[:80]!r} is not the id of a version. {_PUT_RIGHT}")
    return ids


_PUT_RIGHT = "Write the id of a folder in versions/ into it, or train anew in another folder."


def promote(folder: Path, version: str) -> None:
    """Put a version in force; if it already is, nothing changes.

    Raises:
        InputError: if there is no such version, or CURRENT cannot be written.
    """
    place_of(folder, version)
    with _locked(folder):
        promoted = promoted_ids(folder)
        if promoted[-1:] != [version]:
            _write(folder, [*promoted, version])


def roll_back(folder: Path, check: Callable[[Path], object]) -> str:
    """Put the last usable version before the one in force in force again, and return its id.

    Args:
        folder: folder of the versions.
        check: reads a version; after a TransfercastError the version before it is tried.

    Raises:
        InputError: if there is no earlier usable version.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder, so there is no version to roll back to.")
    with _locked(folder):
        promoted = promoted_ids(folder)
        for count in range(len(promoted) - 1, 0, -1):
            version = promoted[count - 1]
            if version == promoted[-1]:
                continue
            try:
                check(place_of(folder, version))
            except TransfercastError as error:
                log.warning("%s is skipped: %s", version, error)
                continue
            _write(folder, promoted[:count])
            return version
    raise InputError(f"{folder}: no earlier version to roll back to.")


def prune(folder: Path, keep: int) -> list[str]:
    """Delete all versions except the last `keep` promoted ones, and return the ids of the deleted versions.

    Versions that were never promoted are kept if they are newer than the oldest of these.
    """
    with _locked(folder):
        promoted = promoted_ids(folder)
        kept = list(dict.fromkeys(reversed(promoted)))[:keep]
        staying = [name for name, _ in groupby(name for name in promoted if name in kept)]
        if staying != promoted:
            _write(folder, staying)
    oldest = min(map(_number, kept), default=0)
    gone = [name for name in all_ids(folder) if name not in kept and (name in promoted or _number(name) < oldest)]
    for name in gone:
        remove_folder(folder / "versions" / name)
    return gone


def _number(version: str) -> int:
    return int(version.partition("-")[0])


def _write(folder: Path, promoted: list[str]) -> None:
    write_text(folder / "CURRENT", "".join(f"{name}\n" for name in promoted))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    try:
        with FileLock(folder / ".current.lock", timeout=LOCK_SECONDS):
            yield
    except Timeout as error:
        raise InputError(f"{folder}: another process has been changing CURRENT for {LOCK_SECONDS:g} s. Try again.") from error
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({reason(error)}).") from error
