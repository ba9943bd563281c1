"""Files of observations to import, databases that are none, and places that cannot be written."""

from __future__ import annotations

import io
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.robustness.campaign import DAMAGED, REFUSED, Case, check
from tests.robustness.damage import (
    Damage,
    damaged,
    emptied,
    first,
    gzipped,
    in_place_of_a_folder,
    last,
    latin1,
    made_folder,
    noise,
    nothing,
    random_bytes,
    utf16,
    windows_lines,
    with_mark,
    wrote,
)

IMPORT = "history import x.csv --history new.db"
MADE = ("new.db",)
EITHER = (0, REFUSED)
BROKEN = (REFUSED, DAMAGED)
HEADER = "source,target,score"


def rows(what: str, text: str | bytes, says: str, code: int | tuple[int, ...] = REFUSED, more: str = "") -> Case:
    """A CSV of observations of this text."""
    return Case(f"import {what}", wrote("x.csv", text), f"{IMPORT} {more}", code, says, MADE)


def row(what: str, header: str, line: str, says: str, code: int | tuple[int, ...] = REFUSED) -> Case:
    """A CSV of one good observation and this one, on line 3."""
    good = ",".join({"source": "a", "target": "b", "score": "0.5"}.get(name, "") for name in header.split(","))
    return rows(what, f"{header}\n{good}\n{line}\n", says, code)


def whole(what: str, damage: Damage, says: str, code: int | tuple[int, ...] = REFUSED) -> Case:
    """A good CSV of observations, its bytes changed."""
    return Case(
        f"import of a CSV {what}", damaged("transfers.csv", damage), IMPORT.replace("x.csv", "transfers.csv"), code, says, MADE
    )


FILES = [
    whole("as it should be", lambda good: good, "new", 0),
    whole("of no bytes", emptied, r"transfers\.csv.*(no column 'source'|empty|no rows)"),
    whole("of a header alone", lambda good: good.split(b"\n")[0] + b"\n", r"transfers\.csv|new", EITHER),
    whole("with a byte order mark", with_mark, "new", 0),
    whole("with the line ends of Windows", windows_lines, "new", 0),
    whole("in UTF-16", utf16, r"transfers\.csv.*UTF-(16|8)"),
    whole("in latin1", lambda good: latin1(good.replace(b"s0,", b"good,", 1)), r"transfers\.csv.*UTF-8"),
    whole("compressed", gzipped, r"transfers\.csv.*(gzip|UTF-8)"),
    whole("cut in a number", lambda good: good[:-30], r"transfers\.csv|new", EITHER),
    whole("with a quote that is never closed", lambda good: good + b'"s9,t9', r"transfers\.csv"),
    whole("of random bytes", lambda good: random_bytes(4, 1000), r"transfers\.csv"),
    whole("with a NUL", lambda good: good.replace(b"s0", b"s\0", 1), r"transfers\.csv|new", EITHER),
    whole("with semicolons", lambda good: good.replace(b",", b";"), r"transfers\.csv.*no column 'source'"),
    Case("import of no file", nothing, IMPORT, REFUSED, r"x\.csv: no such file"),
    Case("import of a folder", made_folder("x.csv"), IMPORT, REFUSED, r"x\.csv"),
    Case("import of a workbook", wrote("x.xlsx", "PK"), "history import x.xlsx --history new.db", REFUSED, r"x\.xlsx"),
    Case("import of a database", nothing, "history import history.db --history new.db", REFUSED, r"history\.db"),
]

