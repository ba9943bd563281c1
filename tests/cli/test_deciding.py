"""`plan` and `evaluate` as users see them: what is done, what cannot be said, few rows and a verdict."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.builders import SCHEMA, past, table_of
from transfercast.cli import app
from transfercast.core.records import ALONE
from transfercast.core.table import FeatureTable
from transfercast.evaluation.evaluate import RANDOM
from transfercast.evaluation.history import HistoryEvaluation, evaluate_history
from transfercast.evaluation.holdout import held_out
from transfercast.history.store import History
from transfercast.report.evaluation import Report

MINE = tuple(c.model_copy(update={"name": f"my_{c.name}", "measure": f"my_{c.measure}"}) for c in SCHEMA)
"""Columns of measures that transfercast does not have itself, and so has no version of."""


def run(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


@pytest.fixture
def files(tmp_path, monkeypatch):
    """features.parquet of t0, and history.db with the transfers of three targets."""
    monkeypatch.chdir(tmp_path)
    own_table().save("features.parquet")
    history = History("history.db")
    history.describe(MINE)
    history.append(past(3, schema=MINE).observations())
    return tmp_path


def own_table() -> FeatureTable:
    """The table of t0, its columns named as in MINE."""
    known = table_of(past(), "t0")
    frame = known.frame.set_axis([c.name for c in MINE], axis=1)
    return FeatureTable(frame, MINE, known.provenance)


def test_a_plan_without_history_shows_an_order_without_scores(files):
    done = run("plan", "features.parquet", "--trials", 3)
    assert done.exit_code == 0, done.output
    header = next(line for line in done.stdout.splitlines() if line.startswith("rank"))
    assert header.split() == ["rank", "source", "target", "score", "why"]  # the score of the target alone was measured
    assert "Their scores cannot be forecast without history." in done.stdout
    done = run("plan", "features.parquet", "--trials", 3, "--json")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["score"] for row in rows[1:]] == [None] * 3
    assert {row["lower"] for row in rows} == {row["expected_best"] for row in rows} == {None}


def test_a_plan_with_a_history_does_not_propose_again_what_it_holds(files):
    assert run("plan", "features.parquet", "--trials", 5).exit_code == 0
    everything = run("plan", "features.parquet", "--trials", 5, "--history", "history.db")
    assert everything.exit_code == 0, everything.output
    assert "0 trainings to run, 6 done" in everything.stdout
    history = History("part.db")
    history.append(one for one in past(3, schema=MINE).observations() if one.source in (ALONE, "s0", "s1"))
    done = run("plan", "features.parquet", "--trials", 2, "--history", "part.db", "--json")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {row["source"] for row in rows if row["state"] == "done"} == {ALONE, "s0", "s1"}
    assert len([row for row in rows if row["state"] == "new"]) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--trials", 1, "--out", "."), "--out .: is a folder"),
        (("--hours", "nan"), "--hours nan"),
        (("--hours", "inf"), "--hours inf"),
        (("--trials", 1, "--plot", "why.bmp"), "written as .svg"),
        (("--hours", 1.0), "the duration of a training of t0 must be known"),
        (("--trials", 1, "--history", "nowhere.db"), "nowhere.db: no such history"),
        (("--trials", 1, "--coverage", 2), "coverage is 2"),
        (("--trials", 1, "--predictor", "nowhere"), "nowhere: no predictor"),
    ],
)
def test_what_cannot_be_planned_is_one_line_and_leaves_no_file(files, options, message):
    done = run("plan", "features.parquet", *options)
    assert done.exit_code == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (files / "plan.json").exists()


def test_an_evaluation_shows_few_orders_the_best_first_and_a_verdict(files):
    done = run("evaluate", "history.db", "--jobs", 1)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    end = next(number for number, line in enumerate(lines) if line.startswith(("Better than random", "Worse than random")))
    shown = lines[2:end]
    assert 4 <= len(shown) <= 12
    assert any(line.startswith(RANDOM) for line in shown)
    assert any(line.startswith("static order") for line in shown)
    ndcg = [float(line.rsplit(maxsplit=6)[1]) for line in shown]
    assert ndcg == sorted(ndcg, reverse=True)
    assert "over 3 targets; with so few targets, chance decides much of this" in done.stdout
    assert "too few for an interval" in done.stdout
    assert History("history.db").schema() == tuple(sorted(MINE, key=lambda column: column.name))


@pytest.mark.usefixtures("untaught")
def test_an_order_that_is_worse_than_random_is_called_so():
    some = past(12, 6)
    from transfercast.evaluation.evaluate import evaluate
    from transfercast.predictor.data import transfers_of

    forecast = held_out(transfers_of(some.frames(), some.schema()), None)
    upside_down = replace(forecast, score=-forecast.transfers.score)
    verdict = {}
    for name, one in (("good", forecast), ("bad", upside_down)):
        evaluation = evaluate(one)
        verdict[name] = Report("h", HistoryEvaluation({"target": evaluation}, evaluation, ())).verdict("target")
    assert verdict["bad"].startswith("Worse than random here")
    assert verdict["good"].startswith("Better than random and than always taking the sources that helped elsewhere")
    assert "over 12 targets)" in verdict["good"]


def test_the_columns_of_a_measure_take_one_line(files):
    many = tuple(c.model_copy(update={"measure": "my_measure", "group": "attribution"}) for c in MINE)
    history = History("many.db")
    history.describe(many)
    history.append(past(4, schema=many).observations())
    done = run("evaluate", "many.db", "--jobs", 1)
    assert done.exit_code == 0, done.output
    assert "my_measure: mean rank of its 3 columns" in done.stdout
    assert "my_ansat_b_0.20" not in done.stdout
    assert "3 single columns of measures are in evaluation.json" in done.stdout


def test_a_report_goes_to_a_folder_and_keeps_no_password(files):
    (files / "taken").write_text("")
    done = run("evaluate", "history.db", "--out", "taken")
    assert done.exit_code == 2
    assert "--out taken: is a file" in done.stderr
    done = run("evaluate", "history.db", "--jobs", 0)
    assert done.exit_code == 2
    assert "jobs is 0" in done.stderr
    from transfercast.predictor.data import transfers_of

    some = past(3)
    observed = transfers_of(some.frames(), some.schema())
    report = Report("postgresql://me:s3cret@db/x", evaluate_history(observed))
    report.save(files / "report")
    for name in ("report.html", "evaluation.json"):
        assert "s3cret" not in (files / "report" / name).read_text()


def test_bounds_that_are_the_metric_s_whole_range_are_left_out_and_short_hours_are_told_in_seconds(files):
    table = FeatureTable.load("features.parquet")
    facts = {"t0": table.provenance.targets["t0"].model_copy(update={"train_rows": 60, "seconds_per_row_epoch": 0.025})}
    about = table.provenance.model_copy(update={"targets": facts})
    FeatureTable(table.frame, table.schema, about).save("features.parquet")
    assert run("train-meta", "--history", "history.db", "--out", "meta", "--minutes", 0, "--margin", 100).exit_code == 0
    done = run("plan", "features.parquet", "--trials", 2, "--predictor", "meta", "--coverage", 0.9999, "--bounds", "grouped")
    assert done.exit_code == 0, done.output
    header = next(line for line in done.stdout.splitlines() if line.startswith("rank"))
    assert "best" in header.split()
    assert "P(better)" in header
    assert "bounds" not in header
    assert "18 s" in done.stdout
    assert "score units, as a mean over 1 target." in done.stdout
    assert np.isfinite(json.loads((files / "plan.json").read_text())["regret_left"])
