"""Ways in which files go wrong, as steps that a case's `prepare` is made of."""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.robustness.campaign import Prepare

Damage = Callable[[bytes], bytes]

DEEP = 100_000
DIGITS = "7" * 5_000


def nothing(folder: Path) -> None:
    """The input is as it should be; the command is not."""


def steps(*each: Prepare) -> Prepare:
    """One after the other."""

    def prepare(folder: Path) -> None:
        for step in each:
            step(folder)

    return prepare


def wrote(name: str, content: str | bytes) -> Prepare:
    """A file of this content, in place of whatever was there."""

    def prepare(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)

    return prepare


def damaged(name: str, damage: Damage) -> Prepare:
    """The bytes of a file changed."""
    return lambda folder: (folder / name).write_bytes(damage((folder / name).read_bytes()))


def removed(name: str) -> Prepare:
    """A file or folder gone."""
    return lambda folder: shutil.rmtree(folder / name) if (folder / name).is_dir() else (folder / name).unlink()


def made_folder(name: str, *files: str) -> Prepare:
    """A folder, with files of somebody else's in it, in place of whatever was there."""

    def prepare(folder: Path) -> None:
        if (folder / name).is_file():
            (folder / name).unlink()
        (folder / name).mkdir(parents=True, exist_ok=True)
        for file in files:
            (folder / name / file).write_text("mine", encoding="ascii")

    return prepare


def in_place_of_a_folder(name: str) -> Prepare:
    """A file where a folder is expected."""

    def prepare(folder: Path) -> None:
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).write_text("not a folder", encoding="ascii")

    return prepare


def linked(name: str, to: str) -> Prepare:
    """A symbolic link."""

    def prepare(folder: Path) -> None:
        if (folder / name).exists():
            removed(name)(folder)
        (folder / name).symlink_to(to)

    return prepare


def piped(name: str) -> Prepare:
    """A named pipe that nobody writes to."""
    return lambda folder: os.mkfifo(folder / name)


def edited(name: str, change: Callable[[Any], object]) -> Prepare:
    """A JSON file whose content was changed in place; numbers that JSON does not know are written as Python writes them."""

    def prepare(folder: Path) -> None:
        content = json.loads((folder / name).read_bytes())
        change(content)
        (folder / name).write_text(json.dumps(content), encoding="utf-8")

    return prepare


def put(*path: str | int, value: Any) -> Callable[[Any], None]:
    """Set what lies at a path of keys and positions."""

    def change(content: Any) -> None:
        for part in path[:-1]:
            content = content[part]
        content[path[-1]] = value

    return change


def without(*path: str | int) -> Callable[[Any], None]:
    """Delete what lies at a path of keys and positions."""

    def change(content: Any) -> None:
        for part in path[:-1]:
            content = content[part]
        del content[path[-1]]

    return change


# --- what happens to the bytes of any file ---


def first(share: float) -> Damage:
    """The first part; the rest never arrived."""
    return lambda content: content[: int(len(content) * share)]


def last(share: float) -> Damage:
    """The last part."""
    return lambda content: content[-int(len(content) * share) :]


def noise(seed: int, count: int) -> Damage:
    """So many bytes replaced by random ones, at random places."""

    def damage(content: bytes) -> bytes:
        rng, changed = random.Random(seed), bytearray(content)
        for _ in range(count):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        return bytes(changed)

    return damage


def random_bytes(seed: int, count: int) -> bytes:
    """Nothing but noise."""
    return random.Random(seed).randbytes(count)


def utf16(content: bytes) -> bytes:
    """As Windows' older programs save text."""
    return content.decode().encode("utf-16")


def latin1(content: bytes) -> bytes:
    """With a letter that latin1 has and ASCII has not."""
    return content.decode().replace("good", "g\xf6\xf6d").encode("latin1")


def gzipped(content: bytes) -> bytes:
    """Compressed, the name left as it was."""
    return gzip.compress(content, mtime=0)


def emptied(content: bytes) -> bytes:
    """Of no bytes."""
    return b""


def with_mark(content: bytes) -> bytes:
    """With a byte order mark."""
    return b"\xef\xbb\xbf" + content


def windows_lines(content: bytes) -> bytes:
    """With CRLF."""
    return content.replace(b"\n", b"\r\n")


def nested(content: bytes) -> bytes:
    """JSON of thousands of lists in one another."""
    return b"[" * DEEP


def not_utf8(content: bytes) -> bytes:
    """With a byte that UTF-8 does not know."""
    return content[:1] + b"\xff" + content[1:]


def replaced(old: str, new: str) -> Damage:
    """One text in place of another."""

    def damage(content: bytes) -> bytes:
        assert old.encode() in content, f"nothing to replace: {old!r}"
        return content.replace(old.encode(), new.encode("utf-8", "surrogatepass"), 1)

    return damage
