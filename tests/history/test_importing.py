"""Files of others are checked whole: what is wrong is told by line, and nothing of a wrong file is kept or described."""

from __future__ import annotations

import contextlib
import json
import logging

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests.core.test_core import column
from transfercast.cli import app
from transfercast.core.errors import InputError
from transfercast.history.importing import observations_of
from transfercast.history.store import History


def imported(tmp_path, text, name="in.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return observations_of(path)


def test_a_wrong_csv_is_told_by_line_and_nothing_is_kept(tmp_path):
    path = tmp_path / "in.csv"
    path.write_text("source,target,score,logme\na,b,0.5,1\na,c,high,1\n,d,0.5,1\na,e,1.5,1\na,f,0.5,x\na,g,0.5,inf\n")
    history = History("sqlite://")
    with pytest.raises(InputError) as caught:
        history.import_file(path, [column("logme")])
    message = str(caught.value)
    for part in ("line 3: score: ", "(found 'high')", "line 4: source is empty", "line 5: score: ", "(found '1.5')",
                 "line 6: features.logme: ", "(found 'x')", "line 7: features: 'logme' is infinite"):  # fmt: skip
        assert part in message
    assert len(history) == 0
    assert history.schema() == ()


def test_many_mistakes_are_told_in_one_sentence_without_escapes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"a,t{number},1.7\n" for number in range(13))
    (tmp_path / "in.csv").write_text(f"source,target,score\n{rows}")
    found = CliRunner().invoke(app, ["history", "import", "in.csv", "--history", "h.db"])
    assert found.exit_code == 2
    told = " ".join(found.stderr.split())  # a terminal may wrap it
    assert "\\n" not in told
    assert "in.csv, line 11: score: " in told
    assert told.endswith("; and 3 more. Nothing was imported; fix these rows.")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no column 'source'"),
        ("source,target\na,b\n", "no column 'score'"),
        ("source,target,score,score\na,b,0.5,0.9\n", "column 'score' stands twice"),
        ("source,target,score,x, x\na,b,0.5,1,2\n", "column 'x' stands twice"),
        ("source,target,score,\na,b,0.5,1\n", "column 4 has no name"),
        ("source,target,score\na,b,0.5,1\n", "line 2: 4 values for 3 columns"),
        ("source,target,score\na,b\n", "line 2: 2 values for 3 columns"),
        ("source,target,score,baseline\na,b,0.5,0.4\n", r"column 'baseline' cannot be a feature.*\(alone\)"),
        ("source,target,score,features\na,b,0.5,1\n", "column 'features' cannot be a feature"),
        ("source,target,score\na,b,0.5\n\n \na,c,high\n", "line 5: score"),
        ('source,target,score,device\na,b,0.5,"two\nlines"\na,c,high,cpu\n', "line 4: score"),
        ('source,target,score\n"a,b,0.5\n', "line 2: unexpected end of data"),
        (
            f"source,target,score\n{'x' * 200_000},b,0.5\n",
            "line 2: (field larger than field limit|source: String should have at most)",
        ),
        (f"source,target,score\n{'x' * 101},b,0.5\n", "line 2: source: String should have at most 100"),
        (f"source,target,score,{'x' * 201}\na,b,0.5,1\n", "1 to 200 letters"),
        ("source,target,score\na\0,b,0.5\n", "line 2: source: .*control characters"),
        ("source,target,score\n\x1b[2Ja,b,0.5\n", "line 2: source: .*control characters"),
        ("source,target,score,seed\na,b,0.5,1" + "0" * 30 + "\n", "line 2: seed"),
        ("source,target,score,seed\na,b,0.5,1.5\n", "line 2: seed"),
        ("source,target,score,versions,x\na,b,0.5,nonsense,1\n", "line 2: versions"),
        (b"source,target,score\nd\xe9j\xe0,b,0.5\n", r"line 2: not UTF-8 \(byte 0xe9\)"),
        ("source,target,score,run_key\na,b,0.5,k\na,c,0.5,k\n", "line 3: its run_key 'k' is that of line 2"),
        ("source,target,score\na,b,0.5\na,c,0.5\na,b,0.6\n", "line 4: the same run as line 2, with score 0.6 instead of 0.5"),
        ("source,target,score,x\na,b,0.5,1\na,b,0.5,2\n", "line 3: the same run as line 2, with other features"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_wrong_with_a_csv_is_told(tmp_path, text, told):
    with pytest.raises(InputError, match=rf"in\.csv.*{told}"):
        imported(tmp_path, text)


def test_seeds_gaps_and_blank_lines_are_fine(tmp_path):
    rows = imported(
        tmp_path, "\ufeffsource, target ,score,seed,x,y\r\n\r\na,b,0.5,0,,nan\r\na,b,0.5,0,,\r\na,b,0.6,1,2,\r\n\r\n"
    )
    assert [(one.seed, one.score, one.features) for one in rows] == [(0, 0.5, {}), (1, 0.6, {"x": 2.0})]


def test_a_parquet_file_is_told_by_row_and_may_have_gaps(tmp_path):
    path = tmp_path / "in.parquet"
    pd.DataFrame({"source": ["a", None], "target": ["b", "c"], "score": [0.5, 0.25]}).to_parquet(path)
    with pytest.raises(InputError, match=r"in.parquet, row 2: source is empty"):
        observations_of(path)
    frame = pd.DataFrame({"source": [1, 2], "target": ["b", "c"], "score": [0.5, 0.25], "seed": [1.0, None],
                          "finished_at": pd.to_datetime(["2026-01-01", None]), "x": [0.5, None]})  # fmt: skip
    frame.to_parquet(path)
    rows = observations_of(path)
    assert [(one.source, one.seed, one.features) for one in rows] == [("1", 1, {"x": 0.5}), ("2", 0, {})]
    pd.DataFrame({"source": ["a"], "target": ["b"], "score": [0.5], "x": [[1, 2]]}).to_parquet(path)
    with pytest.raises(InputError, match=r"row 1: features\.x"):
        observations_of(path)


def test_what_is_no_parquet_or_csv_is_told(tmp_path):
    for content in (b"nonsense", b"", b"PAR1" + b"\0" * 50 + b"PAR1"):
        (tmp_path / "in.parquet").write_bytes(content)
        with pytest.raises(InputError, match="not readable as Parquet"):
            observations_of(tmp_path / "in.parquet")
    for name in ("gone.parquet", "gone.csv"):
        with pytest.raises(InputError, match=f"{name}: no such file"):
            observations_of(tmp_path / name)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match=r"folder\.csv: no such file"):
        observations_of(tmp_path / "folder.csv")
    with pytest.raises(InputError, match=r"'\.xlsx' is neither"):
        observations_of(tmp_path / "in.xlsx")


