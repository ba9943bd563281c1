"""Reports share one design: a sentence that sums up, a chart, a table whose columns are explained."""

from __future__ import annotations

import re

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.builders import SCHEMA, observed, past, table_of
from transfercast.cli import app
from transfercast.core.plan import Budget
from transfercast.core.records import ALONE
from transfercast.evaluation.history import evaluate_history
from transfercast.planning.order import plan
from transfercast.predictor.predictor import Predictor
from transfercast.report.attribution import Word, words_page
from transfercast.report.evaluation import Report
from transfercast.report.html import Section, page, retraining_page
from transfercast.report.plan import best_in_hand, plan_page
from transfercast.retraining.retrain import train_meta


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    report = train_meta(past(8), folder / "meta", minutes=0)
    predictor, table = Predictor.load(folder / "meta"), table_of(past(), "t0")
    return report, predictor.explained(plan(predictor.predict(table), table, Budget(trials=3)), table), folder


@pytest.fixture(scope="module")
def pages(made):
    report, planned, folder = made
    Report("history", evaluate_history(observed(8))).save(folder / "evaluation")
    return {
        "retraining": retraining_page(report.as_json(), report.rows()),
        "evaluation": (folder / "evaluation" / "report.html").read_text(encoding="utf-8"),
        "plan": plan_page(planned, "4 trainings."),
        "words": words_page([Word("a", 0.2, (0.2,))], decision="d", model="m", probability=0.9, blank=0.1, note=""),
    }


@pytest.mark.parametrize("name", ["retraining", "evaluation", "plan", "words"])
def test_a_page_sums_up_draws_lists_and_explains_in_this_order(pages, name):
    text = pages[name]
    drawing = '<p class="text">' if name == "words" else "<svg"
    places = [text.index(part) for part in ('<p class="sum">', drawing, "<table", 'id="columns"')]
    assert places == sorted(places)
    assert 'href="#columns"' in text
    assert "<script" not in text


@pytest.mark.parametrize("name", ["retraining", "evaluation", "plan"])
def test_every_column_is_explained(pages, name):
    heads = re.findall(r"<th[^>]*>(.*?)</th>", pages[name])
    assert heads
    assert [head for head in heads if "<abbr title=" not in head] == []


def test_a_measure_of_many_columns_is_one_line(tmp_path):
    several = [
        column.model_copy(update={"name": f"ansat_b_0.{n}0", "measure": "ansat"}) for n, column in enumerate(SCHEMA[2:], 2)
    ]
    Report("history", evaluate_history(observed(8, schema=(*SCHEMA[:2], *several)))).save(tmp_path)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "ansat: mean rank of its 2 columns</td>" in text
    assert "ansat_b_0" not in text


def test_nothing_from_outside_becomes_markup():
    evil = "<b onclick='x'>"
    text = page(evil, evil, [Section(evil, evil, (), [{evil: evil}], [evil])])
    assert evil not in text
    assert "&lt;b onclick=" in text


def test_the_best_in_hand_is_a_mean_over_targets_and_never_falls(made):
    _, planned, _ = made
    best, stop = best_in_hand(planned)
    assert best.tolist() == [step.expected_best for step in planned.steps]  # of one target
    assert np.all(np.diff(best) >= 0)
    assert planned.steps[stop - 1].position == planned.stop_after
    assert planned.steps[0].source == ALONE


@pytest.mark.usefixtures("untaught")
def test_plan_writes_its_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table_of(past(), "t0").save("features.parquet")
    done = CliRunner().invoke(app, ["plan", "features.parquet", "--trials", "2", "--html", "plan.html"])
    assert done.exit_code == 0, done.output
    text = (tmp_path / "plan.html").read_text(encoding="utf-8")
    assert "Their scores cannot be forecast without history" in text
    assert CliRunner().invoke(app, ["plan", "features.parquet", "--trials", "2", "--html", "."]).exit_code == 2
