"""A cache of arrays keyed by content: an array that was computed once for a (kind, key) is read back, never recomputed.

joblib.Memory forgets every entry of a function whose source changes, and hashes torch tensors and data frames
differently from run to run. So the only cached function is the two lines below, which never change, and the key
is a fingerprint that the caller builds from contents and from the version of the code that computes.
The files are pickles, and reading a pickle runs the code in it. So the folder is private to the user (mode 0700) and is
never shared or shipped. A folder that others own or can write to is not used: results are then kept in a temporary
folder until the process ends. That is a warning and not an error, because without a cache only time is lost, and because
a container often runs as another user than the owner of the mounted home.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import logging
import math
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Memory
from platformdirs import user_cache_path

from transfercast.core.files import reason, size_of

log = logging.getLogger(__name__)


def fingerprint(**parts: Any) -> str:
    """SHA-256 over named parts (JSON scalars, lists, mappings, arrays), independent of their order.

    >>> fingerprint(texts=["a", "b"], version=1) == fingerprint(version=1, texts=["a", "b"])
    True
    >>> fingerprint(texts=["ab"]) == fingerprint(texts=["a", "b"])
    False

    Raises:
        TypeError: for an array of Python objects, whose bytes are addresses and not contents.
    """
    digest = hashlib.sha256()
    for name in sorted(parts):
        part = parts[name]
        if isinstance(part, np.ndarray):
            if part.dtype.hasobject:
                raise TypeError(f"fingerprint of {name!r}: an array of Python objects has no bytes to hash; pass a list.")
            header: Any = [name, "array", part.dtype.str, list(part.shape)]
            digest.update(json.dumps(header).encode() + b"\n" + np.ascontiguousarray(part).tobytes())
        else:
            written = json.dumps([name, part], sort_keys=True, ensure_ascii=False)
            digest.update(written.encode("utf-8", "surrogatepass") + b"\n")
    return digest.hexdigest()


def _computed(kind: str, key: str, compute: Callable[[], Any]) -> Any:  # frozen: see the module's docstring
    return compute()


@dataclass(frozen=True, slots=True)
class Entry:
    """One cached result.

    Attributes:
        kind: what it is: a model output, an activity, a map; `other` if its record cannot be read.
        folder: folder that holds it.
        size: bytes.
        used: when it was last read, in seconds since 1970; file systems may record that only once a day.
    """

    kind: str
    folder: Path
    size: int
    used: float


def superfluous(entries: Sequence[Entry], limit: float = math.inf, since: float = -math.inf) -> list[Entry]:
    """Entries to delete, so that all that remain were used since `since` and take at most `limit` bytes.

    Args:
        entries: the least recently used first.
        limit: bytes.
        since: seconds since 1970.
    """
    left, chosen = sum(entry.size for entry in entries), []
    for entry in entries:
        if left > limit or entry.used < since:
            chosen.append(entry)
            left -= entry.size
    return chosen


def _kind_of(folder: Path) -> str:
    """The kind of an entry, which joblib writes beside the value as the argument's repr."""
    try:
        return str(json.loads((folder / "metadata.json").read_text(encoding="utf-8"))["input_args"]["kind"]).strip("'\"")
    except (OSError, ValueError, LookupError, TypeError):
        return "other"


class ArrayCache:
    """Arrays (or dicts of arrays) on disk, found again by kind and fingerprint.

    Args:
        folder: folder of the files; by default the user's own cache folder. If it cannot be made, or others can write to
            it, a temporary folder takes its place, with a warning.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = _private(folder or user_cache_path("transfercast"))
        self._memory = Memory(self.folder, verbose=0)
        self._compute = self._memory.cache(_computed, ignore=["compute"])

    def get(self, kind: str, key: str, compute: Callable[[], Any]) -> Any:
        """The result of `compute()`, which is called only if there is none under (kind, key) yet."""
        return self._compute(kind, key, compute)

    def size(self) -> int:
        """Bytes on the disk."""
        return size_of(self.folder)

    def entries(self) -> list[Entry]:
        """All entries, the least recently used first."""
        items = self._memory.store_backend.get_items()
        found = [Entry(_kind_of(Path(one.path)), Path(one.path), one.size, one.last_access.timestamp()) for one in items]
        return sorted(found, key=lambda entry: entry.used)

    def forget(self, entries: Iterable[Entry]) -> None:
        """Delete entries of this cache; entries that another process deleted meanwhile are skipped."""
        for entry in entries:
            if entry.folder.resolve().is_relative_to(self.folder.resolve()):
                shutil.rmtree(entry.folder, ignore_errors=True)

    def holds(self, kind: str, key: str) -> bool:
        """Whether there is an entry under (kind, key)."""
        return bool(self._compute.check_call_in_cache(kind, key, None))


def _private(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        objection = _objection(folder)
    except OSError as error:
        objection = f"cannot be used ({reason(error)})"
    if objection is None:
        return folder
    log.warning(
        "cache folder %s %s; what is computed is kept in a temporary folder, and computed anew the next time. "
        "Remove the folder, or name another by XDG_CACHE_HOME.",
        folder,
        objection,
    )
    instead = tempfile.mkdtemp(prefix="transfercast-cache-")  # mode 0700
    atexit.register(shutil.rmtree, instead, ignore_errors=True)
    return Path(instead)


def _objection(folder: Path) -> str | None:
    """Why pickles in `folder` cannot be trusted or written; None if they can."""
    if hasattr(os, "getuid"):  # not on Windows, where a user's folders are the user's alone
        there = folder.stat()
        if {there.st_uid, folder.lstat().st_uid} != {os.getuid()}:
            return "belongs to another user"
        if there.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return "can be written to by other users, who could plant files that are run when they are read"
    return None if os.access(folder, os.W_OK | os.X_OK) else "cannot be written to"
