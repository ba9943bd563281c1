"""CSV, TSV and CoNLL files that are cut, mangled, misencoded, mislabelled, or no files at all."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.conftest import sentences
from tests.robustness.campaign import REFUSED, Case, check
from tests.robustness.damage import (
    Damage,
    damaged,
    emptied,
    first,
    gzipped,
    latin1,
    linked,
    made_folder,
    noise,
    nothing,
    piped,
    random_bytes,
    removed,
    replaced,
    steps,
    utf16,
    windows_lines,
    with_mark,
    wrote,
)

RANK = "rank data.csv encoder"
TEXTS = [text for text, _ in sentences(40, "good", seed=1)]
EITHER = (0, REFUSED)


def csv_of(labels: Iterable[object]) -> str:
    """Forty texts with these labels, again and again."""
    named = [str(label) for label in labels]
    return "text,label\n" + "".join(f"{text},{named[i % len(named)]}\n" for i, text in enumerate(TEXTS))


def bad(what: str, damage: Damage, says: str, code: int | tuple[int, ...] = REFUSED) -> Case:
    """The good CSV, its bytes changed."""
    return Case(f"csv {what}", damaged("data.csv", damage), RANK, code, says)


def labelled(what: str, labels: Iterable[object], says: str, code: int | tuple[int, ...] = REFUSED) -> Case:
    """A good CSV but for its labels."""
    return Case(f"labels {what}", wrote("data.csv", csv_of(labels)), RANK, code, says)


def _workbook(folder: Path) -> None:
    with zipfile.ZipFile(folder / "data.csv", "w") as book:
        book.writestr("xl/workbook.xml", "<workbook/>")


BYTES = [
    bad("as it should be", lambda good: good, r"logme on 3\d rows of data", 0),
    bad("of no bytes", emptied, r"data\.csv: (no rows|.*empty)"),
    bad("of a header alone", first(0.005), r"data\.csv.*(no rows|no column|empty)"),
    bad("of blank lines", lambda good: b"\n\n\n", r"data\.csv.*(no rows|no column|empty)"),
    bad("cut inside a quoted text", lambda good: good + b'"we need', r"data\.csv, line 42.*quote"),
    bad("with a quote in the middle", replaced("\n", '\n"we" need,1\n'), r"data\.csv, line 2.*quote"),
    bad("in UTF-16", utf16, r"data\.csv.*UTF-16"),
    bad("in UTF-16 without a mark", lambda good: good.decode().encode("utf-16-le"), r"data\.csv.*(UTF-16|NUL|no column)"),
    bad("in UTF-32", lambda good: good.decode().encode("utf-32"), r"data\.csv.*(UTF-32|UTF-16|UTF-8)"),
    bad("compressed", gzipped, r"data\.csv.*gzip"),
    bad("in latin1", latin1, r"data\.csv, line \d+: .*UTF-8.*latin1"),
    bad("cut inside a letter", lambda good: good + "we é".encode()[:-1], r"data\.csv, line 42.*UTF-8"),
    bad("with a byte order mark", with_mark, r"logme on 3\d rows of data", 0),
    bad("with the line ends of Windows", windows_lines, r"logme on 3\d rows of data", 0),
    bad("with the line ends of old Macs", lambda good: good.replace(b"\n", b"\r"), r"data", EITHER),
    bad("with a NUL", replaced("good", "go\0d"), r"data", EITHER),
    bad("of NULs", lambda good: b"\0" * len(good), r"data\.csv"),
    bad("with semicolons", lambda good: good.replace(b",", b";"), r"data\.csv.*no column 'text'.*'text;label'"),
    bad("with a column twice", replaced("text,label\n", "text,label,label\n"), r"data\.csv, line 1: .*'label'.*twice"),
    bad("without its text column", replaced("text,label", "words,label"), r"data\.csv.*no column 'text'.*'words'"),
    bad("without its label column", replaced("text,label", "text,gold"), r"data\.csv.*no column 'label'.*'gold'"),
    bad("with columns in capitals", replaced("text,label", "Text,Label"), r"data\.csv.*no column 'text'.*'Text'"),
    bad("with a cell too many", replaced("\n", "\nwe need water, help,1\n"), r"data\.csv, line 2: 3 values for 2 columns"),
    bad("with a cell too few", replaced("\n", "\nwe need water\n"), r"data\.csv, line 2: 1 values? for 2 columns"),
    bad("with a text of 200,000 letters", replaced("\n", f"\n{'water ' * 33_334},1\n"), "logme on", 0),
    bad("with a text of control codes", replaced("\n", "\n\x1b[2Jwe need\x07,1\n"), "logme on", 0),
    bad("with a label of control codes", replaced("\n", "\nwe need,\x1b]52;c;aGk=\x07\n"), r"data", EITHER),
    bad("of no row but one", lambda good: b"text,label\nwe need,1\n", r"data\.csv"),
    bad("of two rows", lambda good: b"text,label\nwe need,1\nthey give,0\n", r"data\.csv"),
    bad("without any text", lambda good: b"text,label\n" + b",1\n,0\n" * 20, r"data\.csv.*(no row|empty)"),
    bad("of a hundred thousand columns", lambda good: _wide(100_000), "logme on|columns", EITHER),
    *(bad(f"of random bytes, {seed}", lambda good, seed=seed: random_bytes(seed, 1000), r"data\.csv") for seed in range(5)),
    *(bad(f"with 20 random bytes, {seed}", noise(seed, 20), r"data", EITHER) for seed in range(5)),
    Case("a workbook named .csv", _workbook, RANK, REFUSED, r"data\.csv"),
]


def _wide(columns: int) -> bytes:
    names = ",".join(f"c{i}" for i in range(columns))
    return f"text,label,{names}\n".encode() + b"".join(
        f"{t},{i % 2}{',' * columns}\n".encode() for i, t in enumerate(TEXTS[:20])
    )


LABELS = [
    labelled("TRUE and FALSE are two classes of which TRUE is positive", ("TRUE", "FALSE"), "binary", 0),
    labelled("Yes and No are two classes of which Yes is positive", ("Yes", "No"), "binary", 0),
    labelled("two words are two classes, and it is said which is positive", ("ham", "ham", "ham", "spam"), "binary.*spam", 0),
    labelled("0 and 1.00 are two classes", ("0", "1.00"), "binary", 0),
    labelled("three words are three classes", ("red", "green", "blue"), "multiclass|3 classes", 0),
    labelled("that differ by case alone", ("spam", "Spam", "ham"), "[sS]pam.*(case|capital|differ)", EITHER),
    labelled("all the same", ("1",), r"data\.csv.*(class|negative)"),
    labelled("all different", range(40), r"data\.csv.*class"),
    labelled("real numbers", (f"{i / 8 + 0.0625}" for i in range(40)), "regression", 0),
    *(
        labelled(f"real numbers but for one {word!r}", [*(f"{i}.25" for i in range(39)), word], rf"data\.csv, line 41.*{said}")
        for word, said in (("N/A", "N/A"), ("nan", "nan"), ('"3,2"', "3,2"), ("?", r"\?"), ("inf", "inf"), ("1e999", "1e999"))
    ),
    labelled("empty in one row", [*(i % 2 for i in range(39)), ""], r"data\.csv, line 41.*'?label'?.*empty"),
    labelled("blank in one row", [*(i % 2 for i in range(39)), "   "], r"data\.csv, line 41.*'?label'?.*empty"),
    labelled("of 5,000 digits", ["0", "1", "9" * 5000], r"data", EITHER),
]

PLACES = [
    Case("no file", removed("data.csv"), RANK, REFUSED, r"data\.csv: no such file"),
    Case("a folder in place of the file", steps(removed("data.csv"), made_folder("data.csv")), RANK, REFUSED, r"data\.csv"),
    Case("a link to nowhere", linked("data.csv", "nowhere.csv"), RANK, REFUSED, r"data\.csv"),
    Case("a link to itself", linked("data.csv", "data.csv"), RANK, REFUSED, r"data\.csv"),
    Case(
        "a link to a good file", linked("other.csv", "data.csv"), "rank other.csv encoder", 0, "of other", needs=("data.csv",)
    ),
    Case("a pipe that nobody writes to", piped("pipe.csv"), "rank pipe.csv encoder", REFUSED, r"pipe\.csv"),
    Case("the memory of a process", nothing, "rank /proc/self/mem encoder", REFUSED, "/proc/self/mem"),
    Case("endless zeros", nothing, "rank /dev/zero encoder", REFUSED, "/dev/zero"),
    Case("a name with control codes", nothing, "rank '\x1b[31mx\x07.csv' encoder", REFUSED, r"\\x1b\[31mx\\x07\.csv"),
    Case("a name of 5,000 letters", nothing, f"rank {'x' * 5000}.csv encoder", REFUSED, "xxx"),
    Case("a name with a NUL", nothing, "rank 'x\0y.csv' encoder", REFUSED, r"x\\x00y\.csv|null"),
    Case(
        "an unknown ending",
        linked("data.xlsx", "data.csv"),
        "rank data.xlsx encoder",
        REFUSED,
        r"data\.xlsx.*ending",
        needs=("data.csv",),
    ),
    Case("no ending", linked("data", "data.csv"), "rank data encoder", REFUSED, "data.*ending", needs=("data.csv",)),
]


def tsv(what: str, damage: Damage, says: str, code: int | tuple[int, ...] = REFUSED) -> Case:
    """The good TSV, its bytes changed."""
    return Case(f"tsv {what}", damaged("data.tsv", damage), "rank data.tsv encoder", code, says)


TABS = [
    tsv("as it should be", lambda good: good, r"logme on 3\d rows", 0),
    tsv("with quotes, which are letters there", replaced("good", '"good'), r"logme on 3\d rows", 0),
    tsv("with a tab in a text", replaced("\n", "\nwe\tneed\t1\n"), r"data\.tsv, line 2: 3 values for 2 columns"),
    tsv("with commas", lambda good: good.replace(b"\t", b","), r"data\.tsv.*no column 'text'"),
    tsv("cut in the middle of a row", lambda good: good[:-3], r"data\.tsv, line 41"),
    tsv("in UTF-16", utf16, r"data\.tsv.*UTF-16"),
    tsv("compressed", gzipped, r"data\.tsv.*gzip"),
]

TAGGED = 'kind = "sequence"\n[[task]]\nname = "tags"\ntrain = "data.conll"\n'


def conll(what: str, damage: Damage, says: str, toml: str = TAGGED) -> Case:
    """The good CoNLL file, its bytes changed, or described wrongly."""
    prepare = steps(damaged("data.conll", damage), wrote("tasks.toml", toml))
    return Case(f"conll {what}", prepare, "rank tasks.toml encoder", REFUSED, says, needs=("data.conll",))


def same(good: bytes) -> bytes:
    """As it was."""
    return good


TAGS = [
    conll("with a tag that is none", replaced("bad\tB-Y", "bad\tBAD"), r"data\.conll, line 5: tag 'BAD'"),
    conll("with a tag of a prefix alone", replaced("B-Y", "B-"), r"data\.conll, line 5.*'B-'"),
    conll("with a token without tag", replaced("was\tO", "was"), r"data\.conll, line 4"),
    conll("with a tag without token", replaced("was\tO", "\tO"), r"data\.conll, line 4"),
    conll("with a column more in one line", replaced("was\tO", "was\tX\tO"), r"data\.conll, line 4: 3 columns"),
    conll("of no bytes", emptied, r"data\.conll: no rows"),
    conll("of comments alone", lambda good: b"# one\n\n# two\n", r"data\.conll.*(no rows|line 1)"),
    conll("in UTF-16", utf16, r"data\.conll.*UTF-16"),
    conll("in latin1", latin1, r"data\.conll, line 2: .*UTF-8"),
    conll("compressed", gzipped, r"data\.conll.*gzip"),
    conll("whose tag column is a sign", same, r"'-'", TAGGED + 'label = "-"\n'),
    conll("whose tag column is a superscript", same, r"'²'", TAGGED + 'label = "²"\n'),
    conll("whose tag column is not there", same, r"data\.conll, line 1: no column 7", TAGGED + 'label = "7"\n'),
    conll("whose tag column has 5,000 digits", same, r"99999|label", TAGGED + f'label = "{"9" * 5000}"\n'),
    conll("as a binary task", same, r"binary|sequence", TAGGED.replace("sequence", "binary")),
    conll("as columns of labels", same, r"multilabel|label", TAGGED.replace("sequence", "multilabel") + 'labels = ["a"]\n'),
    *(conll(f"of random bytes, {seed}", lambda good, seed=seed: random_bytes(seed, 500), r"data\.conll") for seed in range(2)),
]


@pytest.mark.parametrize("case", [*BYTES, *LABELS, *PLACES, *TABS, *TAGS], ids=lambda case: case.id)
def test_a_file_is_read_rightly_or_refused_in_one_line(case, goods, tmp_path, caplog):
    check(case, goods, tmp_path, lambda: caplog.text)
