"""JSON lines and Parquet files with structures for texts, broken pages, and values that no label can be."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import sentences
from tests.robustness.campaign import REFUSED, Case, check
from tests.robustness.damage import (
    DEEP,
    DIGITS,
    Damage,
    damaged,
    emptied,
    first,
    gzipped,
    last,
    latin1,
    made_folder,
    noise,
    random_bytes,
    removed,
    replaced,
    steps,
    utf16,
    windows_lines,
    with_mark,
    wrote,
)

EITHER = (0, REFUSED)
ROWS = sentences(40, "good", seed=1)


def lines(what: str, damage: Damage, says: str, code: int | tuple[int, ...] = REFUSED) -> Case:
    """The good JSON lines, their bytes changed."""
    return Case(f"jsonl {what}", damaged("data.jsonl", damage), "rank data.jsonl encoder", code, says)


def with_line(what: str, line: str | bytes, says: str = r"data\.jsonl, line 41", code: int | tuple[int, ...] = REFUSED) -> Case:
    """The good JSON lines and a last one that is not; the good ones are forty."""
    added = line.encode("utf-8", "surrogatepass") if isinstance(line, str) else line
    return lines(what, lambda good: good + added + b"\n", says, code)


def valued(
    what: str, text: Any, label: Any, says: str = r"data\.jsonl, line 41", code: int | tuple[int, ...] = REFUSED
) -> Case:
    """The good JSON lines and a last one of these values."""
    return with_line(what, json.dumps({"text": text, "label": label}), says, code)


JSONL = [
    lines("as they should be", lambda good: good, r"logme on 3\d rows of data", 0),
    lines("of no bytes", emptied, r"data\.jsonl: no rows"),
    lines("with a byte order mark", with_mark, r"logme on 3\d rows", 0),
    lines("with the line ends of Windows", windows_lines, r"logme on 3\d rows", 0),
    lines("with blank lines", lambda good: good.replace(b"\n", b"\n\n"), r"logme on 3\d rows", 0),
    lines("in UTF-16", utf16, r"data\.jsonl.*UTF-16"),
    lines("in latin1", latin1, r"data\.jsonl, line \d+: .*UTF-8"),
    lines("compressed", gzipped, r"data\.jsonl.*gzip"),
    lines("cut in the middle", lambda good: good[:-10], r"data\.jsonl, line 40: .*JSON"),
    lines("as one list", lambda good: b"[" + b",".join(good.splitlines()) + b"]", r"data\.jsonl, line 1: .*object a line"),
    lines("as one object over several lines", lambda good: good.replace(b", ", b",\n"), r"data\.jsonl, line 1: .*JSON"),
    *(lines(f"of random bytes, {seed}", lambda good, seed=seed: random_bytes(seed, 500), r"data\.jsonl") for seed in range(2)),
    *(lines(f"with 20 random bytes, {seed}", noise(seed, 20), r"data", EITHER) for seed in range(3)),
    with_line("with a line of lists in one another", "[" * DEEP),
    with_line("with lists in one another in a field", f'{{"text": "we", "label": {"[" * DEEP}'),
    with_line("with a number of 5,000 digits", f'{{"text": "we need", "label": {DIGITS}}}', r"data\.jsonl, line 41", EITHER),
    with_line("with a list", '["we need", 1]', r"data\.jsonl, line 41: .*list"),
    with_line("with a word", '"we need"', r"data\.jsonl, line 41"),
    with_line("with null", "null", r"data\.jsonl, line 41"),
    with_line("with a comma too many", '{"text": "we need", "label": 1,}', r"data\.jsonl, line 41: .*JSON"),
    with_line("with single quotes", "{'text': 'we need', 'label': 1}", r"data\.jsonl, line 41: .*JSON"),
    with_line("with a key twice", '{"text": "we", "label": 0, "label": 1}', r"data\.jsonl, line 41: .*'label'.*twice"),
    with_line("with a key missing", '{"text": "we need"}', r"data\.jsonl, line 41: .*'label'.*'text'"),
    with_line("with half a letter as text", '{"text": "we \\ud83d need", "label": 1}', r"data", EITHER),
    with_line("with half a letter as label", '{"text": "we need", "label": "\\udc80"}', r"data", EITHER),
    with_line("with a label that is no number", '{"text": "we need", "label": NaN}', r"data\.jsonl, line 41: .*(label|NaN)"),
    with_line("with an infinite label", '{"text": "we need", "label": Infinity}',
        r"(data\.jsonl, line 41: .*(label|Inf))|left out: 1", EITHER),
    valued("with an object as text", {"a": 1}, 1, r"data\.jsonl, line 41: .*'?text'?"),
    valued("with a list as text", ["we", "need"], 1, r"data\.jsonl, line 41: .*'?text'?"),
    valued("with a number as text", 3.5, 1, r"data", EITHER),
    valued("with an object as label", "we need", {"a": 1}, r"data\.jsonl, line 41: .*'?label'?"),
    valued("with a list as label", "we need", [1], r"data\.jsonl, line 41: .*'?label'?"),
    valued("with null as label", "we need", None, r"data\.jsonl, line 41: .*'label'.*empty"),
    Case(
        "jsonl with true and false as labels",
        wrote("data.jsonl", "".join(json.dumps({"text": t, "label": bool(n)}) + "\n" for t, n in ROWS)),
        "rank data.jsonl encoder", 0, "binary",
    ),
]  # fmt: skip


def parquet(what: str, damage: Damage, says: str = r"data\.parquet", code: int | tuple[int, ...] = REFUSED) -> Case:
    """The good Parquet file, its bytes changed."""
    return Case(f"parquet {what}", damaged("data.parquet", damage), "rank data.parquet encoder", code, says)


def table(what: str, columns: dict[str, Any], says: str, code: int | tuple[int, ...] = REFUSED) -> Case:
    """A Parquet file of these columns; texts and labels are the good ones where they are left out."""
    texts, labels = zip(*ROWS, strict=True)
    arrays = {"text": pa.array(texts), "label": pa.array(labels)} | columns
    whole = pa.table({name: values for name, values in arrays.items() if values is not None})
    return Case(f"parquet {what}", wrote("data.parquet", _bytes(whole)), "rank data.parquet encoder", code, says)


def _bytes(whole: pa.Table) -> bytes:
    file = io.BytesIO()
    pq.write_table(whole, file)
    return file.getvalue()


def _column_twice() -> bytes:
    texts, labels = zip(*ROWS, strict=True)
    return _bytes(pa.table([pa.array(texts), pa.array(labels), pa.array(labels)], names=["text", "label", "label"]))


def _many_equal_rows(folder: Path) -> None:
    one = pa.table({"text": ["we need water"] * 500_000, "label": [1] * 500_000})
    with pq.ParquetWriter(folder / "data.parquet", one.schema) as writer:
        for _ in range(10):
            writer.write_table(one)


PARQUET = [
    parquet("as it should be", lambda good: good, r"logme on 3\d rows of data", 0),
    parquet("of no bytes", emptied),
    parquet("cut at the end", first(0.5)),
    parquet("cut in front", last(0.5)),
    parquet("with a damaged page", lambda good: good[:8] + b"\xff" * 40 + good[48:]),
    parquet("with a damaged footer", lambda good: good[:-60] + b"\xff" * 40 + good[-20:]),
    *(parquet(f"with 8 random bytes, {seed}", noise(seed, 8), "data", EITHER) for seed in range(8)),
    parquet("of random bytes", lambda good: random_bytes(0, 2000)),
    parquet("that is a CSV", lambda good: b"text,label\nwe need,1\n", r"data\.parquet.*Parquet"),
    parquet("compressed", gzipped),
    parquet("with letters that are not UTF-8", replaced("good", "go\ud83dd"), "data", EITHER),
    Case(
        "parquet with a column twice", wrote("data.parquet", _column_twice()), "rank data.parquet encoder", REFUSED,
        r"data\.parquet.*'label'.*twice",
    ),
    Case(
        "a folder in place of a Parquet file", steps(removed("data.parquet"), made_folder("data.parquet")),
        "rank data.parquet encoder", REFUSED, r"data\.parquet",
    ),
    Case("parquet of five million equal rows", _many_equal_rows, "rank data.parquet encoder", EITHER, "data"),
    table("without its text column", {"text": None}, r"data\.parquet.*no column 'text'.*'label'"),
    table("of no rows", {"text": pa.array([], pa.string()), "label": pa.array([], pa.int64())}, r"data\.parquet: no rows"),
    table("with an empty label", {"label": pa.array([None, *(n for _, n in ROWS[1:])])},
        r"data\.parquet, (line|row) 1\b.*'label'"),
    table("with bytes as texts", {"text": pa.array([t.encode() for t, _ in ROWS])}, r"data\.parquet.*'?text'?"),
    table("with structures as texts", {"text": pa.array([{"a": t} for t, _ in ROWS])}, r"data\.parquet.*'?text'?"),
    table("with lists as texts", {"text": pa.array([t.split() for t, _ in ROWS])}, r"data\.parquet.*'?text'?"),
    table("with lists as labels", {"label": pa.array([[n] for _, n in ROWS])}, "multilabel", 0),
    table("with structures as labels", {"label": pa.array([{"a": n} for _, n in ROWS])}, r"data\.parquet.*'?label'?"),
    table("with true and false as labels", {"label": pa.array([bool(n) for _, n in ROWS])}, "binary", 0),
    table("with 0.0 and 1.0 as labels", {"label": pa.array([float(n) for _, n in ROWS])}, "binary", 0),
    table("with small integers as labels", {"label": pa.array([n for _, n in ROWS], pa.int8())}, "binary", 0),
    table("with dates beside", {"day": pa.array([0] * 40, pa.date32())}, "logme on", 0),
]  # fmt: skip


@pytest.mark.parametrize("case", [*JSONL, *PARQUET], ids=lambda case: case.id)
def test_a_file_of_records_is_read_rightly_or_refused_in_one_line(case, goods, tmp_path, caplog):
    check(case, goods, tmp_path, lambda: caplog.text)
