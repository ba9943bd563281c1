"""CoNLL: each line has a token and its tag, and a blank line follows each sentence.

Columns are separated by tabs, or by blanks if the line has no tab. The token is the first column; the column of the tag is
chosen later, so a sentence holds all columns.
"""

from __future__ import annotations

from pathlib import Path

from transfercast.core.errors import InputError
from transfercast.tasks.readers import Sentence, decoded


def read(path: Path) -> list[Sentence]:
    """Sentences of a CoNLL file; comment lines (`# `) before a sentence and -DOCSTART- lines are skipped."""
    sentences: list[Sentence] = []
    rows: list[list[str]] = []
    lines: list[int] = []

    def close() -> None:
        if rows:
            sentences.append(Sentence(lines[0], tuple(row[0] for row in rows), tuple(rows), tuple(lines)))
            rows.clear()
            lines.clear()

    for line, text in enumerate(decoded(path).split("\n"), start=1):
        text = text.rstrip("\r")
        if not text.strip() or text.startswith("-DOCSTART-"):
            close()
        elif not rows and text.startswith("# "):
            continue
        else:
            columns = text.split("\t") if "\t" in text else text.split()
            if len(columns) < 2 or not columns[0].strip() or not columns[-1].strip():
                raise InputError(f"{path}, line {line}: {text!r} is not a token and a tag. Fix the line.")
            if rows and len(columns) != len(rows[0]):
                raise InputError(f"{path}, line {line}: {len(columns)} columns, the sentence's first token has {len(rows[0])}.")
            rows.append(columns)
            lines.append(line)
    close()
    return sentences
