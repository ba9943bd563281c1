"""Self-contained HTML pages of the words that drive a decision, and of the terms that two models share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from transfercast.core.notebook import colour
from transfercast.core.version import VERSION
from transfercast.report.glossary import explained
from transfercast.report.html import STYLE

_MORE = """
.text { font-size: 1.25em; line-height: 2.2 } .text span { padding: .2em .25em; border-radius: .2em }
.bar { display: inline-block; height: .8em; background: hsl(150 60% 45%); border-radius: 2px }
"""

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title><style>{{ style }}</style></head><body>
<h1>{{ title }}</h1>
<p class="sum">{{ summary }}</p>
"""

_FOOT = """
<h2 id="columns">What the columns mean</h2>
<dl>{% for name, meaning in columns.items() %}<dt>{{ name }}</dt><dd>{{ meaning }}</dd>{% endfor %}</dl>
<footer>transfercast {{ version }}</footer>
</body></html>
"""

_LINK = '<p class="soft"><a href="#columns">What the columns mean</a></p>'

_WORDS = f"""{_HEAD}
<p class="text">{{% for word in words %}}<span style="background: {{{{ (word.activity / scale) | colour }}}}"
 title="{{{{ "%+.3f" | format(word.activity) }}}}">{{{{ word.word }}}}</span> {{% endfor %}}</p>
<p class="soft">Green words move the model towards the decision, red ones away from it; full colour is
{{{{ "%.3f" | format(scale) }}}}.</p>
{{% if note %}}<p class="sum">{{{{ note }}}}</p>{{% endif %}}
{_LINK}
<div class="wide"><table><tr><th>word</th><th>activity</th>
{{% for _ in words[0].layers %}}<th>layer {{{{ loop.index }}}}</th>{{% endfor %}}</tr>
{{% for word in words %}}<tr><td>{{{{ word.word }}}}</td><td>{{{{ "%+.3f" | format(word.activity) }}}}</td>
{{% for value in word.layers %}}<td style="background: {{{{ (value / scale) | colour }}}}">
{{{{ "%+.3f" | format(value) }}}}</td>
{{% endfor %}}</tr>
{{% endfor %}}</table></div>
{_FOOT}"""

_PAIR = f"""{_HEAD}
{_LINK}
<div class="wide"><table><tr><th>term</th><th class="text">weight as a bar</th><th>weight</th><th>documents</th></tr>
{{% for term in terms %}}<tr><td>{{{{ term.term }}}}</td>
<td class="text"><span class="bar" style="width: {{{{ term.weight | length_of(terms[0].weight) }}}}em"></span></td>
<td>{{{{ "%.2f" | format(term.weight) }}}}</td><td>{{{{ term.documents }}}}</td></tr>
{{% endfor %}}</table></div>
{_FOOT}"""


PALEST = 0.05
"""Smallest activity that is shown in full colour: the lowest threshold of ANSAT."""


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
    """The activity that has full colour: the largest of the text, and at least the constant above."""
    return max([PALEST, *(abs(word.activity) for word in words)])


def words_page(words: Sequence[Word], *, decision: str, model: str, probability: float, blank: float, note: str) -> str:
    """The page of one explained text.

    Args:
        words: at least one.
        decision: the decision that was explained.
        model: name of the model.
        probability, blank: of the decision, for the text and for a blank one.
        note: a warning, or empty.
    """
    strongest = max(words, key=lambda word: abs(word.activity)).word
    moved = f"a blank text {blank:.3f}; {strongest} moves it most."
    summary = f"{model} gives {decision} a probability of {probability:.3f}, and {moved}"
    return _rendered(_WORDS, decision, summary, ("word", "activity"), words=words, scale=fullest(words), note=note)


def pair_page(terms: Sequence[Any], *, first: str, second: str, threshold: float, documents: int) -> str:
    """The page of the terms that two sources share.

    Args:
        terms: each with term, weight and documents; the heaviest first.
        first, second: names of the sources.
        threshold: activity that both reach, in units of probability.
        documents: number of documents.
    """
    summary = (
        f"{len(terms)} terms have an activity of at least {threshold} in both models, on {documents} positive documents of the "
        "two tasks."
    )
    title = f"What drives both {first} and {second}"
    return _rendered(_PAIR, title, summary, ("term", "weight", "documents"), terms=terms)


def _rendered(template: str, title: str, summary: str, columns: Sequence[str], **values: Any) -> str:
    environment = Environment(autoescape=True)
    environment.filters |= {"colour": colour, "length_of": lambda weight, most: round(20 * weight / most, 2)}
    return environment.from_string(template).render(
        title=title, summary=summary, columns=explained(columns), style=Markup(STYLE + _MORE), version=VERSION, **values
    )