@given(content=st.binary(max_size=300))
def test_any_bytes_are_observations_or_one_error(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "in.csv"
    path.write_bytes(b"source,target,score\n" + content)
    with contextlib.suppress(InputError):
        assert all(0 <= one.score <= 1 for one in observations_of(path))


def command(*arguments, answer=None):
    return CliRunner().invoke(app, ["history", *map(str, arguments)], input=answer)


@pytest.fixture
def table(tmp_path):
    (tmp_path / "in.csv").write_text("source,target,score,sim\na,b,0.5,1\na,c,0.6,2\n")
    return tmp_path / "in.csv"


def test_directions_are_described_only_by_an_import_that_ends_well(table, tmp_path):
    place = tmp_path / "h.db"
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("source,target,score,sim\na,b,high,1\n")
    done = command("import", wrong, "--column", "sim:lower:embeddings", "--history", place)
    assert done.exit_code == 2
    assert not place.exists()
    assert command("import", table, "--column", "sim:higher:embeddings", "--history", place).exit_code == 0
    assert [(c.name, c.better) for c in History(place).schema()] == [("sim", "higher")]


def test_a_contradicting_direction_is_refused_and_can_be_put_right(table, tmp_path):
    place = tmp_path / "h.db"
    assert command("import", table, "--column", "sim:lower:embeddings", "--history", place).exit_code == 0
    table.write_text("source,target,score,sim\na,d,0.5,1\n")
    done = command("import", table, "--column", "sim:higher:embeddings", "--history", place)
    assert done.exit_code == 2
    assert "'lower' of embeddings" in done.output
    assert "history describe 'sim:higher:embeddings'" in done.output
    assert len(History(place)) == 2
    assert command("describe", "sim:higher:embeddings", "--history", place).exit_code == 0
    assert History(place).schema()[0].better == "higher"
    assert command("import", table, "--column", "sim:higher:embeddings", "--history", place).exit_code == 0


@pytest.mark.parametrize(
    ("column", "told"),
    [("gone:higher:data", "no feature column 'gone'"), ("score:higher:data", "score"), ("sim:up", "Write NAME:higher"),
     ("sim:higher:nonsense", "Write NAME:higher"), ("", "Write NAME:higher"), (":higher:data", "Write NAME:higher")],
)  # fmt: skip
def test_a_description_of_no_column_is_refused(table, tmp_path, column, told):
    done = command("import", table, "--column", column, "--history", tmp_path / "h.db")
    assert done.exit_code == 2
    assert told in done.output
    assert not (tmp_path / "h.db").exists()


def test_what_an_installed_measure_makes_has_its_version_and_its_direction(table, tmp_path):
    from transfercast.features.registry import measures

    place = tmp_path / "h.db"
    table.write_text("source,target,score,logme\na,b,0.5,1\n")
    done = command("import", table, "--column", "logme:lower:embeddings", "--history", place)
    assert done.exit_code == 2
    assert "made by the measure logme, whose columns are higher:embeddings" in done.output
    assert command("import", table, "--column", "logme:higher:embeddings", "--history", place).exit_code == 0
    assert History(place).observations()[0].versions == {"logme": measures()["logme"].version}


def test_a_history_is_shown_by_split_with_hours_that_people_read(table, tmp_path):
    table.write_text("source,target,score,split,hours\na,b,0.5,validation,0.005\na,b,0.4,test,2.0833\n(alone),b,0.3,test,0\n")
    place = tmp_path / "h.db"
    command("import", table, "--history", place)
    shown = command("show", "--history", place).output
    validation, test = shown.split("Scored on test")
    assert "Scored on validation" in validation
    assert "18 s" in validation
    assert "2.1 h" in test
    rows = [json.loads(line) for line in command("show", "--history", place, "--json").stdout.splitlines()]
    assert {(row["split"], row["hours"]) for row in rows} == {("validation", 0.005), ("test", 2.0833)}


def test_removing_shows_asks_and_tells(table, tmp_path):
    place = tmp_path / "h.db"
    command("import", table, "--history", place)
    assert "say what to remove" in command("remove", "--history", place).output
    done = command("remove", "--target", "b", "--history", place, answer="n\n")
    assert done.exit_code == 1
    assert "Remove 1 observations" in done.output
    assert len(History(place)) == 2
    assert command("remove", "--target", "b", "--json", "--history", place).exit_code == 2
    done = command("remove", "--target", "b", "--source", "a", "--history", place, answer="y\n")
    assert "1 observations removed; 1 are left" in done.output
    assert "nothing was removed" in command("remove", "--target", "b", "--history", place).output
    assert command("remove", "--target", "c", "--history", tmp_path / "gone.db").exit_code == 2
    assert not (tmp_path / "gone.db").exists()
    assert [one.target for one in History(place).observations()] == ["c"]


def test_names_from_a_history_cannot_drive_the_terminal(tmp_path, caplog):
    history = History(tmp_path / "h.db")
    with history.engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO transfercast_observations VALUES (1, 'k', 'a', char(27) || ']52;c;aGk=', 'full', 'e', 0, 'accuracy', "
            "'validation', 0.5, 0.1, 'cpu', '', '', '', '{}', '{}')"
        )
    with caplog.at_level(logging.WARNING):
        for arguments in (["show"], ["remove", "--source", "a", "--yes"]):
            done = command(*arguments, "--history", tmp_path / "h.db")
            assert done.exit_code == 0, done.output
            assert "\x1b" not in done.output + caplog.text
