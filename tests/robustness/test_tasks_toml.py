"""A tasks.toml with keys misspelt, values of the wrong type, names that lead elsewhere, and files that do not fit together."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import sentences
from tests.robustness.campaign import REFUSED, Case, check
from tests.robustness.damage import (
    DEEP,
    DIGITS,
    Damage,
    Prepare,
    damaged,
    emptied,
    first,
    gzipped,
    made_folder,
    not_utf8,
    nothing,
    random_bytes,
    removed,
    steps,
    utf16,
    with_mark,
    wrote,
)

READ = "rank tasks.toml encoder --target x"
EITHER = (0, REFUSED)
HERE = r"tasks\.toml"
ENTRY = rf"{HERE}, \[\[task\]\] 1"


def toml(what: str, text: str, says: str, code: int | tuple[int, ...] = REFUSED, more: Prepare = nothing) -> Case:
    """A whole tasks.toml beside a good data.csv."""
    prepare = steps(wrote("tasks.toml", text), more)
    return Case(f"toml {what}", prepare, READ, code, says, needs=("data.csv",))


def entry(what: str, lines: str, says: str, code: int | tuple[int, ...] = REFUSED, more: Prepare = nothing) -> Case:
    """A good entry on data.csv, then these lines."""
    return toml(what, f'[[task]]\nname = "x"\ntrain = "data.csv"\n{lines}\n', says, code, more)


def named(what: str, name: str) -> Case:
    """An entry of a name that is no folder's name."""
    text = f"[[task]]\ntrain = 'data.csv'\nname = {json.dumps(name)}\n"
    return Case(f"toml {what}", wrote("tasks.toml", text), READ, REFUSED, r"name.*letters, digits", needs=("data.csv",))


def family(what: str, damage: Damage, says: str, code: int | tuple[int, ...] = REFUSED) -> Case:
    """The good tasks.toml, its bytes changed."""
    return Case(
        f"toml {what}", damaged("family/tasks.toml", damage), "rank family/tasks.toml encoder --target good", code, says
    )


FILE = [
    family("as it should be", lambda good: good, "of good", 0),
    family("with a byte order mark", with_mark, f"of good|{HERE}", EITHER),
    family("of no bytes", emptied, rf"{HERE}: .*\[\[task\]\]"),
    family("cut in the middle", first(0.6), HERE),
    family("in UTF-16", utf16, rf"{HERE}.*(UTF|TOML)"),
    family("that is not UTF-8", not_utf8, rf"{HERE}.*(UTF-8|TOML)"),
    family("compressed", gzipped, HERE),
    family("of random bytes", lambda good: random_bytes(3, 400), HERE),
    family("of lists in one another", lambda good: b"x = " + b"[" * DEEP, HERE),
    family("with a number of 5,000 digits", lambda good: f"seed = {DIGITS}\n".encode() + good, rf"{HERE}"),
    Case(
        "no tasks.toml",
        removed("family/tasks.toml"),
        "rank family/tasks.toml encoder --target good",
        REFUSED,
        f"{HERE}: no such",
    ),
    Case("a folder in place of tasks.toml", made_folder("tasks.toml"), READ, REFUSED, HERE),
    Case(
        "fit-sources of no tasks.toml", nothing, "fit-sources none.toml --encoder encoder", REFUSED, r"none\.toml: no such file"
    ),
    Case("fit-sources of a CSV", nothing, "fit-sources data.csv --encoder encoder", REFUSED, r"data\.csv.*(TOML|tasks)"),
]

