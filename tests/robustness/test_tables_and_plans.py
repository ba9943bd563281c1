"""Feature tables and plans that were cut, edited by hand, or come from another version."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.robustness.campaign import DAMAGED, REFUSED, Case, check
from tests.robustness.damage import (
    DIGITS,
    Damage,
    damaged,
    edited,
    emptied,
    first,
    gzipped,
    last,
    made_folder,
    nested,
    noise,
    not_utf8,
    nothing,
    put,
    random_bytes,
    removed,
    steps,
    without,
)

KEY = b"transfercast"
PLAN = "plan features.parquet --trials 2"
TABLE = r"features\.parquet"
EITHER = (0, REFUSED, DAMAGED)


def table(what: str, damage: Damage, code: int | tuple[int, ...] = DAMAGED, says: str = TABLE) -> Case:
    """The good table, its bytes changed."""
    return Case(f"table {what}", damaged("features.parquet", damage), PLAN, code, says, ("plan.json",))


def about(what: str, change: Callable[[Any], object], says: str = TABLE, code: int | tuple[int, ...] = DAMAGED) -> Case:
    """The good table, the JSON in its metadata changed."""

    def prepare(folder: Path) -> None:
        whole = pq.read_table(folder / "features.parquet")
        content = json.loads(whole.schema.metadata[KEY])
        content = change(content) or content
        metadata = {KEY: json.dumps(content).encode() if not isinstance(content, bytes) else content}
        pq.write_table(whole.replace_schema_metadata(metadata), folder / "features.parquet")

    return Case(f"table {what}", prepare, PLAN, code, says, ("plan.json",))


def frame(
    what: str, change: Callable[[pd.DataFrame], pd.DataFrame], says: str = TABLE, code: int = DAMAGED, more: str = ""
) -> Case:
    """The good table, its columns or rows changed."""

    def prepare(folder: Path) -> None:
        whole = pq.read_table(folder / "features.parquet")
        changed = pa.Table.from_pandas(change(whole.to_pandas()), preserve_index=False)
        pq.write_table(changed.replace_schema_metadata(whole.schema.metadata), folder / "features.parquet")

    return Case(f"table {what}", prepare, f"{PLAN} {more}", code, says, ("plan.json",))


def _column_twice(folder: Path) -> None:
    whole = pq.read_table(folder / "features.parquet")
    doubled = whole.append_column("logme", whole.column("logme"))
    pq.write_table(doubled.replace_schema_metadata(whole.schema.metadata), folder / "features.parquet")


def _facts(key: str, value: Any) -> Callable[[Any], None]:
    return put("provenance", "targets", "good", key, value=value)


BYTES = [
    table("as it should be", lambda good: good, 0, "2 trials over all targets"),
    table("of no bytes", emptied),
    table("cut at the end", first(0.5)),
    table("cut in front", last(0.5)),
    *(table(f"with 20 random bytes, {seed}", noise(seed, 20), EITHER, f"{TABLE}|2 trials") for seed in range(6)),
    table("of random bytes", lambda good: random_bytes(1, 3000)),
    table("that is a CSV", lambda good: b"source,target,recipe,logme\na,b,full,1\n"),
    table("compressed", gzipped),
    Case("no table", removed("features.parquet"), PLAN, REFUSED, rf"{TABLE}: no such file"),
    Case(
        "a folder in place of the table",
        steps(removed("features.parquet"), made_folder("features.parquet")),
        PLAN,
        REFUSED,
        TABLE,
    ),
    Case(
        "a Parquet file of somebody else's",
        nothing,
        "plan data.parquet --trials 2",
        DAMAGED,
        r"data\.parquet: not a feature table",
    ),
    Case("a table that is endless", nothing, "plan /dev/zero --trials 2", REFUSED, "/dev/zero"),
    Case("a table that is a process's memory", nothing, "plan /proc/self/mem --trials 2", (REFUSED, DAMAGED), "/proc/self/mem"),
    Case("a column of a table twice", _column_twice, PLAN, DAMAGED, rf"{TABLE}.*logme", ("plan.json",)),
]

METADATA = [
    about("whose metadata are a list", lambda content: [content]),
    about("whose metadata are a number", lambda content: 7),
    about("whose metadata are lists in one another", lambda content: nested(b"")),
    about("whose metadata are no JSON", lambda content: b"{"),
    about("without a format", without("format")),
    about("whose format is a word", put("format", value="one")),
    about("whose format is zero", put("format", value=0)),
    about("whose format is true", put("format", value=True)),
    about("of a newer format", put("format", value=99), rf"{TABLE}.*99.*upgrade"),
    about("without a schema", without("schema")),
    about("whose schema is a number", put("schema", value=3)),
    about("whose schema is numbers", put("schema", value=[1, 2])),
    about("whose schema is null", put("schema", value=None)),
    about("whose schema names an absent column", put("schema", 0, "name", value="gone"), rf"{TABLE}.*gone"),
    about("whose schema names a column twice", lambda content: content["schema"].append(content["schema"][0])),
    about("with an unknown direction", put("schema", 0, "better", value="sideways")),
    about("with an unknown group", put("schema", 0, "group", value="magic")),
    about("with a version of a measure that is a word", put("schema", 0, "version", value="two")),
    about("with a column named like one of a record", put("schema", 0, "name", value="score")),
    about("without provenance", without("provenance")),
    about("whose provenance is a word", put("provenance", value="here")),
    about("with an unknown key", put("provenance", "colour", value="red")),
    about("whose targets are a list", put("provenance", "targets", value=[1])),
    about("with an unknown metric", _facts("metric", "rouge"), rf"{TABLE}.*rouge"),
    about("with a score of 7", _facts("score", 7), rf"{TABLE}.*score.*7"),
    about("with a score that is no number", _facts("score", float("nan")), rf"{TABLE}.*score"),
    about("with an infinite score", _facts("score", float("inf")), rf"{TABLE}.*score"),
    about("with negative seconds", _facts("seconds_per_row_epoch", -1), rf"{TABLE}.*seconds"),
    about("with infinite seconds", _facts("seconds_per_row_epoch", float("inf")), rf"{TABLE}.*seconds"),
    about("with negative rows", _facts("train_rows", -5), rf"{TABLE}.*train_rows"),
    about("without facts of its targets", put("provenance", "targets", value={}), "2 trials", 0),
    about("with a metric that is a list", _facts("metric", ["accuracy"]), TABLE),
]  # fmt: skip

FRAMES = [
    frame("of no rows", lambda rows: rows[:0], code=DAMAGED),
    frame("of no rows, with recipes to search over", lambda rows: rows[:0], code=DAMAGED, more="--epochs 1 --epochs 2"),
    frame("without its source column", lambda rows: rows.drop(columns="source"), rf"{TABLE}.*source"),
    frame("without its recipe column", lambda rows: rows.drop(columns="recipe"), rf"{TABLE}.*recipe"),
    frame("without a measure's column", lambda rows: rows.drop(columns="logme"), rf"{TABLE}.*logme"),
    frame("with words as numbers", lambda rows: rows.assign(logme="high"), rf"{TABLE}.*logme"),
    frame("with numbers as sources", lambda rows: rows.assign(source=range(len(rows))), rf"{TABLE}.*source"),
    frame("with null as source", lambda rows: rows.assign(source=None), rf"{TABLE}.*source"),
    frame("with null as target", lambda rows: rows.assign(target=None), rf"{TABLE}.*target"),
    frame("with a recipe that is none", lambda rows: rows.assign(recipe="zzz"), rf"{TABLE}.*zzz"),
    frame("with a recipe of no epochs", lambda rows: rows.assign(recipe="full/epochs=0"), rf"{TABLE}.*epochs"),
    frame("with a candidate twice", lambda rows: pd.concat([rows, rows[:1]]), rf"{TABLE}.*twice"),
    frame("with an infinite measure", lambda rows: rows.assign(logme=float("inf")), rf"{TABLE}.*logme|2 trials", EITHER),
    frame("with measures that are all missing", lambda rows: rows.assign(logme=float("nan")), "2 trials", 0),
    frame("with a source's name of control codes", lambda rows: rows.assign(source=[f"\x1b[3{i}mx" for i in range(len(rows))]),
          r"\\x1b", EITHER),
    frame("with a name that leads upwards", lambda rows: rows.assign(source=[f"../{i}" for i in range(len(rows))]), r"\.\./",
        EITHER),
    frame("with a source named as the target alone", lambda rows: rows.assign(source="(alone)",
        recipe=[f"full/epochs={i + 1}" for i in
          range(len(rows))]), rf"{TABLE}.*alone", DAMAGED),
    frame("with lists as measures", lambda rows: rows.assign(logme=[[1.0]] * len(rows)), rf"{TABLE}.*logme"),
]  # fmt: skip

SEARCH = "search plan.json"
PLANNED = r"plan\.json"


def plan(what: str, damage: Damage, code: int | tuple[int, ...] = DAMAGED, says: str = PLANNED) -> Case:
    """The good plan, its bytes changed."""
    return Case(f"plan {what}", damaged("plan.json", damage), SEARCH, code, says)


def step(what: str, change: Callable[[Any], object], says: str = PLANNED, code: int | tuple[int, ...] = DAMAGED) -> Case:
    """The good plan on a pool of its own, its content changed."""

    def on_own_pool(folder: Path) -> None:
        edited("plan.json", put("provenance", "pool", value=str(folder / "pool")))(folder)

    return Case(f"plan {what}", steps(on_own_pool, edited("plan.json", change)), SEARCH, code, says, needs=("pool",))


PLANS = [
    plan("of no bytes", emptied),
    plan("cut in the middle", first(0.5)),
    plan("compressed", gzipped),
    plan("that is not UTF-8", not_utf8),
    plan("of lists in one another", nested),
    plan("of objects in one another", lambda good: b'{"a":' * 100_000),
    plan("with a number of 5,000 digits", lambda good: good.replace(b'"candidates": 6', f'"candidates": {DIGITS}'.encode())),
    plan("of random bytes", lambda good: random_bytes(2, 2000)),
    plan("that is a table", lambda good: b"PAR1" + good),
    plan("that is a list", lambda good: b"[" + good + b"]"),
    step("without a format", without("format")),
    step("whose format is a word", put("format", value="1")),
    step("of a newer format", put("format", value=99), f"{PLANNED}.*99.*upgrade"),
    step("without an id", without("id"), f"{PLANNED}.*id"),
    step("whose id leads upwards", put("id", value="../../../x" * 8), f"{PLANNED}.*id"),
    step("whose id is empty", put("id", value=""), f"{PLANNED}.*id"),
    step("without steps", without("steps"), f"{PLANNED}.*steps"),
    step("of no steps", put("steps", value=[]), f"{PLANNED}.*steps"),
    step("whose steps are a number", put("steps", value=7), f"{PLANNED}.*steps"),
    step("with an unknown key", put("colour", value="red"), f"{PLANNED}.*colour"),
    step("with a score that is a word", put("steps", -1, "score", value="high"), f"{PLANNED}.*score"),
    step("with a score that is no number", put("steps", -1, "score", value=float("nan")), f"{PLANNED}.*score"),
    step("with negative hours", put("steps", -1, "hours", value=-1), f"{PLANNED}.*hours"),
    step("with infinite hours", put("steps", -1, "hours", value=float("inf")), f"{PLANNED}.*hours"),
    step("with a position twice", put("steps", 1, "position", value=0), "plan.*(position|numbered)", (DAMAGED, REFUSED)),
    step("with a negative position", put("steps", 0, "position", value=-1), "plan.*(position|numbered)", (DAMAGED, REFUSED)),
    step("with a recipe that is none", put("steps", -1, "recipe", value="zzz"), "zzz", (DAMAGED, REFUSED)),
    step("whose source is not in the pool", put("steps", -1, "source", value="gone"), "'gone'", (DAMAGED, REFUSED)),
    step("whose source leads upwards", put("steps", -1, "source", value="../x"), r"\.\./x", (DAMAGED, REFUSED)),
    step("whose target leads upwards", put("steps", -1, "target", value="../x"), r"\.\./x", (DAMAGED, REFUSED)),
    step("whose target has no facts", put("provenance", "targets", value={}), f"({PLANNED}|target).*", (DAMAGED, REFUSED)),
    step("whose step names control codes", put("steps", -1, "source", value="\x1b[2Jx"), r"\\x1b\[2J", (DAMAGED, REFUSED)),
    step("without the baseline of a target", without("steps", 0), "(baseline|alone|numbered)", (DAMAGED, REFUSED)),
    step("of no pool", put("provenance", "pool", value=None), "pool", (DAMAGED, REFUSED)),
    step("whose pool is gone", put("provenance", "pool", value="/nowhere/pool"), "/nowhere/pool", (DAMAGED, REFUSED)),
    step("whose pool is a file", put("provenance", "pool", value="plan.json"), PLANNED, (DAMAGED, REFUSED)),
    step("whose encoder is gone", put("steps", 0, "encoder", value="nowhere"), "nowhere", (DAMAGED, REFUSED)),
    step("whose seed is negative", put("provenance", "seed", value=-1), "seed", (DAMAGED, REFUSED)),
    step("whose metric is unknown", put("provenance", "targets", "help", "metric", value="rouge"), "rouge", (DAMAGED, REFUSED)),
    step("whose data are gone", put("provenance", "targets", "help", "spec", "train", value="/nowhere.csv"), r"/nowhere\.csv",
         (DAMAGED, REFUSED)),
    step("whose data are others", put("provenance", "targets", "help", "fingerprint", value="0" * 64), "'help' has changed",
         (DAMAGED, REFUSED)),
    step("whose source is another", put("provenance", "sources", value={}), "(source|pool)", (DAMAGED, REFUSED)),
    step("whose task cannot be read", put("provenance", "targets", "help", "spec", value={"kind": 7}), "kind", (DAMAGED,
        REFUSED)),
    step("whose budget is nothing", put("budget", "trials", value=None), f"{PLANNED}.*budget"),
    Case("a folder in place of the plan", steps(removed("plan.json"), made_folder("plan.json")), SEARCH, REFUSED, PLANNED),
]  # fmt: skip

EVERY = [*BYTES, *METADATA, *FRAMES, *PLANS]


@pytest.mark.parametrize("case", EVERY, ids=lambda case: case.id)
def test_a_table_or_a_plan_is_read_rightly_or_refused_in_one_line(case, goods, tmp_path, caplog):
    check(case, goods, tmp_path, lambda: caplog.text)
