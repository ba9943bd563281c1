"""Drift: observations from which a champion's successor could not be meant."""

from __future__ import annotations

from transfercast.core.errors import InputError
from transfercast.core.kinds import METRICS
from transfercast.predictor.design import Observed
from transfercast.predictor.model import Predictor


def refuse_drift(observed: Observed, champion: Predictor | None) -> None:
    """Refuse observations from which forecasts could not be meant.

    Raises:
        InputError: for a metric that is unknown, and columns none of which is the champion's.
    """
    design = observed.design
    for metric in dict.fromkeys(design.metric):
        if metric not in METRICS:
            count = int((design.metric == metric).sum())
            raise InputError(f"metric {metric!r} of {count} observed transfers is unknown; known are {', '.join(METRICS)}.")
    if champion is None:
        return
    now = {column.name: column for column in design.schema}
    learned = [column for column in champion.fitted.schema if column.group != "recipe"]
    if learned and not any(column.name in now for column in learned):
        raise InputError(
            f"the history has none of the {len(learned)} columns that champion {champion.id} was learned from (such as "
            f"{learned[0].name!r}). Is it another history? If it is meant, begin in another folder."
        )


def outdated(observed: Observed, champion: Predictor) -> list[str]:
    """Measures that have another version now than when the champion was learned: it cannot forecast tables of today."""
    now = {column.name: column.version for column in observed.design.schema}
    learned = champion.fitted.schema
    return list(dict.fromkeys(c.measure for c in learned if now.get(c.name, c.version) != c.version))
