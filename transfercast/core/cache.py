"""A cache of arrays keyed by content: what was computed once for a (kind, key) is read back, never recomputed.

joblib.Memory forgets every entry of a function whose source changes, and hashes torch tensors and data frames
differently from run to run. So the only cached function is the two lines below, which never change, and the key
is a fingerprint that the caller builds from contents and from the version of the code that computes.
The files are pickles: the folder is private to the user (mode 0700) and is never shared or shipped.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Memory
from platformdirs import user_cache_path


def fingerprint(**parts: Any) -> str:
    """SHA-256 over named parts (JSON scalars, lists, mappings, arrays), independent of their order.

    >>> fingerprint(texts=["a", "b"], version=1) == fingerprint(version=1, texts=["a", "b"])
    True
    >>> fingerprint(texts=["ab"]) == fingerprint(texts=["a", "b"])
    False
    """
    digest = hashlib.sha256()
    for name in sorted(parts):
        part = parts[name]
        if isinstance(part, np.ndarray):
            header: Any = [name, "array", part.dtype.str, list(part.shape)]
            digest.update(json.dumps(header).encode() + b"\n" + np.ascontiguousarray(part).tobytes())
        else:
            digest.update(json.dumps([name, part], sort_keys=True, ensure_ascii=False).encode() + b"\n")
    return digest.hexdigest()


def _computed(kind: str, key: str, compute: Callable[[], Any]) -> Any:  # frozen: see the module's docstring
    return compute()


class ArrayCache:
    """Arrays (or dicts of arrays) on disk, found again by kind and fingerprint.

    Args:
        folder: where the files lie; by default the user's own cache folder.
    """

    def __init__(self, folder: Path | None = None) -> None:
        folder = folder or user_cache_path("transfercast")
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._compute = Memory(folder, verbose=0).cache(_computed, ignore=["compute"])

    def get(self, kind: str, key: str, compute: Callable[[], Any]) -> Any:
        """What `compute()` gave the first time it was asked for under (kind, key)."""
        return self._compute(kind, key, compute)

    def holds(self, kind: str, key: str) -> bool:
        """Whether (kind, key) is there already."""
        return bool(self._compute.check_call_in_cache(kind, key, None))
