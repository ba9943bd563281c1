"""What objects look like in a notebook: a sentence, a table, and nothing from outside as markup."""

from __future__ import annotations

import re
from html import unescape

import numpy as np
import pytest

from tests.builders import observed, past, table_of
from tests.execution.test_result import best, training
from transfercast.attribution.conductance import Conductance
from transfercast.core.notebook import MOST_ROWS, table_html, words_html
from transfercast.core.plan import Budget
from transfercast.core.records import ALONE
from transfercast.evaluation.evaluate import evaluate
from transfercast.evaluation.holdout import held_out
from transfercast.execution.result import SearchResult
from transfercast.planning.order import plan
from transfercast.predictor.predictor import Predictor

EVIL = "<b onclick=x>"


def test_a_table_shows_its_first_rows_and_how_many_are_left_out():
    text = table_html("s", [{"a": n} for n in range(MOST_ROWS + 3)])
    assert text.count("<tr>") == MOST_ROWS + 1
    assert "3 more rows" in text


def test_nothing_from_outside_becomes_markup():
    assert EVIL not in table_html(EVIL, [{EVIL: EVIL}]) + words_html(EVIL, [EVIL], [0.1], 0.05)


@pytest.fixture(scope="module")
def fitted():
    return Predictor.fit(past())


@pytest.fixture(scope="module")
def table():
    return table_of(past(), "t0")


@pytest.fixture(scope="module")
def forecast(fitted, table):
    return fitted.predict(table)


def body(thing):
    """What it shows of itself: the sentence, and the cells of each row, the head first."""
    text = thing._repr_html_()
    rows = [[unescape(cell) for cell in re.findall(r"<t[hd]>(.*?)</t[hd]>", row)] for row in text.split("<tr>")[1:]]
    return unescape(re.findall("<p>(.*?)</p>", text)[0]), rows


def test_a_table_of_features_shows_its_values(table):
    sentence, (head, *rows) = body(table)
    assert "FeatureTable of 5 candidates, 1 targets, 4 columns" in sentence
    assert head[:2] == ["source", "target"]
    shown = [float(row[head.index("logme")]) for row in rows]
    assert shown == pytest.approx(table.frame.logme.to_numpy(), abs=5e-4)


def test_a_forecast_shows_the_best_source_of_each_target_first(forecast):
    sentence, (head, *rows) = body(forecast)
    assert forecast.basis in sentence
    shown = [float(row[head.index("score")]) for row in rows]
    assert shown == pytest.approx(sorted(forecast.score, reverse=True), abs=5e-4)


def test_a_plan_shows_its_steps_in_order(forecast, table):
    planned = plan(forecast, table, Budget(trials=2))
    sentence, (head, *rows) = body(planned)
    assert "2 trials over all targets, out of 5 candidates" in sentence
    assert [row[head.index("source")] for row in rows] == [step.source for step in planned.steps]


def test_the_result_of_a_search_shows_its_trainings_under_its_headline():
    trainings = (training(0, ALONE, "a", 0.5), training(1, EVIL, "a", 0.625, 0.125))
    result = SearchResult(trainings, {"a": best(EVIL, "a", 0.625, 0.6)}, {"a": 0.5}, {"a": 0.5})
    sentence, (head, *rows) = body(result)
    assert sentence == result.headline()
    assert [row[head.index("score")] for row in rows] == ["0.500", "0.625"]
    assert [row[head.index("gain")] for row in rows] == ["-", "0.125"]
    assert EVIL not in result._repr_html_()


def test_an_evaluation_shows_its_orders_the_best_first():
    evaluation = evaluate(held_out(observed(3), None))
    sentence, (head, *rows) = body(evaluation)
    assert "Each target held out: 3 targets, 15 transfers" in sentence
    ndcg = [float(row[head.index("NDCG")]) for row in rows]
    assert ndcg == sorted(ndcg, reverse=True)
    assert {row[0] for row in rows} == {order.name for order in evaluation.orders}


def test_words_are_coloured_by_their_activity():
    found = Conductance(
        words=("good", EVIL), layers=np.array([[0.4, -0.2]]), completeness=np.zeros(1), error=np.zeros(1),
        within_tolerance=True,
        evaluations=9, probability=0.9, change=0.2, truncated=False, saturated=False,
    )  # fmt: skip
    text = found._repr_html_()
    assert "Probability 0.900, of a blank text 0.700" in text
    assert "hsl(150 60% 45% / 1.00)" in text
    assert "hsl(0 60% 45% / 0.50)" in text
    assert EVIL not in text
