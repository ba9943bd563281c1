"""What objects look like in a notebook: a sentence, a table, and nothing from outside as markup."""

from __future__ import annotations

import numpy as np
import pytest

from tests.builders import past, table_of
from transfercast.attribution.conductance import Conductance
from transfercast.core.notebook import MOST_ROWS, table_html, words_html
from transfercast.core.plan import Budget
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


def test_tables_forecasts_and_plans_show_what_they_hold(fitted):
    table = table_of(past(), "t0")
    forecast = fitted.predict(table)
    planned = plan(forecast, table, Budget(trials=2))
    assert "FeatureTable of 5 candidates, 1 targets, 4 columns" in table._repr_html_()
    assert "<th>logme</th>" in table._repr_html_()
    rows = forecast._repr_html_().split("<tr>")[2:]
    assert f"<td>{max(forecast.score):.3f}</td>" in rows[0]  # the best first
    assert "2 trials over all targets, out of 5 candidates" in planned._repr_html_()
    assert planned._repr_html_().count("<tr>") == 1 + len(planned.steps)


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
