"""Files that are damaged, packed, of another format or far too wide are one error at once; long texts are not."""

from __future__ import annotations

import gzip
import json
import random
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from tests.conftest import write_csv
from transfercast.cli import app
from transfercast.core.errors import InputError
from transfercast.core.kinds import Kind
from transfercast.tasks.task import Task

ROWS = "text,label\n" + "".join(f"text {i},{i % 2}\n" for i in range(60))


def refused(path, *parts, **options):
    with pytest.raises(InputError) as caught:
        Task.from_csv(path, **({"text": "text", "label": "label"} | options))
    message = str(caught.value)
    assert "\n" not in message
    for part in (path.name, *parts):
        assert part in message


def read(path, **options):
    return Task.from_csv(path, **({"text": "text", "label": "label"} | options))


def jsonl(path, rows):
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("x.csv", ROWS.encode("utf-16"), ["UTF-16", "iconv -f utf-16"]),
        ("x.csv", ROWS.encode("utf-16-le"), ["UTF-16"]),
        ("x.jsonl", ROWS.encode("utf-16-be"), ["UTF-16"]),
        ("x.csv", gzip.compress(ROWS.encode()), ["gzip", "gunzip"]),
        ("x.csv.gz", gzip.compress(ROWS.encode()), ["gzip", "gunzip"]),
        ("x.parquet", gzip.compress(ROWS.encode()), ["gzip"]),
        ("x.xlsx", b"PK\x03\x04", ["spreadsheet", "CSV"]),
        ("x.csv", b"PAR1", ["is Parquet, not csv"]),
        ("x.csv", ROWS.encode("latin1") + b"caf\xe9,1\n", ["line 62", "not UTF-8", "latin1"]),
        ("x.csv", b"", ["no rows"]),
        ("x.csv", b"text,label\n", ["no rows"]),
        ("x.csv", b'text,label\n"a,1\nb,0\n', ["line 3", "quotes"]),
        ("x.csv", b"text,label, text\na,1,b\n", ["line 1", "'text' stands twice"]),
        ("x.csv", b"txet,label\na,1\n", ["'text'", "did you mean 'txet'?"]),
        ("x.parquet", b"PAR1 and no more", ["not a Parquet file"]),
        ("x.jsonl", b"[" * 100_000, ["line 1", "nested too deeply"]),
        ("x.jsonl", b'{"text": "a", "label": ' + b"1" * 5000 + b"}", ["line 1", "digits"]),
        ("x.jsonl", b'{"text": "a", "label": 1}\n{"text": "\\ud800", "label": 0}', ["line 2", r"\ud800", "half a character"]),
        ("x.jsonl", b'{"text": "a", "label": "\\udfff"}', ["line 1", r"\udfff"]),
        ("x.jsonl", b'{"text": "a"\n', ["line 1", "not JSON"]),
        ("x.jsonl", b"3\n", ["line 1", "one JSON object a line"]),
        ("x.txt", b"a", ["unknown ending '.txt'", "conll, csv, jsonl, parquet, tsv"]),
    ],
)
def test_what_is_wrong_with_a_file_is_named(tmp_path, name, content, parts):
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name, *parts)


def test_a_path_that_cannot_be_a_file_is_told(tmp_path):
    refused(tmp_path, "is not a file")
    refused(tmp_path / ("x" * 300 + ".csv"), "cannot be read")
    refused(tmp_path / "x.csv", "no such file")


@pytest.mark.parametrize("number", [20_000, 1_000_000])
def test_a_header_of_very_many_columns_is_refused_at_once(tmp_path, number):
    path = tmp_path / "wide.csv"
    path.write_text("text,label," + ",".join(f"c{i}" for i in range(number)) + "\n", encoding="utf-8")
    started = time.process_time()
    refused(path, "line 1", f"{number + 2:,} columns", "10,000")
    assert time.process_time() - started < 2


def test_parquet_of_very_many_equal_rows_is_refused_at_once(tmp_path):
    rows = 20_000_000
    column = pa.array([1], pa.int8()).dictionary_encode()
    same = pa.DictionaryArray.from_arrays(pa.array(memoryview(bytes(rows)).cast("b"), pa.int8()), column.dictionary)
    pq.write_table(pa.table({"text": same, "label": same}), tmp_path / "x.parquet")
    assert (tmp_path / "x.parquet").stat().st_size < 400_000
    started = time.process_time()
    refused(tmp_path / "x.parquet", "20,000,000 rows", "1,000,000")
    assert time.process_time() - started < 2


