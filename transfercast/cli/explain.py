"""The command `transfercast explain`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from transfercast.cli import app
from transfercast.cli.output import AsJson, Device, in_one_line, say, show
from transfercast.core.errors import InputError

if TYPE_CHECKING:
    from transfercast.report.attribution import Word


@app.command()
def explain(
    what: Annotated[str, typer.Argument(help="A model (folder or hub name), or two sources of a pool as FIRST:SECOND.")],
    text: Annotated[str | None, typer.Argument(help="For a model: the text to explain.")] = None,
    label: Annotated[str | None, typer.Option(help="Class to explain, by name or number; see the text above.")] = None,
    pool: Annotated[Path, typer.Option(help="For two sources: folder of their pool.")] = Path("pool"),
    documents: Annotated[int, typer.Option(min=1, help="For two sources: positive documents of each, at most.")] = 64,
    threshold: Annotated[float, typer.Option(help="For two sources: activity that a term must reach in both.")] = 0.2,
    tolerance: Annotated[float, typer.Option(help="Error of the attribution, relative to the change of probability.")] = 0.02,
    tokens: Annotated[int, typer.Option(min=3, help="For a model: longer texts are cut.")] = 256,
    html: Annotated[Path | None, typer.Option(help="Also write a self-contained page here.")] = None,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Show which words drive a model's decision on a text, or which terms drive both of two sources.

    A model of two classes is explained for class 1, of more for the most probable one, a token classifier for the
    words that it tags.

    Example: transfercast explain pool/sources/gratitude "Thank you so much!" --html why.html

    Example: transfercast explain gratitude:admiration --pool pool
    """
    if not tolerance > 0:
        raise InputError(f"--tolerance {tolerance}: give more than 0.")
    if text is not None:
        _words(what, text, label, tolerance, tokens, html, device, as_json)
    elif ":" in what:
        _pair(what, pool, documents, threshold, tolerance, html, device, as_json)
    else:
        raise InputError(f"{what!r}: give a text to explain, or name two sources as FIRST:SECOND.")


def _words(
    model: str, text: str, label: str | None, tolerance: float, tokens: int, html: Path | None, device: str | None,
    as_json: bool,
) -> None:  # fmt: skip
    from transfercast.attribution.explain import explain as explained
    from transfercast.core.files import write_text
    from transfercast.report.attribution import Word, words_page

    told = explained(model, text, label=label, tolerance=tolerance, max_tokens=tokens, device=device)
    found = told.found
    words = [
        Word(word, float(activity), tuple(float(share) for share in column))
        for word, activity, column in zip(found.words, found.activity(), found.shares().T, strict=True)
    ]
    notes = []
    if found.truncated:
        notes.append(f"The text was cut at {tokens} tokens; later words have no activity.")
    if not found.within_tolerance:
        notes.append(f"The error of {found.completeness.max():.1%} misses the tolerance: do not rely on small differences.")
    blank = found.probability - found.change
    if as_json:
        show(({"word": one.word, "activity": one.activity, "layers": one.layers} for one in words), True)
    else:
        _coloured(words)
    say(
        f"\n{told.decision}: probability {found.probability:.3f}, of a blank text {blank:.3f}. "
        f"Error {found.completeness.max():.1%} after {found.evaluations} evaluations. {' '.join(notes)}".rstrip(),
        as_json,
    )
    if html is not None:
        page = words_page(
            words, decision=told.decision, model=model, probability=found.probability, blank=blank, note=" ".join(notes)
        )
        write_text(html, page)
        say(f"In {html}, layer by layer.", as_json)


def _coloured(words: list[Word]) -> None:
    """Print the words on green or red; with numbers behind them where there are no colours."""
    from rich.console import Console
    from rich.text import Text

    console = Console(width=None if Console().is_terminal else 10_000)
    line = Text()
    for one in words:
        strength = int(255 - 195 * min(abs(one.activity), 1))
        background = f"rgb({strength},255,{strength})" if one.activity >= 0 else f"rgb(255,{strength},{strength})"
        line.append(in_one_line(one.word), style=f"black on {background}" if abs(one.activity) >= 0.05 else "")
        line.append("" if console.color_system else f"({one.activity:+.2f})")
        line.append(" ")
    console.print(line)


def _pair(
    names: str, pool: Path, documents: int, threshold: float, tolerance: float, html: Path | None, device: str | None,
    as_json: bool,
) -> None:  # fmt: skip
    from transfercast.core.cache import ArrayCache
    from transfercast.core.files import write_text
    from transfercast.features.evidence import Gatherer
    from transfercast.features.shared import terms_shared
    from transfercast.report.attribution import pair_page
    from transfercast.sources.models import pick_device
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
    gatherer = Gatherer(ArrayCache(), pick_device(device), documents, tolerance, held.encoder)
    terms, number = terms_shared(gatherer, held[first], held[second], task_of(spec), threshold)
    show((one._asdict() for one in terms), as_json)
    say(
        f"{len(terms)} terms reach {threshold} in both {first} and {second}, on {number} positive documents."
        + ("" if terms else " Try a lower --threshold."),
        as_json,
    )
    if html is not None:
        write_text(html, pair_page(terms, first=first, second=second, threshold=threshold, documents=number))
        say(f"In {html}.", as_json)
