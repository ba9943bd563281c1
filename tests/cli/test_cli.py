"""Commands: examples in every help, tables and JSON, exit codes, one-line errors, and the whole path."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.attribution.models import classifier, tokenizer_for
from tests.builders import SCHEMA, past
from tests.conftest import sentences, write_csv
from transfercast.cli import COMMANDS, app
from transfercast.core.errors import InputError
from transfercast.features.registry import measures
from transfercast.report.figures import rmse_figure, save

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Commands run in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def transfercast(*arguments):
    """A command, run in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def in_a_process(*arguments):
    """A Python command, run as users do."""
    return subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_an_example_in_its_help(name):
    output = CliRunner().invoke(app, [name, "--help"]).output
    assert f"Example: transfercast {name}" in " ".join(output.split())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows reports a closed pipe by another error")
@pytest.mark.parametrize("buffering", ["", "1"])
@pytest.mark.parametrize("option", ["--kind=binary", "--json", "--help"])
def test_a_command_ends_silently_when_its_output_is_not_read_to_the_end(option, buffering):
    reading, writing = os.pipe()
    os.close(reading)  # as head has done after its last line
    command = [sys.executable, "-m", "transfercast", "measures", option]
    environment = {**os.environ, "PYTHONUNBUFFERED": buffering}
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=300, env=environment)
    os.close(writing)
    assert done.stderr == ""
    assert done.returncode == 1


def test_a_broken_connection_is_an_error_when_the_output_is_read(monkeypatch):
    def lost(*_):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr("transfercast.cli.measures.show", lost)
    done = transfercast("measures")
    assert done.exit_code == 1
    assert "Broken pipe" in done.stderr


def test_the_measures_are_listed_for_people_and_scripts():
    listed = CliRunner().invoke(app, ["measures", "--json", "--kind", "regression"]).stdout.splitlines()
    told = {one["name"]: one for one in map(json.loads, listed)}
    assert {"logme", "single_task", "esm_logme", "task_emb", "vocabulary"} <= set(told)
    assert not {"leep", "nce", "h_score", "ansat", "span_similarity"} & set(told)  # these need classes
    assert told["vocabulary"]["columns"] == {"vocabulary_overlap": "higher", "unigram_kl": "lower", "unigram_js": "lower"}
    assert told["logme"]["needs"] == ["source_embeddings", "target_values"]
    table = CliRunner().invoke(app, ["measures"]).output
    assert "logme" in table
    assert "higher/lower" in table


@pytest.fixture(scope="module")
def reviews(tmp_path_factory):
    rows = [*sentences(60, "storm", seed=5), ("", 1)]
    return write_csv(tmp_path_factory.mktemp("reviews") / "reviews.csv", rows)


def test_encoders_are_ranked_for_a_file_in_one_command(reviews, tiny_encoder, caplog):
    done = transfercast("rank", reviews, tiny_encoder, "nowhere", "--measure", "h_score", "--layers", "best")
    assert done.exit_code == 0, done.stderr
    assert "h_score on 55 rows of reviews" in done.stdout  # test rows, about a tenth by the hash of their texts, are not read
    assert "nowhere is left out" in caplog.text
    done = transfercast("rank", reviews, tiny_encoder, "--json")
    assert json.loads(done.stdout)["source"] == str(tiny_encoder)