def test_only_the_columns_that_a_task_needs_are_read_from_parquet(tmp_path):
    path = tmp_path / "x.parquet"
    columns = {"text": [f"text {i}" for i in range(60)], "label": [i % 2 for i in range(60)], "other": list(range(60))}
    pq.write_table(pa.table(columns), path)
    start = pq.read_metadata(path).row_group(0).column(2).dictionary_page_offset
    path.write_bytes(path.read_bytes()[:start] + b"\xff" * 20 + path.read_bytes()[start + 20 :])
    assert read(path).kind is Kind.BINARY
    refused(path, "not a Parquet file that can be read", label="other")
    refused(path, "no column 'lable'", "did you mean 'label'?", label="lable")


def test_a_text_of_parquet_that_is_not_utf8_is_told_by_row_and_column(tmp_path):
    texts = pa.array([b"a", b"\xff"] * 30).cast(pa.binary()).view(pa.string())
    pq.write_table(pa.table({"text": texts, "label": [i % 2 for i in range(60)]}), tmp_path / "x.parquet")
    refused(tmp_path / "x.parquet", "line 2", "'text'", "not UTF-8")


def test_a_parquet_column_that_stands_twice_is_named(tmp_path):
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array([1]), pa.array([0])], names=["text", "label", "label"])
    pq.write_table(table, tmp_path / "x.parquet")
    refused(tmp_path / "x.parquet", "'label' stands twice")


def test_damaged_parquet_is_one_error_wherever_the_damage_is(tmp_path):
    pq.write_table(
        pa.table({"text": [f"text {i}" for i in range(60)], "label": [i % 2 for i in range(60)]}), tmp_path / "x.parquet"
    )
    whole = (tmp_path / "x.parquet").read_bytes()
    draw = random.Random(0)
    errors = 0
    for number in range(150):
        damaged = bytearray(whole[: draw.randrange(8, len(whole))] if draw.random() < 0.3 else whole)
        for _ in range(draw.choice([1, 4, 20])):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        path = tmp_path / f"{number}.parquet"
        path.write_bytes(damaged)
        try:
            read(path)
        except InputError:
            errors += 1
    assert errors > 100


