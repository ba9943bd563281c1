"""Candidates that are not proposed again: their training was stopped or failed, or failed on other targets."""

from __future__ import annotations

from collections.abc import Iterable

from transfercast.core.records import Candidate
from transfercast.core.table import FeatureTable
from transfercast.core.trainings import TrainingRecord
from transfercast.planning.done import written_out

WEIGHS = ("out of memory", "divergence", "time limit")
WEIGHS_ON_LIKES = ("out of memory", "divergence")
"""Causes that also hold for other targets of the same source, recipe and encoder; time depends on the target's rows."""


def given_up(trainings: Iterable[TrainingRecord], table: FeatureTable) -> set[Candidate]:
    """Candidates of a table that are not worth a trial.

    A candidate is given up if its own training was stopped by its learning curve, or failed from a lack of memory or time or
    by divergence; also if trainings of its source, recipe and encoder on other targets failed from a lack of memory or by
    divergence. After a finished training, its own candidate is not given up, and failures of the same source, recipe and
    encoder on other targets do not count.
    """
    own: dict[tuple[Candidate, str], bool] = {}
    likes: dict[tuple[str, str, str], bool] = {}
    for one in trainings:
        candidate = written_out(Candidate(one.source, one.target, one.recipe))
        kind = (one.source, candidate.recipe, one.encoder)
        if one.ended == "finished":
            own[candidate, one.encoder] = likes[kind] = False
        else:
            if one.ended == "stopped" or one.cause in WEIGHS:
                own.setdefault((candidate, one.encoder), True)
            if one.ended == "failed" and one.cause in WEIGHS_ON_LIKES:
                likes.setdefault(kind, True)
    found = set()
    for candidate, encoder in zip(table.candidates, table.encoders, strict=True):
        written = written_out(candidate)
        if own.get((written, encoder), likes.get((written.source, written.recipe, encoder), False)):
            found.add(candidate)
    return found