COLUMNS = [
    rows("without a source", "target,score\nb,0.5\n", r"x\.csv.*'source'"),
    rows("without a score", "source,target\na,b\n", r"x\.csv.*'score'"),
    rows("with the score twice", f"{HEADER},score\na,b,0.5,0.9\n", r"x\.csv.*'score'.*twice"),
    rows("with a feature twice", f"{HEADER},f,f\na,b,0.5,1,2\n", r"x\.csv.*'f'.*twice"),
    rows("with a column without name", f"{HEADER},\na,b,0.5,1\n", r"x\.csv.*(name|empty)"),
    *(
        rows(f"with a feature named {name}", f"{HEADER},{name}\na,b,0.5,1\n", rf"x\.csv.*'{name}'")
        for name in ("baseline", "features")
    ),
    rows("with a feature's name of 300 letters", f"{HEADER},{'f' * 300}\na,b,0.5,1\n", r"x\.csv.*(fff|name)"),
    rows("with a feature's name of control codes", f"{HEADER},\x1b[2Jf\na,b,0.5,1\n", r"new|\\x1b|control", EITHER),
    rows(
        "of 20,000 columns",
        f"{HEADER},{','.join(f'f{i}' for i in range(20_000))}\na,b,0.5{',1' * 20_000}\n",
        "new|columns|items",
        EITHER,
    ),
    rows(
        "with a description of no column",
        f"{HEADER}\na,b,0.5\n",
        r"gone.*x\.csv|x\.csv.*gone|'gone'",
        more="--column gone:higher:data",
    ),
    rows("with half a description", f"{HEADER},f\na,b,0.5,1\n", "f:up.*NAME:higher:GROUP", more="--column f:up"),
    rows("with an unknown group", f"{HEADER},f\na,b,0.5,1\n", "magic.*groups are", more="--column f:higher:magic"),
    rows("with two descriptions", f"{HEADER},f\na,b,0.5,1\n", "'?f'?", more="--column f:higher:data --column f:lower:data"),
    rows("with a description without name", f"{HEADER},f\na,b,0.5,1\n", "NAME:higher:GROUP", more="--column :higher:data"),
    rows("with a description of a record's column", f"{HEADER}\na,b,0.5\n", "'?score'?", more="--column score:higher:data"),
]

CELLS = [
    row("with a cell too many", HEADER, "a,c,0.5,0.9", r"x\.csv, (row|line) 3"),
    row("with a cell too few", HEADER, "a,c", r"x\.csv, (row|line) 3"),
    row("with no source", HEADER, ",c,0.5", r"x\.csv, (row|line) 3: .*source"),
    row("with a word as score", HEADER, "a,c,high", r"x\.csv, (row|line) 3: .*score.*'high'"),
    row("with a score of 7", HEADER, "a,c,7", r"x\.csv, (row|line) 3: .*score.*7"),
    row("with a score that is no number", HEADER, "a,c,nan", r"x\.csv, (row|line) 3: .*score.*nan"),
    row("with an infinite score", HEADER, "a,c,inf", r"x\.csv, (row|line) 3: .*score.*inf"),
    row("with a decimal comma", HEADER, 'a,c,"0,5"', r"x\.csv, (row|line) 3: .*score.*'0,5'"),
    row("with digits of another script", HEADER, "a,c,\u0660.\u0665", r"x\.csv, (row|line) 3|new", EITHER),
    row("with a score with underscores", HEADER, "a,c,0_1.5", r"x\.csv, (row|line) 3: .*score.*'0_1\.5'"),
    row("with an unknown metric", f"{HEADER},metric", "a,c,0.5,rouge", r"x\.csv, (row|line) 3: .*'rouge'"),
    row("with an unknown split", f"{HEADER},split", "a,c,0.5,dev", r"x\.csv, (row|line) 3: .*'dev'"),
    row("with a seed of 30 digits", f"{HEADER},seed", f"a,c,0.5,{10**30}", r"x\.csv, (row|line) 3: .*seed"),
    row("with a seed of 5,000 digits", f"{HEADER},seed", f"a,c,0.5,{'7' * 5000}", r"x\.csv, (row|line) 3: .*seed"),
    row("with a real seed", f"{HEADER},seed", "a,c,0.5,1.5", r"x\.csv, (row|line) 3: .*seed.*1\.5"),
    row("with a seed written 1.0", f"{HEADER},seed", "a,c,0.5,1.0", "new", 0),
    row("with negative hours", f"{HEADER},hours", "a,c,0.5,-1", r"x\.csv, (row|line) 3: .*hours.*-1"),
    row("with infinite hours", f"{HEADER},hours", "a,c,0.5,inf", r"x\.csv, (row|line) 3: .*hours.*inf"),
    row("with a word as feature", f"{HEADER},f", "a,c,0.5,high", r"x\.csv, (row|line) 3: .*f.*'high'"),
    row("with an infinite feature", f"{HEADER},f", "a,c,0.5,inf", r"x\.csv, (row|line) 3: .*f.*inf"),
    row("with a feature of 1e999", f"{HEADER},f", "a,c,0.5,1e999", r"x\.csv, (row|line) 3: .*f"),
    row("with a name of 300 letters", HEADER, f"{'s' * 300},c,0.5", r"x\.csv, (row|line) 3: .*source"),
    row("with a name of control codes", HEADER, "\x1b[2Ja,c,0.5", r"\\x1b|new", EITHER),
    row("with a cell of 200,000 letters", f"{HEADER},device", f"a,c,0.5,{'x' * 200_000}", r"x\.csv, (row|line) 3"),
    row("with a run key of 300 letters", f"{HEADER},run_key", f"a,c,0.5,{'k' * 300}", r"x\.csv, (row|line) 3: .*run_key"),
    row("with a recipe of 300 letters", f"{HEADER},recipe", f"a,c,0.5,{'r' * 300}", r"x\.csv, (row|line) 3: .*recipe"),
    row("of a run again with another score", HEADER, "a,b,0.6", r"x\.csv, (row|line) 3: .*(row|line) 2.*0\.6.*0\.5"),
    row("of a target from itself", HEADER, "b,b,0.5", r"x\.csv, (row|line) 3|new", EITHER),
    rows("with two runs of one key", f"{HEADER},run_key\na,b,0.5,k\na,c,0.5,k\n", r"x\.csv, (row|line) 3: .*'?k'?"),
    rows("with a wrong row behind blank lines", f"{HEADER}\n\n\na,b,high\n", r"x\.csv, (row|line) 4: .*'high'"),
    rows("with a wrong row behind a cell of two lines", f'{HEADER},device\na,b,0.5,"x\ny"\na,c,high,\n',
        r"x\.csv, (row|line) 4: .*'high'"),
    rows("with a hundred wrong rows", f"{HEADER}\n" + "a,b,high\n" * 100, r"(row|line) 2\b.*(row|line) 11\b.*90 more"),
]  # fmt: skip