@pytest.mark.parametrize(("letters", "ending"), [(131_073, "csv"), (500_000, "tsv"), (500_000, "jsonl")])
def test_long_texts_are_read_whole(tmp_path, letters, ending):
    long = "word " * (letters // 5 + 1)
    path = tmp_path / f"x.{ending}"
    if ending == "jsonl":
        jsonl(path, [{"text": f"{i} {long}", "label": i % 2} for i in range(20)])
    else:
        between = {"csv": ",", "tsv": "\t"}[ending]
        path.write_text(f"text{between}label\n" + "".join(f"{i} {long}{between}{i % 2}\n" for i in range(20)), encoding="utf-8")
    assert max(len(text) for text in read(path).splits["train"].texts) > letters


def test_blanks_around_the_names_of_columns_do_not_count(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(
        ROWS.replace("text,label", "\ufeff text , label,,").replace("\n", ",,\n").replace(",,,,", ",,"), encoding="utf-8"
    )
    assert read(path).kind is Kind.BINARY


def test_blank_lines_before_the_header_are_passed_over_and_counted(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("\n\n" + ROWS + "\nonly one value\n", encoding="utf-8")
    refused(path, "line 65", "1 values for 2 columns")


@pytest.mark.parametrize(
    ("row", "parts"),
    [
        ({"text": {"a": 1}, "label": 1}, ["line 2", "'text'", "dict"]),
        ({"text": ["a", "b"], "label": 1}, ["line 2", "'text'", "list"]),
        ({"text": "a", "label": {"x": 1}}, ["line 2", "'label'", "dict"]),
        ({"text": "a", "label": [1]}, ["line 2", "'label'", "list"]),
        ({"text": "a", "label": []}, ["line 2", "'label' is empty"]),
        ({"text": None, "label": 1}, ["line 2", "'text' is empty"]),
        ({"text": "a", "label": None}, ["line 2", "'label' is empty"]),
        ({"text": "a"}, ["line 2", "no column 'label'"]),
    ],
)
def test_objects_and_lists_of_json_are_no_texts_and_no_labels(tmp_path, row, parts):
    rows = [{"text": f"text {i}", "label": i % 2} for i in range(60)]
    refused(jsonl(tmp_path / "x.jsonl", [rows[0], row, *rows[1:]]), *parts)


@pytest.mark.parametrize(
    ("column", "name"),
    [
        (pa.array([b"a", b"b"]), "bytes"),
        (pa.array([["a"], ["b"]]), "list"),
        (pa.array([{"x": 1}, {"x": 2}]), "dict"),
    ],
)
def test_bytes_and_structs_of_parquet_are_no_texts_and_no_labels_and_lists_are_no_texts(tmp_path, column, name):
    sides = [("text", "label"), ("label", "text")] if name != "list" else [("text", "label")]  # labels may be several
    for one, other in sides:
        pq.write_table(pa.table({one: column, other: ["a", "b"]}), tmp_path / f"{one}.parquet")
        refused(tmp_path / f"{one}.parquet", "line 1", repr(one), name)


SENTENCE = {"tokens": ["Jim", "ran"], "tags": ["B-PER", "O"]}


@pytest.mark.parametrize(
    ("row", "parts"),
    [
        ({"tokens": [], "tags": []}, ["line 2", "'tokens' is empty"]),
        ({"tokens": ["Jim", ""], "tags": ["B-PER", "O"]}, ["line 2", "'tokens'", "token 2", "''"]),
        ({"tokens": ["Jim", None], "tags": ["B-PER", "O"]}, ["line 2", "token 2", "None"]),
        ({"tokens": ["Jim", 3], "tags": ["B-PER", "O"]}, ["line 2", "token 2", "3"]),
        ({"tokens": 7, "tags": ["O"]}, ["line 2", "'tokens'", "7", "not a list"]),
        ({"tokens": "Jim", "tags": "O"}, ["line 2", "'tokens'", "not a list"]),
        ({"tokens": ["Jim"], "tags": ["O", "O"]}, ["line 2", "1 tokens, 2 tags"]),
        ({"tokens": ["Jim"], "tags": [0]}, ["line 2", "'tags'", "tag 0", "names, not their numbers"]),
        ({"tokens": ["Jim"], "tags": ["PER"]}, ["line 2", "token 1", "'PER'", "B-TYPE"]),
    ],
)
def test_what_is_no_sentence_with_tags_is_told_by_row_column_and_token(tmp_path, row, parts):
    path = jsonl(tmp_path / "x.jsonl", [SENTENCE, row, SENTENCE])
    refused(path, *parts, text="tokens", label="tags", kind="sequence")


def test_lists_of_tokens_and_tags_are_read_as_sequences_whatever_their_columns_are_called(tmp_path):
    rows = [{"words": [f"Jim{i}", "ran"], "gold": ["B-PER", "O"], "tokens": 12} for i in range(40)]
    task = read(jsonl(tmp_path / "x.jsonl", rows), text="words", label="gold")
    assert (task.kind, task.label_names) == (Kind.SEQUENCE, ("O", "B-PER", "I-PER"))


def test_class_numbers_of_hub_tags_become_their_names(tmp_path):
    datasets = pytest.importorskip("datasets")
    from transfercast.tasks.readers.hub import _decoder

    names = datasets.ClassLabel(names=["O", "B-PER"])
    assert _decoder(datasets.Sequence(names))([1, 0]) == ["B-PER", "O"]
    assert _decoder(names)(1) == "B-PER"
    assert _decoder(names)(-1) is None
    assert _decoder(datasets.Value("int64"))(1) == 1


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"kind": "multilabel", "labels": ["a"], "label": "a"}, ["'multilabel' does not fit CoNLL"]),
        ({"kind": "binary"}, ["'binary' does not fit CoNLL"]),
        ({"label": "-"}, ["'-'", "number of the tag's column"]),
        ({"label": "\u00b2"}, ["number of the tag's column"]),
        ({"label": "tag"}, ["'tag'", "number of the tag's column"]),
        ({"label": "5"}, ["line 1", "no column 5", "each token has 2"]),
        ({"positive": "PER"}, ["positive = 'PER' does not fit sequences"]),
    ],
)
def test_options_that_do_not_fit_conll_are_told(tmp_path, options, parts):
    path = tmp_path / "x.conll"
    path.write_text("".join(f"Jim{i}\tB-PER\nran\tO\n\n" for i in range(30)), encoding="utf-8")
    refused(path, *parts, **options)


