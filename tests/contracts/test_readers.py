"""What every reader of files must do, whichever ending is added to `readers.ENDINGS`."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from transfercast.core.errors import InputError
from transfercast.tasks.readers import ENDINGS, Sentence, read_records

TEXTS = ["the first", "the \u00fcber second"]


def write(path, format_name):
    """Two rows in a format."""
    rows = [{"text": text, "label": str(number)} for number, text in enumerate(TEXTS)]
    if format_name == "parquet":
        pd.DataFrame(rows).to_parquet(path)
    elif format_name == "conll":
        path.write_text("\n\n".join("\n".join(f"{word} O" for word in text.split()) for text in TEXTS), encoding="utf-8")
    elif format_name == "jsonl":
        path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    else:
        comma = "\t" if format_name == "tsv" else ","
        lines = [comma.join(row.values()) for row in [{"text": "text", "label": "label"}, *rows]]
        path.write_text("\n".join(lines), encoding="utf-8")
    return path


def text_of(record):
    return " ".join(record.tokens) if isinstance(record, Sentence) else record.values["text"]


@pytest.fixture(params=ENDINGS)
def file(request, tmp_path):
    return write(tmp_path / f"rows{request.param}", ENDINGS[request.param])


def test_it_gives_each_row_with_its_text_and_its_line(file):
    records = read_records(file, None, ("text", "label"))
    assert [text_of(record) for record in records] == TEXTS
    lines = [record.line for record in records]
    assert lines == sorted(set(lines))
    assert min(lines) >= 1


def test_the_format_may_be_said_where_the_ending_does_not(file):
    other = file.rename(file.with_suffix(".dat"))
    assert len(read_records(other, ENDINGS[file.suffix], ("text", "label"))) == 2
    with pytest.raises(InputError, match="unknown ending"):
        read_records(other, None, ("text", "label"))


@pytest.mark.parametrize("content", [b"", b"\xff\xfeb\x00a\x00d\x00", b"\x1f\x8b\x08\x00"], ids=["empty", "UTF-16", "gzip"])
def test_a_file_that_it_cannot_read_is_named_in_one_line(file, content):
    file.write_bytes(content)
    with pytest.raises(InputError) as told:
        read_records(file, None, ("text", "label"))
    assert file.name in str(told.value)
    assert "\n" not in str(told.value)


def test_a_missing_file_is_named(file):
    file.unlink()
    with pytest.raises(InputError, match=r"rows.*no such file"):
        read_records(file, None, ("text", "label"))
