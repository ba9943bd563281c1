"""Checks that a history is compatible with the champion: known metrics, the same columns and versions of measures."""

from __future__ import annotations

from transfercast.core.errors import InputError
from transfercast.core.kinds import METRICS
from transfercast.predictor.data import Transfers
from transfercast.predictor.predictor import Predictor


def refuse_incompatible(transfers: Transfers, champion: Predictor | None) -> None:
    """Refuse transfers from which no successor of the champion can be learned.

    Raises:
        InputError: if a metric is unknown, or if the transfers have no column of the champion.
    """
    candidates = transfers.candidates
    for metric in dict.fromkeys(candidates.metric):
        if metric not in METRICS:
            count = int((candidates.metric == metric).sum())
            raise InputError(f"metric {metric!r} of {count} observed transfers is unknown; known are {', '.join(METRICS)}.")
    if champion is None:
        return
    now = {column.name: column for column in candidates.schema}
    learned = [column for column in champion.fitted.schema if column.group != "recipe"]
    if learned and not any(column.name in now for column in learned):
        raise InputError(
            f"the history has none of the {len(learned)} columns that champion {champion.id} was learned from (such as "
            f"{learned[0].name!r}). It may be another history; to learn from it, use another folder."
        )


def outdated(transfers: Transfers, champion: Predictor) -> list[str]:
    """Measures that have changed their version since the champion was learned; it cannot forecast new tables of these."""
    now = {column.name: column.version for column in transfers.candidates.schema}
    learned = champion.fitted.schema
    return list(dict.fromkeys(c.measure for c in learned if now.get(c.name, c.version) != c.version))