def test_sources_are_ranked_by_their_maps_in_two_commands(reviews, family_toml, tiny_encoder, tmp_path):
    recipe = "full/lr=0.01/epochs=2/batch=8/tokens=16"
    fitted = transfercast(
        "fit-sources",
        family_toml,
        "--pool",
        tmp_path / "pool",
        "--encoder",
        tiny_encoder,
        "--recipe",
        recipe,
    )
    assert fitted.exit_code == 0, fitted.stderr
    mapped = transfercast("fit-maps", tmp_path / "pool", "--pooling", "cls")
    assert "3 maps.\nNext: transfercast rank DATA.csv --maps maps" in mapped.stdout
    done = transfercast("rank", reviews, "--maps", "maps", "--jobs", 1, "--json")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert {one["source"] for one in told} == {"good", "help", "storm"}
    assert [one["rank"] for one in told] == [1, 2, 3]
    by_file = transfercast("rank", family_toml, "--maps", "maps", "--jobs", 1)
    assert by_file.exit_code == 2
    assert "name one of its targets by --target: good, help, storm" in by_file.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["plan", "none.parquet", "--trials", "1"], 2, "none.parquet: no such file"),
        (["plan", "none.parquet"], 2, "--trials 8 or --hours 2.5"),
        (["explain", "help:storm"], 2, "no sources. Make some with"),
        (["explain", "model"], 2, "give a text to explain, or name two sources as FIRST:SECOND"),
        (["explain", "none", "a text", "--tolerance", "0"], 2, "--tolerance 0.0: give more than 0"),
        (["explain", "a:b", "--threshold", "nan"], 2, "--threshold nan: give more than 0"),
        (["explain", "none", "a text", "--html", "."], 2, "--html .: is a folder; name a file to write"),
        (["rank", "none.csv", "offline"], 2, "none.csv: no such file"),
        (["rank", "none.csv"], 2, "name the encoders to rank, or a folder of maps by --maps"),
        (["fit-maps", "pool"], 2, "no sources. Make some with"),
        (["search", "none.json"], 2, "none.json: no such file"),
        (["fit-sources", "none.toml"], 2, "none.toml: no such file"),
        (["fit-sources"], 2, "nothing to do"),
        (["fit-sources", "--adopt", "x"], 2, "write NAME=FOLDER"),
        (["features", "pool", "none.toml"], 2, "none.toml"),
        (["train-meta", "--history", "none.db", "--out", "meta"], 2, "none.db: no such history"),
        (["serve", "--host", "0.0.0.0"], 2, "TRANSFERCAST_API_KEY"),
        (["plan"], 2, "Missing argument"),
    ],
)
def test_mistakes_are_told_in_one_line_with_an_exit_code(tmp_path, arguments, code, told):
    done = transfercast(*arguments)
    assert done.exit_code == code
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_process_ends_with_the_exit_code_and_the_line():
    done = in_a_process("-m", "transfercast", "search", "none.json")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: none.json: no such file")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["plan", "features.parquet", "--trials", "0"], "--trials"),
        (["demo", "--trials", "-1"], "--trials"),
        (["explain", "a:b", "--documents", "0"], "--documents"),
        (["measures", "--kind", "ordinal"], "--kind"),
    ],
)
def test_an_option_out_of_its_range_has_the_exit_code_of_bad_input(arguments, option):
    done = transfercast(*arguments)
    assert done.exit_code == 2
    assert option in done.stderr


def test_a_wrong_plan_is_reported_before_torch_is_imported(tmp_path):
    (tmp_path / "plan.json").write_text("{")
    code = (
        "import sys; from typer.testing import CliRunner; from transfercast.cli import app\n"
        "done = CliRunner().invoke(app, ['search', 'plan.json'])\n"
        "print(done.exit_code, 'torch' in sys.modules, done.stderr)"
    )
    done = in_a_process("-c", code)
    assert done.stdout.startswith("3 False error: plan.json"), done.stdout + done.stderr


def test_a_damaged_artifact_has_its_own_exit_code(tmp_path):
    (tmp_path / "x.parquet").write_text("no table")
    assert transfercast("plan", "x.parquet", "--trials", 1).exit_code == 3


def test_a_text_is_explained_in_words_in_json_and_on_a_page(tmp_path):
    classifier("Bert").save_pretrained(tmp_path / "model")
    tokenizer_for("Bert").save_pretrained(tmp_path / "model")
    text = "<b> we need water"
    done = transfercast("explain", "model", text, "--label", 1, "--html", "why.html")
    assert done.exit_code == 0, done.stderr
    assert re.fullmatch(r"<b>\([+-]0\.\d{3}\) we\(.*\) need\(.*\) water\(.*\) ?", done.stdout.splitlines()[0])
    assert "LABEL_1: probability 0." in done.stdout
    page = (tmp_path / "why.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    assert "http" not in page
    done = transfercast("explain", "model", text, "--label", 1, "--tokens", 5, "--json")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["word"] for row in rows] == text.split()
    assert all(len(row["layers"]) == 2 and -1 <= row["activity"] <= 1 for row in rows)
    assert "cut at 5 tokens" in done.stderr
    done = transfercast("explain", "model", text, "--text-pair", "help", "--tokens", 1000)
    assert done.exit_code == 0, done.stderr
    assert " help(" in done.stdout


