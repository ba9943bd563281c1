"""Spans of BIO tags, for scores and for label similarity.

An `I-X` that does not continue an `X` begins a span (as seqeval reads by default), so `I-S I-S O` is one span.
"""

from __future__ import annotations

from collections.abc import Sequence

Span = tuple[int, int, str]  # first token, one past the last, type


def spans_of(tags: Sequence[str]) -> set[Span]:
    """The spans of one sentence.

    >>> sorted(spans_of(["B-LOC", "I-LOC", "O", "I-PER"]))
    [(0, 2, 'LOC'), (3, 4, 'PER')]
    """
    spans: set[Span] = set()
    start, kind = 0, None
    for position, tag in enumerate([*tags, "O"]):
        continues = kind is not None and tag == f"I-{kind}"
        if kind is not None and not continues:
            spans.add((start, position, kind))
            kind = None
        if tag != "O" and not continues:
            start, kind = position, tag[2:]
    return spans


def dice(gold: Sequence[set[Span]], found: Sequence[set[Span]]) -> float:
    """2 TP / (2 TP + FP + FN) over all sentences, in [0, 1]; 0 when neither has a span."""
    shared = sum(len(a & b) for a, b in zip(gold, found, strict=True))
    total = sum(map(len, gold)) + sum(map(len, found))
    return 2 * shared / total if total else 0.0
