"""Self-contained HTML pages: no script, nothing fetched, every value escaped."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

_HEAD = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{{ title }}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 64em; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: 1em 0 } th, td { padding: .3em .8em; border-bottom: 1px solid #ddd }
td + td, th + th { text-align: right } .verdict { padding: .6em 1em; background: #f3f6f9; border-left: 4px solid #4078c0 }
svg { max-width: 100%; height: auto }
</style>
<h1>{{ title }}</h1>
"""

_TABLE = """{% macro table(rows) %}<table><tr>{% for name in rows[0] %}<th>{{ name }}</th>{% endfor %}</tr>
{% for row in rows %}<tr>{% for value in row.values() %}<td>{{ value | cell }}</td>{% endfor %}</tr>
{% endfor %}</table>{% endmacro %}"""

_RETRAINING = """
<p>Learned from {{ observations }} observed transfers to {{ targets }} targets, from {{ choice.features }} features. Every
figure is for targets held out whole.</p>
<p class="verdict">{{ "Promoted" if promoted else "Not promoted" }}: {{ reason }}.</p>
{% if rows %}{{ table(rows) }}{% endif %}
<p>RMSE in the metric's units; regret@k in percent of the best score; coverage of 90 % bounds; time share: of the hours of
trying all, until within 1 % of the best.</p>
</html>
"""

_EVALUATION = """
<p>{{ lead }}</p>
{% for section in sections %}<h2>{{ section.title }}</h2>
{% for text in section.texts %}<p>{{ text }}</p>{% endfor %}
{{ table(section.rows) }}
{% for figure in section.figures %}{{ figure }}{% endfor %}
{% endfor %}
<p>NDCG with relevance n minus the true rank and gain 2^relevance - 1; regret@k in percent of the best score; time share: of
the hours of trying all, until within 1 % of the best. Intervals are 95 %, by bootstraps over targets (BCa), and there is none
over fewer than ten targets.</p>
</html>
"""


def retraining_page(report: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """The page of a retraining: its verdict, and the quality of each feature set beside the champion's."""
    return _page(_RETRAINING, title=f"Predictor {report['version']}", rows=rows, **report)


def evaluation_page(lead: str, sections: Sequence[dict[str, Any]]) -> str:
    """The page of an evaluation.

    Args:
        lead: what was evaluated.
        sections: title, texts, rows and figures (SVG text that we made ourselves) of each way of holding out.
    """
    marked = [{**section, "figures": [Markup(figure) for figure in section["figures"]]} for section in sections]
    return _page(_EVALUATION, title="How good the forecasts are", lead=lead, sections=marked)


def _page(body: str, **values: Any) -> str:
    environment = Environment(autoescape=True)
    environment.filters["cell"] = _cell
    return environment.from_string(_TABLE + _HEAD + body).render(**values)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}" if math.isfinite(value) else "-"
    return str(value)