@pytest.mark.usefixtures("untaught")
def test_the_main_job_from_files_to_a_retrained_predictor(tmp_path, family_toml, tiny_encoder):
    recipe = "full/lr=0.01/epochs=2/batch=8/tokens=16"
    done = transfercast("fit-sources", family_toml, "--encoder", tiny_encoder, "--recipe", recipe, "--json")
    assert done.exit_code == 0, done.stderr
    assert {json.loads(line)["source"] for line in done.stdout.splitlines()} == {"good", "help", "storm"}
    done = transfercast("features", "pool", family_toml, "--recipe", recipe, "--documents", 2, "--json")
    assert done.exit_code == 0, done.stderr
    assert len(done.stdout.splitlines()) == 6
    done = transfercast("explain", "help:storm", "--threshold", 0.05, "--documents", 3, "--html", "pair.html")
    assert done.exit_code == 0, done.stderr
    assert "terms reach 0.05 in both help and storm, on 6 positive documents" in done.stdout
    assert "<h1>What drives both help and storm</h1>" in (tmp_path / "pair.html").read_text(encoding="utf-8")
    done = transfercast("plan", "features.parquet", "--trials", 6)
    assert done.exit_code == 0, done.stderr
    assert "Rests on no observed transfers" in done.stdout
    done = transfercast("search", "plan.json", "--json")
    assert done.exit_code == 0, done.stderr
    assert all(json.loads(line) for line in done.stdout.splitlines())
    for script in ([ROOT / "train_meta.py"], ["-m", "transfercast", "train-meta"]):
        done = in_a_process(*script, "--history", "sqlite:///history.db", "--out", "meta", "--minutes", 0)
        assert done.returncode == 0, done.stderr
        assert "held out by target" in done.stdout
    options = ("--predictor", "meta", "--lr", 0.01, "--lr", 0.02, "--bounds", "hierarchical", "--plot", "why.svg")
    done = transfercast("plan", "features.parquet", "--trials", 2, *options)
    assert done.exit_code == 0, done.stderr
    assert "observed transfers" in done.stdout
    assert (tmp_path / "why.svg").read_text().startswith("<?xml")
    done = transfercast("history", "show", "--json")
    assert {json.loads(line)["target"] for line in done.stdout.splitlines()} == {"help", "storm", "good"}
    done = transfercast("history", "export", "all.parquet")
    assert done.exit_code == 0, done.stderr
    done = transfercast("history", "import", "all.parquet", "--history", "other.db", "--json")
    told = json.loads(done.stdout)
    assert told["new"] == told["in all"] > 0
    done = transfercast("train-meta", "--history", "history.db", "--out", "meta", "--roll-back")
    assert done.exit_code == 0, done.stderr
    assert "in force in meta again" in done.stdout


def test_an_evaluation_is_a_table_a_page_figures_and_json(tmp_path):
    versions = {column.name: column.version for one in measures().values() for column in one.schema()}
    today = [column.model_copy(update={"version": versions[column.name]}) for column in SCHEMA]
    past(6, 5, schema=today, encoders=("e", "f")).export_file(tmp_path / "h.csv")
    columns = [f"{c.name}:{c.better}:{c.group}" for c in SCHEMA]
    arguments = ["history", "import", str(tmp_path / "h.csv"), "--history", str(tmp_path / "h.db")]
    done = CliRunner().invoke(app, [*arguments, *(part for column in columns for part in ("--column", column))])
    assert done.exit_code == 0, done.output
    out = tmp_path / "evaluation"
    done = CliRunner().invoke(app, ["evaluate", str(tmp_path / "h.db"), "--out", str(out), "--jobs", "1"])
    assert done.exit_code == 0, done.output
    for part in ("each target held out: 6 targets", "each encoder held out", "logme", "oracle", "90 % bounds, hierarchical"):
        assert part in done.output
    kinds = ("rmse", "hours", "first")
    names = {f"{by}-{figure}.{end}" for by in ("target", "encoder") for figure in kinds for end in ("svg", "png")}
    assert {path.name for path in out.iterdir()} == {*names, "report.html", "evaluation.json"}
    page = (out / "report.html").read_text()
    assert page.count("<svg") == 6
    assert "<script" not in page
    content = json.loads((out / "evaluation.json").read_text())
    assert content["held_out"]["target"]["orders"][0]["order"] == "predictor"
    assert len(content["held_out"]["target"]["orders"][0]["curve"]) == 101


def test_one_encoder_cannot_be_held_out_and_the_evaluation_goes_on_without(tmp_path):
    past(4, 3).export_file(tmp_path / "h.parquet")
    done = CliRunner().invoke(app, ["evaluate", str(tmp_path / "h.parquet"), "--jobs", "1", "--json"])
    assert done.exit_code == 0, done.output
    assert "the history has only one encoder" in done.stderr
    assert {json.loads(line)["by"] for line in done.stdout.splitlines()} == {"target"}


def test_a_column_described_wrongly_and_a_figure_of_no_kind_are_told(tmp_path):
    (tmp_path / "h.csv").write_text("source,target,score\na,b,0.5\n")
    history = str(tmp_path / "h.db")
    done = transfercast("history", "import", "h.csv", "--column", "x:up", "--history", history)
    assert done.exit_code == 2
    assert "Write NAME:higher:GROUP" in done.stderr
    assert not (tmp_path / "h.db").exists()
    with pytest.raises(InputError, match=r"written as \.svg, \.png, \.pdf"):
        save(rmse_figure({"a": {5: 0.1}}), tmp_path / "figure.bmp")
