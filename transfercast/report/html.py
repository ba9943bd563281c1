"""Self-contained HTML pages: no script, nothing fetched, every value escaped."""

from __future__ import annotations

import math
from typing import Any

from jinja2 import Environment

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>transfercast {{ version }}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: 1em 0 } th, td { padding: .3em .8em; border-bottom: 1px solid #ddd }
td + td, th + th { text-align: right } .verdict { padding: .6em 1em; background: #f3f6f9; border-left: 4px solid #4078c0 }
</style>
<h1>Predictor {{ version }}</h1>
<p>Fitted on {{ observations }} observed transfers to {{ targets }} targets. Every figure is for targets held out whole.</p>
<p class="verdict">{{ "Promoted" if promoted else "Not promoted" }}: {{ reason }}.</p>
<table><tr>{% for name in rows[0] %}<th>{{ name }}</th>{% endfor %}</tr>
{% for row in rows %}<tr>{% for value in row.values() %}<td>{{ value | cell }}</td>{% endfor %}</tr>
{% endfor %}</table>
<p>RMSE in the metric's units; regret@k in percent of the best score; coverage of 90 % bounds.</p>
</html>
"""


def retraining_page(report: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """The page of a retraining: its verdict, and the quality of each feature set beside the champion's."""
    environment = Environment(autoescape=True)
    environment.filters["cell"] = _cell
    return environment.from_string(_PAGE).render(**report, rows=rows)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "-" if math.isnan(value) else f"{value:.3f}"
    return str(value)
