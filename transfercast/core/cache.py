"""A cache of arrays keyed by content: what was computed once for a (kind, key) is read back, never recomputed.

joblib.Memory forgets every entry of a function whose source changes, and hashes torch tensors and data frames
differently from run to run. So the only cached function is the two lines below, which never change, and the key
is a fingerprint that the caller builds from contents and from the version of the code that computes.
The files are pickles, and to read a pickle is to run what is in it. So the folder is private to the user (mode 0700),
is never shared or shipped, and one that others own or can write to is not used: what is computed then lies in a
temporary folder until the process ends. A warning rather than an error, for a cache costs time only, and a container
often runs as another user than the one who owns the mounted home.
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
        TypeError: of an array of Python objects, whose bytes are addresses and not contents.
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
    """One thing that is kept.

    Attributes:
        kind: what it is: a reading, an activity, a map; `other` where its record cannot be read.
        folder: where it lies.
        size: bytes.
        used: when it was last read, in seconds since 1970; file systems may note that once a day only.
    """

    kind: str
    folder: Path
    size: int
    used: float


def superfluous(entries: Sequence[Entry], limit: float = math.inf, since: float = -math.inf) -> list[Entry]:
    """Those to delete, so that none is left that was last used before `since`, and at most `limit` bytes are.

    Args:
        entries: what was not used for longest first.
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
    """As joblib writes it beside the value: the argument's repr."""
    try:
        return str(json.loads((folder / "metadata.json").read_text(encoding="utf-8"))["input_args"]["kind"]).strip("'\"")
    except (OSError, ValueError, LookupError, TypeError):
        return "other"


class ArrayCache:
    """Arrays (or dicts of arrays) on disk, found again by kind and fingerprint.

    Args:
        folder: where the files lie; by default the user's own cache folder. Where it cannot be made, or is not the
            user's alone, a temporary folder takes its place, with a warning.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = _private(folder or user_cache_path("transfercast"))
        self._memory = Memory(self.folder, verbose=0)
        self._compute = self._memory.cache(_computed, ignore=["compute"])

    def get(self, kind: str, key: str, compute: Callable[[], Any]) -> Any:
        """What `compute()` gave the first time it was asked for under (kind, key)."""
        return self._compute(kind, key, compute)

    def size(self) -> int:
        """Bytes on the disk."""
        return size_of(self.folder)

    def entries(self) -> list[Entry]:
        """All that is kept, what was not used for longest first."""
        items = self._memory.store_backend.get_items()
        found = [Entry(_kind_of(Path(one.path)), Path(one.path), one.size, one.last_access.timestamp()) for one in items]
        return sorted(found, key=lambda entry: entry.used)

    def forget(self, entries: Iterable[Entry]) -> None:
        """Delete entries of this cache; what another process deleted meanwhile is passed over."""
        for entry in entries:
            if entry.folder.resolve().is_relative_to(self.folder.resolve()):
                shutil.rmtree(entry.folder, ignore_errors=True)

    def holds(self, kind: str, key: str) -> bool:
        """Whether (kind, key) is there already."""
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