SHAPE = [
    toml("without entries", 'kind = "binary"\n', rf"{HERE}: .*\[\[task\]\]"),
    toml("with [task] in place of [[task]]", "[task]\ntrain = 'data.csv'\n", rf"{HERE}.*\[\[task\]\]"),
    toml("whose task is a number", "task = 3\n", rf"{HERE}.*\[\[task\]\]"),
    toml("whose task is a list of numbers", "task = [1, 2]\n", rf"{HERE}.*\[\[task\]\]"),
    toml("whose task is a list of words", 'task = ["data.csv"]\n', rf"{HERE}.*\[\[task\]\]"),
    toml("whose task is empty", "[[task]]\n", HERE),
    toml("with a misspelt table", "[[tasks]]\ntrain = 'data.csv'\n", rf"{HERE}.*\[\[task\]\]"),
    toml("with a misspelt key at the top", "tranin = 'x.csv'\n[[task]]\nname='x'\ntrain='data.csv'\n", "'tranin'.*'train'"),
    toml(
        "with two tasks of one name", "[[task]]\nname='x'\ntrain='data.csv'\n[[task]]\nname='x'\ntrain='data.csv'\n",
        rf"{HERE}: two tasks.*'x'",
    ),
    toml(
        "with names that differ by case alone", "[[task]]\nname='x'\ntrain='data.csv'\n[[task]]\nname='X'\ntrain='data.csv'\n",
        rf"{HERE}.*'[xX]'",
    ),
    toml("without a name, in a folder that can give none", "[[task]]\ntrain = '/data.csv'\n", r"name|data\.csv"),
]  # fmt: skip

KEYS = [
    entry("with one entry", "", "of x", 0),
    entry("with a misspelt key", 'postive = "1"', rf"{ENTRY}.*'postive'.*'positive'"),
    entry("with an unknown key", "epochs = 3", rf"{ENTRY}.*'epochs'"),
    entry("of an unknown kind", 'kind = "ranking"', rf"{ENTRY}.*kind.*'ranking'"),
    entry("of a kind in capitals", 'kind = "Binary"', rf"{ENTRY}.*kind.*'Binary'"),
    entry("of an unknown format", 'format = "xml"', rf"{ENTRY}.*format.*'xml'"),
    entry("of an unknown role", 'role = "pupil"', rf"{ENTRY}.*role.*'pupil'"),
    entry("of a role that is a number", "role = 3", rf"{ENTRY}.*role"),
    entry("with a number as text column", "text = 3", rf"{ENTRY}.*text.*3"),
    entry("with a list as label", 'label = ["label"]', rf"{ENTRY}.*label"),
    entry("with a number as training file", "validation = 3", rf"{ENTRY}.*validation.*3"),
    entry("with a text column that is not there", 'text = "words"', r"data\.csv, line 2: no column 'words'.*'text'"),
    entry("with a label column that is not there", 'label = "gold"', r"data\.csv, line 2: no column 'gold'.*'label'"),
    entry("with a second text column that is not there", 'text_pair = "b"', r"data\.csv, line 2: no column 'b'.*'text'"),
    entry("with rows of zero", "rows = { train = 0 }", rf"{ENTRY}.*train.*0"),
    entry("with rows of a word", 'rows = { train = "all" }', rf"{ENTRY}.*train.*'all'"),
    entry("with rows of an unknown split", "rows = { dev = 3 }", rf"{ENTRY}.*dev"),
    entry("with rows that are a number", "rows = 300", rf"{ENTRY}.*rows.*300"),
    entry("with target_rows that are a number", "target_rows = 300", rf"{ENTRY}.*target_rows.*300"),
    entry("with target_rows that are a word", 'target_rows = "all"', rf"{ENTRY}.*target_rows.*'all'"),
    entry("with target_rows that are a list", "target_rows = [1]", rf"{ENTRY}.*target_rows"),
    entry("with negative target_rows", "target_rows = { train = -1 }", rf"{ENTRY}.*target_rows.*train.*-1"),
    entry("with a negative seed", "seed = -1", rf"{ENTRY}.*seed.*-1"),
    entry("with a huge seed", f"seed = {2**63 - 1}", "of x|seed", EITHER),
    entry("with a seed in quotes", 'seed = "one"', rf"{ENTRY}.*seed.*'one'"),
    entry("with a real seed", "seed = 1.5", rf"{ENTRY}.*seed.*1\.5"),
    entry("with a share of positives of 2", "positive_share = 2", rf"{ENTRY}.*positive_share.*2"),
    entry("with a share of positives that is no number", "positive_share = nan", rf"{ENTRY}.*positive_share.*nan"),
    entry("with an unknown thing to drop", 'drop = ["duplicates"]', rf"{ENTRY}.*drop.*'duplicates'"),
    entry("with a word in place of a list to drop", 'drop = "rare_labels"', rf"{ENTRY}.*drop"),
    entry("with a positive label that does not occur", 'positive = "yes"', r"data\.csv.*('yes'|positive)"),
    entry("with a positive label of a regression", 'kind = "regression"\npositive = "1"', rf"{ENTRY}.*positive"),
    entry("with labels of no columns", 'labels = ["label"]', rf"{ENTRY}.*labels.*multilabel"),
    entry("of several labels that are not named", 'kind = "multilabel"', r"data\.csv, line 2: .*not a list of labels"),
    entry("of labels whose columns are not there", 'kind = "multilabel"\nlabels = ["a"]', r"data\.csv, line 2: no column 'a'"),
    entry("of a label that is not among the labels", 'kind = "multilabel"\nlabels = ["label"]\nlabel = "b"', "'b'"),
    entry("of a format that the file has not", 'format = "parquet"', r"data\.csv.*Parquet"),
    entry("as a sequence that it is not", 'kind = "sequence"', r"data\.csv.*(line 2|tokens|tag)"),
    entry("of the hub without a name", 'format = "hub"', rf"{ENTRY}.*hub"),
]  # fmt: skip

