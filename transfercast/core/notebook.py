"""How objects look in a notebook: a sentence and a table, or a text with coloured words. Everything is escaped."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

MOST_ROWS = 20
"""Largest number of rows of a table that are shown; a line gives the number of those left out."""


def table_html(summary: str, rows: Sequence[dict[str, Any]], total: int | None = None) -> str:
    """A sentence and a table.

    Args:
        summary: what the rows are.
        rows: with the same keys; the first MOST_ROWS are shown.
        total: number of all rows, if `rows` are only the first of them.

    >>> table_html("Two & more", [{"a": 0.5}])
    '<p>Two &amp; more</p><table><thead><tr><th>a</th></tr></thead><tbody><tr><td>0.500</td></tr></tbody></table>'
    """
    total = len(rows) if total is None else total
    shown = rows[:MOST_ROWS]
    head = "".join(f"<th>{escape(str(name))}</th>" for name in (rows[0] if rows else ()))
    body = "".join(f"<tr>{''.join(f'<td>{escape(_cell(value))}</td>' for value in row.values())}</tr>" for row in shown)
    more = f"<p>{total - len(shown)} more rows.</p>" if total > len(shown) else ""
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if rows else ""
    return f"<p>{escape(summary)}</p>{table}{more}"


def words_html(summary: str, words: Sequence[str], activity: Sequence[float], palest: float) -> str:
    """A sentence, and words on green (for the decision) or red (against it); weaker activities are paler.

    Args:
        summary: what was explained.
        words, activity: of the text.
        palest: smallest activity that gets full colour; the scale ends at the largest activity if that is larger.
    """
    scale = max([palest, *map(abs, activity)])
    spans = (
        f'<span style="background: {colour(value / scale)}; padding: .15em .25em" title="{value:+.3f}">{escape(word)}</span>'
        for word, value in zip(words, activity, strict=True)
    )
    return f'<p>{escape(summary)}</p><p style="line-height: 2">{" ".join(spans)}</p>'


def colour(value: float) -> str:
    """Of a value as a share of the fullest: green above 0, red below, the paler the nearer to it.

    >>> colour(0.5), colour(-1.0)
    ('hsl(150 60% 45% / 0.50)', 'hsl(0 60% 45% / 1.00)')
    """
    return f"hsl({150 if value >= 0 else 0} 60% 45% / {min(abs(value), 1):.2f})"


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
