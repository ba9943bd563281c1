"""A feature table comes back as it was written, or one error says why not."""

from __future__ import annotations

import contextlib
import json
import math
import random
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from transfercast.core.errors import ArtifactError, ShapeError
from transfercast.core.plan import Plan
from transfercast.core.records import Recipe
from transfercast.core.table import INDEX, Column, FeatureTable, TargetFacts

RECIPE = Recipe().key
FACTS = {"fingerprint": "f", "metric": "positive_f1", "train_rows": 10}


def a_table(rows=(("a", "x"), ("b", "x"), ("a", "y")), names=("logme", "ss")):
    index = pd.MultiIndex.from_tuples([(source, target, RECIPE) for source, target in rows], names=INDEX)
    schema = tuple(Column(name=name, measure=name, version=1, better="higher", group="embeddings") for name in names)
    return FeatureTable(pd.DataFrame(np.zeros((len(rows), len(names))), index=index, columns=list(names)), schema)


@pytest.fixture
def path(tmp_path):
    a_table().save(tmp_path / "features.parquet")
    return tmp_path / "features.parquet"


def refused(path, *parts):
    with pytest.raises(ArtifactError) as caught:
        FeatureTable.load(path)
    message = str(caught.value)
    assert "\n" not in message
    for part in (str(path), *parts):
        assert part in message


def rewritten(path, about=lambda content: content, columns=lambda frame: frame):
    """The file with its description and its columns changed."""
    there = pq.read_table(path)
    content = about(json.loads(there.schema.metadata[b"transfercast"]))
    frame = columns(there.to_pandas())
    table = frame if isinstance(frame, pa.Table) else pa.Table.from_pandas(frame, preserve_index=False)
    pq.write_table(table.replace_schema_metadata({b"transfercast": json.dumps(content).encode()}), path)
    return path


def test_a_damaged_file_is_one_error_wherever_the_damage_is(path):
    whole = path.read_bytes()
    draw = random.Random(0)
    for _ in range(150):
        damaged = bytearray(whole[: draw.randrange(len(whole))] if draw.random() < 0.3 else whole)
        for _ in range(draw.choice([1, 4, 20])):
            if damaged:
                damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        path.write_bytes(damaged)
        with contextlib.suppress(ArtifactError):  # damage to a feature's value cannot be seen
            FeatureTable.load(path)


def test_a_file_without_our_description_is_told(path):
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)
    refused(path, "does not say what its columns mean", "transfercast features")


@pytest.mark.parametrize(
    ("about", "parts"),
    [
        (lambda content: [content], ["no format number"]),
        (lambda content: content | {"format": "1"}, ["no format number"]),
        (lambda content: content | {"format": 0}, ["no format number"]),
        (lambda content: content | {"provenance": {"seed": -1}}, ["provenance.seed"]),
        (lambda content: content | {"format": 99}, ["format 99", "Upgrade"]),
        (lambda content: {key: content[key] for key in ("format", "schema")}, ["provenance"]),
        (lambda content: {key: content[key] for key in ("format", "provenance")}, ["schema"]),
        (lambda content: content | {"schema": 3}, ["schema"]),
        (lambda content: content | {"schema": [1, 2]}, ["schema.0"]),
        (lambda content: content | {"provenance": "mine"}, ["provenance"]),
        (lambda content: content | {"schema": [*content["schema"], content["schema"][0]]}, ["'logme'", "twice"]),
        (lambda content: content | {"schema": [content["schema"][0] | {"name": "nce"}]}, ["'nce'", "not there"]),
        (lambda content: content | {"provenance": {"targets": {"x": FACTS | {"metric": "rouge"}}}}, ["'rouge'", "accuracy"]),
        (lambda content: content | {"provenance": {"targets": {"x": FACTS | {"score": 7}}}}, ["score 7", "[0, 1]"]),
        (lambda content: content | {"provenance": {"targets": {"x": FACTS | {"seconds_per_row_epoch": -1}}}}, ["seconds"]),
    ],
)
def test_a_wrong_description_is_told_by_its_field(path, about, parts):
    refused(rewritten(path, about), *parts)


@pytest.mark.parametrize(
    ("columns", "parts"),
    [
        (lambda frame: frame.drop(columns="source"), ["'source'", "not there"]),
        (lambda frame: frame.assign(logme="much"), ["'logme'", "string", "not numbers"]),
        (lambda frame: frame.assign(ss=[[1.0]] * len(frame)), ["'ss'", "list", "not numbers"]),
        (lambda frame: frame.assign(source=[1, 2, 3]), ["row 1", "'source'", "1 is not a text"]),
        (lambda frame: frame.assign(target=["x", None, "x"]), ["row 2", "'target'"]),
        (lambda frame: frame.assign(target=["x", "x", "../x"]), ["row 3", "'target'", "'../x'"]),
        (lambda frame: frame.assign(recipe="zzz"), ["row 1", "'recipe'", "'zzz'", "Write it as in"]),
        (lambda frame: frame.assign(source="a", target="x"), ["twice", "'a', 'x'"]),
        (lambda frame: frame.head(0), ["no candidate"]),
        (lambda frame: pa.Table.from_arrays([pa.array([1])] * 2, names=["source", "source"]), ["'source'", "twice"]),
        (lambda frame: pa.table({}), ["not there"]),
    ],
)
def test_wrong_rows_are_told_by_row_and_column(path, columns, parts):
    refused(rewritten(path, columns=columns), *parts)


def test_a_candidate_that_is_twice_among_ten_thousand_is_told_at_once():
    rows = [(f"s{number % 100}", f"t{number // 100}") for number in range(9_999)]
    started = time.perf_counter()
    a_table(rows)
    without = time.perf_counter()
    with pytest.raises(ShapeError, match=r"'s7', 't42'.* twice"):
        a_table([*rows, ("s7", "t42")])
    assert time.perf_counter() - without < 3 * (without - started) + 1.0  # 10 s, when each was compared with each


@pytest.mark.parametrize(
    "wrong",
    [
        {"metric": "rouge"},
        {"score": -0.1},
        {"score": math.inf},
        {"score": math.nan},
        {"train_rows": 0},
        {"seconds_per_row_epoch": math.inf},
    ],
)
def test_facts_of_a_target_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValidationError):
        TargetFacts(**FACTS | wrong)


def test_a_table_and_a_plan_of_the_formats_before_encoders_had_rows_of_their_own_have_one_encoder():
    artifacts = Path(__file__).parents[1] / "artifacts"
    table = FeatureTable.load(artifacts / "features-1.parquet")
    assert table.encoders == ["offline", "offline"]
    assert table.provenance.targets["storm"].with_encoder("offline").score == 0.5
    assert table.frame["logme"].tolist() == [0.1, 0.3]
    plan = Plan.load(artifacts / "plan-2.json")
    assert [plan.encoder_of(step) for step in plan.steps] == ["offline"] * 3
    assert [row["source"] for row in plan.rows()] == ["(alone)", "help", "good"]