NAMES = [
    named("with a name that leads upwards", "../x"),
    named("with a name that is a path", "a/b"),
    named("with a name that is an absolute path", "/tmp/x"),
    named("with a name of two dots", ".."),
    named("with a hidden name", ".x"),
    named("with a name in brackets", "(alone)"),
    named("with a name of 200 letters", "x" * 200),
    named("with a name with a blank", "a b"),
    named("with a name of control codes", "\x1b[31mx"),
    named("with a name of a line end", "x\ny"),
    named("with a name that turns the line around", "x\u202egnp"),
]


def texts(what: str, rows: str, lines: str, says: str, code: int | tuple[int, ...] = REFUSED) -> Case:
    """A good entry on a CSV of these rows."""
    return entry(what, lines, says, code, wrote("data.csv", rows))


def _rows(labels: list[object]) -> str:
    pairs = zip(sentences(len(labels), "good", seed=1), labels, strict=True)
    return "text,label\n" + "".join(f"{text},{label}\n" for (text, _), label in pairs)


CONTENTS = [
    texts("of texts that are all empty, and dropped", "text,label\n" + ",1\n,0\n" * 20, 'drop = ["empty_text"]', r"data\.csv"),
    texts("of a binary task with a 2", _rows([*[0, 1] * 20, 2]), 'kind = "binary"', r"data\.csv, line 42: label '2'"),
    texts("of a regression with a word", _rows([*[0.5, 1.5] * 20, "high"]), 'kind = "regression"', "line 42: label 'high'"),
    texts("of a regression with an infinity", _rows([*[0.5] * 40, "inf"]), 'kind = "regression"', "line 42: label 'inf'"),
    texts("of classes of which one is rare", _rows([*["a", "b"] * 20, "c"]), 'kind = "multiclass"', r"line 42: label 'c'"),
    toml(
        "of labels that are not 0 or 1", "[[task]]\ntrain = 'data.csv'\nkind = 'multilabel'\nlabels = ['a', 'b']\n",
        "line 42: .*'a' is 'maybe'", more=wrote("data.csv", "text,a,b\n" + "we,0,1\nthey,1,0\n" * 20 + "it is,maybe,0\n"),
    ),
    entry("whose test is its training", 'test = "data.csv"', "test.*train|train.*test", 0),
    entry("whose validation is its training", 'validation = "data.csv"', "validation.*train|train.*validation", 0),
    texts("of a text with different labels", _rows([0, 1] * 20) + "we need,0\nwe need,1\n", "", "different labels", 0),
]  # fmt: skip


