"""The command `transfercast explain`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from transfercast.cli import app
from transfercast.cli.output import AsJson, Device, in_one_line, say, show, width_of
from transfercast.core.errors import InputError
from transfercast.core.progress import waiting

if TYPE_CHECKING:
    from transfercast.attribution.explain import Explanation
    from transfercast.report.attribution import Word

FAINTEST = 0.1
"""Words below this share of the largest activity are not coloured."""


@app.command()
def explain(
    what: Annotated[
        str, typer.Argument(help="A source of the pool, a model's folder or hub name, or two sources as FIRST:SECOND.")
    ],
    text: Annotated[str | None, typer.Argument(help="The text to explain; needed for a model.")] = None,
    text_pair: Annotated[str | None, typer.Option(help="The second text, for a model of pairs of texts.")] = None,
    label: Annotated[
        str | None, typer.Option(help="Class to explain, by name or number; the default is described above.")
    ] = None,
    pool: Annotated[Path, typer.Option(help="Folder of the pool in which sources are looked up.")] = Path("pool"),
    documents: Annotated[int, typer.Option(min=1, help="For two sources: largest number of positive documents of each.")] = 64,
    threshold: Annotated[
        float, typer.Option(help="For two sources: activity that a term must reach in both, in units of probability.")
    ] = 0.05,
    tolerance: Annotated[
        float, typer.Option(help="Largest error of the attribution, relative to the change of probability.")
    ] = 0.02,
    tokens: Annotated[int, typer.Option(min=3, help="Longer texts are cut at this number of tokens.")] = 256,
    html: Annotated[Path | None, typer.Option(help="Also write a self-contained page to this file.")] = None,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Show which words drive a model's decision on a text, or which terms drive the decisions of both of two sources.

    By default the explained class is class 1 of two classes, or the most probable one of several; a token classifier is
    explained for the words that it tags. A name is looked up in the pool first, then as a folder, then on the hub.

    Example: transfercast explain gratitude "Thank you so much!" --pool pool --html why.html

    Example: transfercast explain gratitude:admiration --pool pool
    """
    if not tolerance > 0:
        raise InputError(f"--tolerance {tolerance}: give more than 0.")
    if not threshold > 0:
        raise InputError(f"--threshold {threshold}: give more than 0.")
    if html is not None and html.is_dir():
        raise InputError(f"--html {html}: is a folder; name a file to write.")
    if text is not None:
        _words(what, text, text_pair, pool, label, tolerance, tokens, html, device, as_json)
    elif ":" in what:
        _pair(what, pool, documents, threshold, tolerance, html, device, as_json)
    else:
        raise InputError(f"{what!r}: give a text to explain, or name two sources as FIRST:SECOND.")


def _words(
    what: str, text: str, text_pair: str | None, pool: Path, label: str | None, tolerance: float, tokens: int,
    html: Path | None, device: str | None, as_json: bool,
) -> None:  # fmt: skip
    checkpoint, names = _model(what, pool)

    with waiting("loading libraries"):
        from transfercast.attribution.explain import explain as explained
    from transfercast.core.files import write_text
    from transfercast.report.attribution import Word, words_page

    explanation = explained(
        checkpoint, text,
        text_pair=text_pair, names=names, label=label, tolerance=tolerance, max_tokens=tokens, device=device,
    )  # fmt: skip
    conductance = explanation.conductance
    words = [
        Word(word, float(activity), tuple(map(float, of_layers)))
        for word, activity, of_layers in zip(conductance.words, conductance.activity(), conductance.layers.T, strict=True)
    ]
    notes = " ".join(_notes(explanation))
    blank = conductance.probability - conductance.change
    if as_json:
        show(({"word": word.word, "activity": word.activity, "layers": word.layers} for word in words), True)
    else:
        _coloured(words)
    say(
        f"\n{explanation.decision}: probability {conductance.probability:.3f}, of a blank text {blank:.3f}. "
        f"Error at most {conductance.error.max():.4f} after {conductance.evaluations} evaluations. {notes}".rstrip(),
        as_json,
    )
    if html is not None:
        page = words_page(
            words, decision=explanation.decision, model=what, probability=conductance.probability, blank=blank, note=notes
        )
        write_text(html, page)
        say(f"In {html}, layer by layer.", as_json)