def parquet(what: str, columns: dict[str, Any], says: str, code: int | tuple[int, ...] = REFUSED) -> Case:
    """A Parquet file of observations of these columns."""
    file = io.BytesIO()
    pd.DataFrame({"source": ["a", "c"], "target": ["b", "b"], "score": [0.5, 0.5]} | columns).to_parquet(file)
    prepare = wrote("x.parquet", file.getvalue())
    return Case(f"import of Parquet {what}", prepare, "history import x.parquet --history new.db", code, says, MADE)


def parquet_bytes(what: str, damage: Damage, says: str, code: int | tuple[int, ...] = REFUSED) -> Case:
    """A good Parquet file of observations, its bytes changed."""
    command = "history import transfers.parquet --history new.db"
    return Case(f"import of Parquet {what}", damaged("transfers.parquet", damage), command, code, says, MADE)


PARQUET = [
    parquet("with a seed in one row only", {"seed": [1, None]}, "new", 0),
    parquet("with a score missing", {"score": [0.5, None]}, r"x\.parquet, row 2: .*score"),
    parquet("with words as scores", {"score": ["0.5", "high"]}, r"x\.parquet, row 2: .*score.*'high'"),
    parquet("with lists as features", {"f": [[1.0], [2.0]]}, r"x\.parquet, row 1: .*f"),
    parquet("with bytes as names", {"source": [b"a", b"c"]}, r"x\.parquet.*source"),
    parquet("with an infinite feature", {"f": [1.0, float("inf")]}, r"x\.parquet, row 2: .*f.*inf"),
    parquet("with true as a feature", {"f": [True, False]}, "new|x", EITHER),
    parquet_bytes("as it should be", lambda good: good, "new", 0),
    parquet_bytes("of no bytes", emptied, r"transfers\.parquet"),
    parquet_bytes("cut at the end", first(0.5), r"transfers\.parquet"),
    parquet_bytes("cut in front", last(0.5), r"transfers\.parquet"),
    *(parquet_bytes(f"with 20 random bytes, {seed}", noise(seed, 20), r"transfers|new", EITHER) for seed in range(4)),
]


def base(
    what: str, damage: Damage, code: int | tuple[int, ...] = BROKEN, command: str = "history show", says: str = r"history\.db"
) -> Case:
    """A database whose bytes were changed."""
    return Case(f"database {what}", damaged("history.db", damage), f"{command} --history history.db", code, says)


def sql(what: str, *statements: str, command: str = "history show", says: str = r"history\.db", code: Any = BROKEN) -> Case:
    """A database in which somebody changed values by hand."""

    def prepare(folder: Path) -> None:
        with sqlite3.connect(folder / "history.db") as connection:
            for statement in statements:
                connection.execute(statement)
        connection.close()

    return Case(f"database {what}", prepare, f"{command} --history history.db", code, says, needs=("history.db",))


