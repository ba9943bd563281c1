"""Self-contained HTML pages of one design: a summary sentence, a chart, a table, and the meaning of its columns.

Pages have no script, fetch nothing, escape every value, and have a light and a dark style.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jinja2 import Environment
from markupsafe import Markup

from transfercast.core.version import VERSION
from transfercast.report.glossary import explained

STYLE = """
:root { color-scheme: light dark;
  --back: #fff; --ink: #1b2430; --soft: #5a6675; --line: #dde2e8; --mark: #f3f6f9; --accent: #2f6fb7 }
@media (prefers-color-scheme: dark) {
  :root { --back: #11161c; --ink: #e6ebf1; --soft: #9aa7b5; --line: #2f3945; --mark: #1a212a; --accent: #6ea8e6 } }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 68em; margin: 2em auto; padding: 0 1em; color: var(--ink);
  background: var(--back) }
h1 { font-size: 1.5em; margin-bottom: .3em } h2 { font-size: 1.2em; margin-top: 1.6em } a { color: var(--accent) }
.sum { padding: .7em 1em; background: var(--mark); border-left: 4px solid var(--accent); font-size: 1.05em }
.wide { overflow-x: auto } table { border-collapse: collapse; margin: .6em 0; font-variant-numeric: tabular-nums }
th, td { padding: .3em .8em; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap }
th:first-child, td:first-child, td.text, th.text { text-align: left } th abbr { text-decoration: none; cursor: help }
figure { margin: .6em 0; width: fit-content; max-width: 100%; box-sizing: border-box;
  background: #fff; border-radius: 6px; padding: .4em }
svg { max-width: 100%; height: auto; display: block }
.soft, dd, footer { color: var(--soft) }
dt { font-weight: 600 } dd { margin: 0 0 .4em 1em } footer { margin-top: 2em; font-size: .85em }
"""

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title><style>{{ style }}</style></head><body>
<h1>{{ title }}</h1>
<p class="sum">{{ summary }}</p>
{% for section in sections %}{% if section.title %}<h2>{{ section.title }}</h2>{% endif %}
{% if section.summary %}<p class="sum">{{ section.summary }}</p>{% endif %}
{% for figure in section.figures %}<figure>{{ figure }}</figure>
{% endfor %}{% if section.rows %}<p class="soft"><a href="#columns">What the columns mean</a></p>
<div class="wide"><table><thead><tr>{% for name in section.rows[0] %}<th{{ section.rows[0][name] | side }}>
{%- if name in columns %}<abbr title="{{ columns[name] }}">{{ name }}</abbr>{% else %}{{ name }}{% endif %}</th>{% endfor %}
</tr></thead>
<tbody>{% for row in section.rows %}<tr>{% for value in row.values() %}
<td{{ value | side }}>{{ value | cell }}</td>{% endfor %}</tr>
{% endfor %}</tbody></table></div>{% endif %}
{% for note in section.notes %}<p>{{ note }}</p>
{% endfor %}{% endfor %}
{% if columns %}<h2 id="columns">What the columns mean</h2>
<dl>{% for name, meaning in columns.items() %}<dt>{{ name }}</dt><dd>{{ meaning }}</dd>{% endfor %}</dl>{% endif %}
<footer>transfercast {{ version }}</footer>
</body></html>
"""


@dataclass(frozen=True)
class Section:
    """A part of a page.

    Attributes:
        title: its heading; empty for none.
        summary: its summary sentence; empty for none.
        figures: markup made by this package (SVG, or escaped text).
        rows: rows of its table, with the same keys.
        notes: sentences below the table.
    """

    title: str = ""
    summary: str = ""
    figures: Sequence[str] = ()
    rows: Sequence[dict[str, Any]] = ()
    notes: Sequence[str] = field(default=())


def page(title: str, summary: str, sections: Sequence[Section]) -> str:
    """A whole page.

    Args:
        title: its heading.
        summary: one sentence on what it shows.
        sections: in their order.
    """
    marked = [
        Section(one.title, one.summary, [Markup(figure) for figure in one.figures], one.rows, one.notes) for one in sections
    ]
    columns = explained(dict.fromkeys(name for one in sections if one.rows for name in one.rows[0]))
    environment = Environment(autoescape=True)
    environment.filters |= {"cell": _cell, "side": _side}
    return environment.from_string(_PAGE).render(
        title=title, summary=summary, sections=marked, columns=columns, style=Markup(STYLE), version=VERSION
    )


def retraining_page(report: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """The page of a retraining: its verdict, the best score so far against hours, and its quality beside the champion's.

    Args:
        report: result of `RetrainingReport.as_json`.
        rows: result of `RetrainingReport.rows`; none with one target.
    """
    from transfercast.report.figures import hours_figure, inline

    summary = (
        f"{'Promoted' if report['promoted'] else 'Not promoted'}: {report['reason']}. Learned from {report['observations']} "
        f"observed transfers to {report['targets']} targets, from {report['choice']['features']} features."
    )
    curves = _curves(report)
    figures = [inline(hours_figure(np.linspace(0, 1, len(next(iter(curves.values())))), curves, 0.0))] if curves else []
    notes = ["Every figure is for targets held out whole."] if rows else ["With one target nothing can be held out."]
    return page(f"Predictor {report['version']}", summary, [Section(figures=figures, rows=rows, notes=notes)])


def _curves(report: dict[str, Any]) -> dict[str, np.ndarray]:
    """The best score so far in the challenger's order, the champion's, the oracle's and random order."""
    held = {"challenger": next(iter(report["feature_sets"].values()), None), "champion": report["champion"]}
    curves = {}
    for name, found in held.items():
        for order in (found or {}).get("orders", ()):
            label = name if order["order"] == "predictor" else order["order"]
            if order["order"] == "predictor" or (name == "challenger" and order["order"] in ("oracle", "random order")):
                curves[label] = np.asarray(order["curve"])
    return curves


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3f}" if math.isfinite(value) else "-"
    return str(value)


_FIGURE = re.compile(r"[-+]?[\d.,]+ ?(%|s|min|h)")


def _side(value: Any) -> str:
    return Markup(' class="text"') if isinstance(value, str) and not _FIGURE.fullmatch(value) else ""
