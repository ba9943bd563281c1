"""Files are written beside and renamed, so that a reader never sees half of one."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transfercast.core.errors import ArtifactError, InputError


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically, making its folder where needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        beside.write_text(text, encoding="utf-8")
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON, atomically. NaN is written as null."""
    write_text(path, json.dumps(_no_nan(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _no_nan(content: Any) -> Any:
    if isinstance(content, float) and content != content:
        return None
    if isinstance(content, dict):
        return {key: _no_nan(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_no_nan(value) for value in content]
    return content


def read_json(path: Path, what: str, format_number: int) -> dict[str, Any]:
    """Read a JSON object that carries its format number.

    Raises:
        InputError: if the file is not there.
        ArtifactError: if it is no JSON object of `what`, or of a newer format than `format_number`.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected {what}.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ArtifactError(f"{path}: not readable as {what} ({error}). Make it anew.") from error
    if not isinstance(content, dict) or not isinstance(content.get("format"), int):
        raise ArtifactError(f"{path}: not {what}: it has no format number.")
    found = content["format"]
    if found > format_number:
        raise ArtifactError(f"{path} has format {found}, this version reads up to {format_number}. Upgrade transfercast.")
    return content


@contextmanager
def replaced_folder(path: Path) -> Iterator[Path]:
    """Give a new folder to fill; when the block ends well it takes the place of `path`, else it is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    beside.mkdir()
    try:
        yield beside
        if path.exists():
            old = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
            os.replace(path, old)
            os.replace(beside, path)
            shutil.rmtree(old)
        else:
            os.replace(beside, path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
