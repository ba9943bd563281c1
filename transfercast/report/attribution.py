"""Self-contained HTML pages of what drives a decision: a text's words, and the terms that two models share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment

_STYLE = """<style>
body { font: 16px/1.6 system-ui, sans-serif; max-width: 70em; margin: 2em auto; padding: 0 1em; color: #222 }
.text { font-size: 1.25em; line-height: 2.2 } .text span { padding: .2em .25em; border-radius: .2em }
table { border-collapse: collapse; margin: 1em 0 } th, td { padding: .2em .7em; text-align: right }
th:first-child, td:first-child { text-align: left } th { border-bottom: 2px solid #ddd }
.bar { display: inline-block; height: .8em; background: hsl(150 60% 45%) } .wide { overflow-x: auto }
.note { padding: .6em 1em; background: #f3f6f9; border-left: 4px solid #4078c0 }
</style>"""

_WORDS = (
    """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{{ decision }}</title>
"""
    + _STYLE
    + """
<h1>{{ decision }}</h1>
<p>{{ model }}: probability {{ "%.3f" | format(probability) }}; of a blank text {{ "%.3f" | format(blank) }}.</p>
<p class="text">{% for word in words %}<span style="background: {{ (word.activity / scale) | colour }}"
 title="{{ "%+.3f" | format(word.activity) }}">{{ word.word }}</span> {% endfor %}</p>
<p>Green words move the model towards the decision, red ones away from it. A word's activity is the mean over layers of its
conductance, the part of the change of probability that goes through the word. Full colour is {{ "%.3f" | format(scale) }}.</p>
{% if note %}<p class="note">{{ note }}</p>{% endif %}
<div class="wide"><table><tr><th>word</th><th>activity</th>
{% for _ in words[0].layers %}<th>layer {{ loop.index }}</th>{% endfor %}</tr>
{% for word in words %}<tr><td>{{ word.word }}</td><td>{{ "%+.3f" | format(word.activity) }}</td>
{% for value in word.layers %}<td style="background: {{ (value / scale) | colour }}">{{ "%+.3f" | format(value) }}</td>
{% endfor %}</tr>
{% endfor %}</table></div>
</html>
"""
)

_PAIR = (
    """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{{ first }} and {{ second }}</title>
"""
    + _STYLE
    + """
<h1>What drives both {{ first }} and {{ second }}</h1>
<p>{{ terms | length }} terms have an activity of at least {{ threshold }} in both models, on {{ documents }} positive documents
of the two tasks. A term's weight is the sum, over the places where it is active in both, of the smaller activity.</p>
<table><tr><th>term</th><th>weight</th><th>documents</th><th></th></tr>
{% for term in terms %}<tr><td>{{ term.term }}</td><td>{{ "%.2f" | format(term.weight) }}</td><td>{{ term.documents }}</td>
<td style="text-align: left"><span class="bar" style="width: {{ term.weight | length_of(terms[0].weight) }}em"></span></td></tr>
{% endfor %}</table>
</html>
"""
)


PALEST = 0.05
"""The lowest threshold of ANSAT: where no word reaches it, none has full colour."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word of an explained text.

    Attributes:
        word: as it is written.
        activity: in units of probability.
        layers: conductance in each layer, in units of probability.
    """

    word: str
    activity: float
    layers: tuple[float, ...]


def fullest(words: Sequence[Word]) -> float:
    """The activity that has full colour: the largest of the text."""
    return max([PALEST, *(abs(word.activity) for word in words)])


def colour(value: float) -> str:
    """Of a value as a share of the fullest: green above 0, red below, the paler the nearer to it.

    >>> colour(0.5), colour(-1.0)
    ('hsl(150 60% 45% / 0.50)', 'hsl(0 60% 45% / 1.00)')
    """
    return f"hsl({150 if value >= 0 else 0} 60% 45% / {min(abs(value), 1):.2f})"


def words_page(words: Sequence[Word], *, decision: str, model: str, probability: float, blank: float, note: str) -> str:
    """The page of one explained text.

    Args:
        words: at least one.
        decision: what was explained.
        model: whose decision it is.
        probability, blank: of the decision, for the text and for a blank one.
        note: a caution, or nothing.
    """
    return _rendered(
        _WORDS, words=words, scale=fullest(words), decision=decision, model=model, probability=probability, blank=blank,
        note=note,
    )  # fmt: skip


def pair_page(terms: Sequence[Any], *, first: str, second: str, threshold: float, documents: int) -> str:
    """The page of the terms that two sources share.

    Args:
        terms: each with term, weight and documents; the heaviest first.
        first, second: names of the sources.
        threshold: activity that both reach, in units of probability.
        documents: on how many it rests.
    """
    return _rendered(_PAIR, terms=terms, first=first, second=second, threshold=threshold, documents=documents)


def _rendered(page: str, **values: Any) -> str:
    environment = Environment(autoescape=True)
    environment.filters |= {"colour": colour, "length_of": lambda weight, most: round(20 * weight / most, 2)}
    return environment.from_string(page).render(**values)