def _model(what: str, pool: Path) -> tuple[str, tuple[str, ...]]:
    """Place and class names of the model: those of a source of the pool, or else `what` itself and no names."""
    name = Path(what).name
    if name != what or not (pool / "sources" / name).is_dir():
        return what, ()
    from transfercast.attribution.explain import class_names
    from transfercast.sources.pool import SourcePool

    source = SourcePool.load(pool).get(what)
    return (what, ()) if source is None else (str(source.checkpoint), class_names(source))


def _notes(explanation: Explanation) -> Iterator[str]:
    """Reasons for which the numbers may not be reliable."""
    conductance = explanation.conductance
    if conductance.truncated:
        yield f"The text was cut at {explanation.max_tokens} tokens; later words have no activity."
    if not conductance.within_tolerance:
        yield "The error misses the tolerance: do not rely on small differences."
    if conductance.saturated:
        yield "The probability rounds to 1 with and without the words, so no word has an activity."
        return
    dead = [str(number) for number, layer in enumerate(conductance.layers, 1) if not layer.any()]
    if 0 < len(dead) < len(conductance.layers):
        yield f"Words have no conductance in layer {', '.join(dead)}, which is left out of the activities."


def _coloured(words: list[Word]) -> None:
    """Print the words on green or red, or followed by their activities where there are no colours."""
    from rich.console import Console
    from rich.text import Text

    from transfercast.report.attribution import fullest

    console = Console(width=width_of(sys.stdout) or 10_000)
    line, scale = Text(), fullest(words)
    for word in words:
        share = abs(word.activity) / scale
        strength = int(255 - 195 * share)
        background = f"rgb({strength},255,{strength})" if word.activity >= 0 else f"rgb(255,{strength},{strength})"
        line.append(in_one_line(word.word), style=f"black on {background}" if share >= FAINTEST else "")
        line.append("" if console.color_system else f"({word.activity:+.3f})")
        line.append(" ")
    console.print(line)


def _pair(
    names: str, pool: Path, documents: int, threshold: float, tolerance: float, html: Path | None, device: str | None,
    as_json: bool,
) -> None:  # fmt: skip
    with waiting("loading libraries"):
        from transfercast.features.evidence import Gatherer
        from transfercast.features.shared import terms_shared
        from transfercast.sources.models import pick_device
    from transfercast.core.cache import ArrayCache
    from transfercast.core.files import write_text
    from transfercast.report.attribution import pair_page
    from transfercast.sources.pool import SourcePool
    from transfercast.tasks.family import task_of

    held = SourcePool.load(pool)
    first, _, second = names.partition(":")
    for name in (first, second):
        if name not in held:
            raise InputError(f"{pool} holds no source {name!r}; it has {', '.join(held)}.")
    spec = held[second].spec
    if spec is None:
        raise InputError(f"{second!r} was adopted without its task; name it first, and a source with a task second.")
    gatherer = Gatherer(ArrayCache(), pick_device(device), documents, tolerance)
    terms, number = terms_shared(gatherer, held[first], held[second], task_of(spec), threshold)
    show((one._asdict() for one in terms), as_json)
    say(
        f"{len(terms)} terms reach {threshold} in both {first} and {second}, on {number} positive documents."
        + (" Where they make sense for both, a transfer is worth a trial." if terms else " Try a lower --threshold."),
        as_json,
    )
    if html is not None:
        write_text(html, pair_page(terms, first=first, second=second, threshold=threshold, documents=number))
        say(f"In {html}.", as_json)