OBSERVED = "UPDATE transfercast_observations SET"
LEARN = "train-meta --out new --minutes 0"

DATABASES = [
    Case("database as it should be", nothing, "history show --history history.db", 0, "t0"),
    base("that is text", lambda good: b"source,target,score\n"),
    base("cut in half", first(0.5)),
    *(base(f"with 400 random bytes, {seed}", noise(seed, 400)) for seed in range(3)),
    base("that is text, to import into", lambda good: b"not a database" * 99, command="history import transfers.csv"),
    base("that is text, to learn from", lambda good: b"not a database" * 99, command=LEARN),
    base("that is text, to search with", lambda good: b"not a database" * 99, command="search plan.json"),
    base("of no bytes, to show", emptied, EITHER, says=""),
    base("of no bytes, to learn from", emptied, EITHER, LEARN, "no (observed transfer|observation)|empty"),
    base("that is text, to serve", lambda good: b"not a database" * 99, command="serve"),
    Case("a folder in place of a database", made_folder("d.db"), "history show --history d.db", REFUSED, r"d\.db"),
    Case("a folder to import into", made_folder("d.db"), "history import transfers.csv --history d.db", REFUSED, r"d\.db"),
    Case("a database under /proc", nothing, "history import transfers.csv --history /proc/nowhere/h.db", REFUSED,
        "/proc/nowhere"),
    Case("a database below a file", wrote("f", "x"), "history import transfers.csv --history f/h.db", REFUSED, "f/h.db"),
    sql("with features that are no JSON", f"{OBSERVED} features = '{{' WHERE id = 3"),
    sql("with features that are a list", f"{OBSERVED} features = '[1]' WHERE id = 3"),
    sql("with features that are words", f"{OBSERVED} features = '{{\"logme\": \"high\"}}' WHERE id = 3"),
    sql("with a score that is a word", f"{OBSERVED} score = 'high' WHERE id = 3"),
    sql("with a score of 7", f"{OBSERVED} score = 7 WHERE id = 3", command=LEARN),
    sql("with an unknown metric", f"{OBSERVED} metric = 'rouge' WHERE id = 3", command=LEARN, says=r"history\.db|'rouge'"),
    sql("with bytes as a source", f"{OBSERVED} source = x'ff' WHERE id = 3"),
    sql("with an unknown group", "UPDATE transfercast_columns SET \"group\" = 'magic'", command=LEARN),
    sql("with an unknown direction", "UPDATE transfercast_columns SET better = 'sideways'", command=LEARN),
    sql("of a newer version", "UPDATE transfercast_alembic_version SET version_num = '9999'", says="9999.*upgrade"),
    sql("without its table", "DROP TABLE transfercast_observations"),
    sql("with names of control codes", f"{OBSERVED} source = char(27) || '[2J' || source", says=r"\\x1b\[2J", code=(0,
        *BROKEN)),
]  # fmt: skip


def export(what: str, prepare: Callable[[Path], object], file: str, says: str, code: int = REFUSED, makes: Any = ()) -> Case:
    """A good history, written to a place."""
    command = f"history export {file} --history history.db"
    return Case(f"export {what}", prepare, command, code, says, makes)


EXPORTS = [
    export("to a CSV", nothing, "out.csv", "36 observations", 0, ("out.csv",)),
    export("to Parquet in capitals", nothing, "OUT.PARQUET", "36 observations", 0, ("OUT.PARQUET",)),
    export("to a workbook", nothing, "out.xlsx", r"out\.xlsx.*\.csv"),
    export("to a folder", made_folder("out.csv"), "out.csv", r"out\.csv"),
    export("to a folder that is not there", nothing, "none/out.csv", "none|36", EITHER, ("none",)),
    export("below a file", in_place_of_a_folder("f"), "f/out.csv", r"f/out\.csv"),
    export("under /proc", nothing, "/proc/nowhere/out.csv", "/proc/nowhere"),
    export("to a full device", nothing, "/dev/full/out.csv", "/dev/full"),
]  # fmt: skip

EVERY = [*FILES, *COLUMNS, *CELLS, *PARQUET, *DATABASES, *EXPORTS]


@pytest.mark.parametrize("case", EVERY, ids=lambda case: case.id)
def test_a_history_is_read_rightly_or_refused_in_one_line(case, goods, tmp_path, caplog):
    check(case, goods, tmp_path, lambda: caplog.text)
