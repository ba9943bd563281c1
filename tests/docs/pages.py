"""Pages as a newcomer reads them: the fenced blocks, with what a comment just above says of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"(?:<!-- (?P<note>[^\n]*?) -->\n)?```(?P<kind>[a-z]+)\n(?P<text>.*?)```", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block; `note` is the comment above it: `not run: WHY` or `file: NAME`."""

    kind: str
    note: str
    text: str

    @property
    def is_run(self) -> bool:
        return self.kind in ("sh", "python") and not self.note.startswith("not run: ")

    @property
    def file(self) -> str | None:
        return self.note.removeprefix("file: ") if self.note.startswith("file: ") else None

    def commands(self) -> list[str]:
        return [line for line in self.text.splitlines() if line.strip()]


def blocks(page: Path) -> list[Block]:
    found = _BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [Block(match["kind"], match["note"] or "", match["text"]) for match in found]