def test_a_text_split_beside_a_split_of_sentences_is_told(tmp_path):
    path = tmp_path / "x.conll"
    path.write_text("".join(f"Jim{i}\tB-PER\nran\tO\n\n" for i in range(30)), encoding="utf-8")
    with pytest.raises(InputError, match=r"test\.csv: test has texts, another split has sentences"):
        read(path, test=write_csv(tmp_path / "test.csv", [("a", 1), ("b", 0)]))


def test_all_texts_empty_is_told_though_empty_texts_are_dropped(tmp_path):
    path = write_csv(tmp_path / "x.csv", [("", 1), (" ", 0)])
    refused(path, "every text is empty", "'text'", drop=("empty_text",))


def test_a_pair_with_an_empty_second_text_is_dropped_as_well(tmp_path):
    rows = [(f"p {i}", f"q {i}", i % 2) for i in range(60)]
    path = write_csv(tmp_path / "x.csv", [*rows, ("p", "", 1)], "text,other,label")
    refused(path, "line 62", "'other' is empty", "drop = ['empty_text']", text_pair="other")
    assert "left out: 1 without text" in read(path, text_pair="other", drop=("empty_text",)).about


def test_training_rows_may_be_named_as_train_too(tmp_path):
    path = write_csv(tmp_path / "x.csv", [("a", 1), ("b", 0)])
    other = write_csv(tmp_path / "y.csv", [("c", 1), ("d", 0)])
    task = read(path, train=path, validation=other, test=other)
    assert task.splits["train"].texts == ("a", "b")
    refused(path, "leave train", train=other)
    refused(path, "'postive' is not known; did you mean 'positive'?", postive="1")


def test_a_file_name_that_is_no_task_name_makes_one(tmp_path):
    assert read(write_csv(tmp_path / "my films (1).csv", [(f"text {i}", i % 2) for i in range(20)])).name == "my-films-1"


def test_fewer_texts_than_splits_are_told_though_there_are_many_rows(tmp_path):
    path = write_csv(tmp_path / "x.csv", [("a", 1), ("b", 0)] * 20)
    refused(path, "no positive row in validation of task 'x'", "add rows with other texts")


def test_rank_says_how_a_file_was_understood_and_reads_an_unknown_ending_by_its_format(tmp_path, tiny_encoder):
    rows = "".join(f"Jim{i}\tB-PER\nran\tO\n\n" for i in range(30))
    (tmp_path / "names.conll.txt").write_text(rows, encoding="utf-8")
    run = CliRunner().invoke(app, ["rank", str(tmp_path / "names.conll.txt"), str(tiny_encoder)])
    assert run.exit_code == 2
    assert "unknown ending '.txt'. Say which format it is: conll" in run.stderr
    run = CliRunner().invoke(app, ["rank", str(tmp_path / "names.conll.txt"), str(tiny_encoder), "--format", "conll"])
    assert "names.conll: sequence (by its labels), judged by span_f1; 1 types: 'PER';" in run.stdout


def test_rank_warns_of_leaks_and_takes_kind_and_positive(tmp_path, tiny_encoder):
    path = write_csv(tmp_path / "films.csv", [*((f"text {i}", "ab"[i % 2]) for i in range(60)), ("text 0", "b")])
    run = CliRunner().invoke(app, ["rank", str(path), str(tiny_encoder), "--positive", "a"])
    assert "positive is 'a', as stated" in run.stdout
    assert "warning: films: 1 text has different labels" in run.stderr
    run = CliRunner().invoke(app, ["rank", str(path), str(tiny_encoder), "--kind", "multiclass"])
    assert "films: multiclass (as stated), judged by accuracy; 2 classes: 'a', 'b'" in run.stdout
