"""Files are written under a temporary name and renamed, so that no reader sees a partial file; our folders carry a marker.

A command replaces or deletes a folder only if the marker says that transfercast made it. While a folder is being filled,
its marker also names the owner, so that the next process that works there can remove the leftovers of a killed one.
"""

from __future__ import annotations

import glob
import hashlib
import itertools
import json
import os
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from transfercast.core.errors import ArtifactError, InputError
from transfercast.core.owners import is_alive, machine_id, owner_id

MARKER = ".transfercast"
"""Name of the marker: a file in every folder that transfercast made; it holds the id of the process that made it."""

UNMARKED_SECONDS = 60.0
"""Age at which an empty folder without an owner counts as a leftover; an owner is written within milliseconds."""


@contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """Give a path to write to; if the block ends without an error, that file replaces `path`, else it is removed.

    Partial files that killed processes of this machine left of the same file are removed first.

    Raises:
        InputError: if the file cannot be written there.
    """
    machine = machine_id()[:4]
    beside = path.with_name(f".{path.name}.{machine}{os.getpid():08x}{next(_numbers):04x}")
    try:
        if path.is_dir():
            raise InputError(f"{path}: is a folder; name a file to write.")
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f".{glob.escape(path.name)}.{machine}*"):
            if _is_left(left.name.rpartition(".")[2]):
                _removed(left)
        yield beside
        os.replace(beside, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({reason(error)}). Name another place.") from error
    finally:
        _removed(beside)


_numbers = itertools.count()


def _is_left(token: str) -> bool:
    """Whether the token in the name of a temporary file belongs to a process of this machine that has ended."""
    return re.fullmatch("[0-9a-f]{16,}", token) is not None and not psutil.pid_exists(int(token[4:12], 16))


def _removed(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:  # its folder could not be made; nothing is there to remove
        return


def reason(error: BaseException) -> str:
    """The reason of a failure, in one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically, making its folder where needed.

    Raises:
        InputError: if the file cannot be written there.
    """
    with written_beside(path) as beside:
        beside.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON, atomically. Numbers that JSON does not know (NaN, infinities) are written as null.

    Raises:
        InputError: if the file cannot be written there.
    """
    write_text(path, json.dumps(_finite(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _finite(content: Any) -> Any:
    if isinstance(content, float):
        return content if abs(content) < float("inf") else None
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return content


def parse_json(text: str | bytes, where: str) -> Any:
    """The content of a JSON text, of any type.

    Raises:
        ArtifactError: if it is not JSON, nested too deeply, or holds a number of thousands of digits.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ArtifactError(f"{where}: not readable (nested too deeply). Make it anew.") from error
    except ValueError as error:  # of JSON, of UTF-8, or of a number too long
        raise ArtifactError(f"{where}: not readable ({reason(error)}). Make it anew.") from error


def read_json(path: Path, what: str, format_number: int) -> dict[str, Any]:
    """Read a JSON object that carries its format number.

    Raises:
        InputError: if the file is not there.
        ArtifactError: if it is no JSON object of `what`, or of a newer format than `format_number`.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected {what}.")
    try:
        text = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({reason(error)}).") from error
    content = parse_json(text, f"{path}, expected {what}")
    if not isinstance(content, dict) or type(content.get("format")) is not int or content["format"] < 1:
        raise ArtifactError(f"{path}: not {what}: it has no format number.")
    found = content["format"]
    if found > format_number:
        raise ArtifactError(f"{path} has format {found}, this version reads up to {format_number}. Upgrade transfercast.")
    return content


def is_ours(folder: Path) -> bool:
    """Whether transfercast made a folder, so that it may replace or delete it."""
    return not folder.is_symlink() and (folder / MARKER).is_file()


def refuse_foreign(folder: Path) -> None:
    """Raise if transfercast did not make the folder and it is not empty, so that nothing is done to it.

    Raises:
        InputError: if `folder` is a file, a symbolic link, or a folder of somebody else's.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise InputError(f"{folder}: is not a folder. Name another place, or move it away.")
    if folder.is_dir() and not is_ours(folder) and any(folder.iterdir()):
        raise InputError(f"{folder}: holds files that transfercast did not write. Name another place, or move it away.")


def mark(folder: Path, owner: str | None = None) -> None:
    """Mark a folder as made by transfercast, by `owner`; by default this process."""
    (folder / MARKER).write_text((owner or owner_id()) + "\n", encoding="ascii")


def remove_folder(folder: Path) -> None:
    """Delete a folder that transfercast made; any other is left alone."""
    if is_ours(folder):
        _remove_marked(folder)


def _remove_marked(folder: Path) -> None:
    """Delete a folder, its marker last, so that a folder that is half deleted by a kill still carries the marker."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != MARKER:
            path.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def check_place(path: Path) -> None:
    """Raise before any work is done, if its result could not be written to `path`.

    Raises:
        InputError: if a file stands where one of its folders is needed, or that folder takes no files.
    """
    folder = next(place for place in path.absolute().parents if os.path.lexists(place))
    where = f"{path}: cannot be written, for {folder}"
    if not folder.is_dir():
        raise InputError(f"{where} is not a folder. Name another place.")
    try:
        tempfile.TemporaryFile(dir=folder).close()  # permissions alone do not tell
    except OSError as error:
        raise InputError(f"{where} takes no files ({reason(error)}). Name another place.") from error


def make_folder_of(path: Path) -> None:
    """Make the folder of a file that is to be written.

    Raises:
        InputError: as of `check_place`.
    """
    if not path.parent.is_dir():
        check_place(path)
        path.parent.mkdir(parents=True, exist_ok=True)


def check_file(path: Path | None) -> None:
    """Raise before any work is done, if its result could not be written to the file `path`; None means that nothing is written.

    Raises:
        InputError: if it is a folder, or as of `check_place`.
    """
    if path is None:
        return
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name a file to write.")
    check_place(path)


@contextmanager
def replaced_folder(path: Path) -> Iterator[Path]:
    """Give a new folder to fill; if the block ends without an error, it replaces `path`, else it is removed.

    Raises:
        InputError: if `path` was not made by transfercast, or cannot be written.
    """
    refuse_foreign(path)
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path.parent)
        owner = owner_id()  # before there is a folder: one without an owner counts as in use for a while
        beside.mkdir()
        mark(beside, owner)
    except OSError as error:
        shutil.rmtree(beside, ignore_errors=True)  # on a full disk a folder can be made, and its marker cannot
        raise InputError(f"{path}: cannot be written ({reason(error)}). Name another place.") from error
    try:
        yield beside
        if path.exists():
            old = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
            os.replace(path, old)
            os.replace(beside, path)
            _remove_marked(old)
        else:
            os.replace(beside, path)
    finally:
        _remove_marked(beside)


def remove_leftovers(folder: Path) -> None:
    """Delete half-filled folders in `folder` whose process was killed."""
    for left in folder.glob(".*.????????"):
        with suppress(FileNotFoundError):  # whoever fills it may be done with it by now
            if left.is_dir() and not left.is_symlink() and _is_abandoned(left):
                _remove_marked(left)


def _is_abandoned(folder: Path) -> bool:
    """Whether the process that filled a folder has ended, or was killed before it could write its id."""
    marker = folder / MARKER
    owner = marker.read_text(encoding="ascii").strip() if marker.is_file() else ""
    if owner:
        return is_alive(owner) is False
    begun = {path.name for path in folder.iterdir()} <= {MARKER}
    return begun and time.time() - folder.stat().st_mtime > UNMARKED_SECONDS


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder and its subfolders; links are not followed."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