def place(what: str, train: str, says: str, more: Prepare = nothing) -> Case:
    """An entry whose training file is that."""
    return toml(what, f"[[task]]\nname = 'x'\ntrain = {json.dumps(train)}\n", says, REFUSED, more)


PLACES = [
    place("whose file is not there", "gone.csv", r"gone\.csv: no such file.*tasks\.toml"),
    place("whose file is a folder", "folder.csv", r"folder\.csv", made_folder("folder.csv")),
    place("whose file has a NUL in its name", "a\0b.csv", r"a\\x00b|null|name"),
    place("whose file has a name of 5,000 letters", "x" * 5000 + ".csv", "xxx"),
    place("whose file is the memory of a process", "/proc/self/mem", r"/proc/(self|\d+)/mem"),
    place("whose file has control codes in its name", "\x1b[2J.csv", r"\\x1b\[2J\.csv"),
    place("whose file is nothing", "", "train|file"),
]


def spans(what: str, row: dict[str, Any], says: str) -> Case:
    """Sentences in JSON lines, the last one wrong."""
    good = [{"tokens": ["we", "need", "water"], "tags": ["O", "B-X", "I-X"]}] * 40
    content = "".join(json.dumps(one) + "\n" for one in [*good, row])
    text = "[[task]]\nname = 'x'\ntrain = 'tags.jsonl'\nkind = 'sequence'\ntext = 'tokens'\nlabel = 'tags'\n"
    return toml(f"of sentences {what}", text, says, REFUSED, wrote("tags.jsonl", content))


SENTENCES = [
    spans("with a tag too few", {"tokens": ["we", "need"], "tags": ["O"]}, r"tags\.jsonl, line 41\b.*2 tokens, 1 tags?"),
    spans("with numbers as tags", {"tokens": ["we", "need"], "tags": [0, 1]}, r"tags\.jsonl, line 41\b.*tag"),
    spans("with a number as tokens", {"tokens": 5, "tags": ["O"]}, r"tags\.jsonl, line 41\b.*'?tokens'?"),
    spans("with a word as tokens", {"tokens": "we", "tags": ["O", "O"]}, r"tags\.jsonl, line 41\b.*'?tokens'?"),
    spans("with null among the tokens", {"tokens": ["we", None], "tags": ["O", "O"]}, r"tags\.jsonl, line 41\b.*token"),
    spans("with an empty token", {"tokens": ["we", ""], "tags": ["O", "O"]}, r"tags\.jsonl, line 41\b.*(token|empty)"),
    spans("with lists as tokens", {"tokens": [["we"], ["x"]], "tags": ["O", "O"]}, r"tags\.jsonl, line 41\b.*token"),
    spans("without tokens", {"tokens": [], "tags": []}, r"tags\.jsonl, line 41\b.*(token|empty)"),
    spans("with null as tags", {"tokens": ["we"], "tags": None}, r"tags\.jsonl, line 41\b.*'?tags'?"),
    spans("with an unknown prefix", {"tokens": ["we"], "tags": ["S-X"]}, r"tags\.jsonl, line 41\b.*'S-X'"),
    spans("without their tags", {"tokens": ["we"]}, r"tags\.jsonl, line 41\b.*'tags'"),
]

EVERY = [*FILE, *SHAPE, *KEYS, *NAMES, *CONTENTS, *PLACES, *SENTENCES]


@pytest.mark.parametrize("case", EVERY, ids=lambda case: case.id)
def test_a_family_is_read_rightly_or_refused_in_one_line(case, goods, tmp_path, caplog):
    check(case, goods, tmp_path, lambda: caplog.text)
