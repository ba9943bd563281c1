"""Drift: observations from which a champion's successor could not be meant."""

from __future__ import annotations

from transfercast.core.errors import InputError
from transfercast.core.kinds import METRICS
from transfercast.predictor.design import Observed
from transfercast.predictor.model import Predictor


def refuse_drift(observed: Observed, champion: Predictor | None) -> None:
    """Refuse observations from which forecasts could not be meant.

    Raises:
        InputError: for a metric that is unknown, an encoder that is not named beside others that are, and columns that are
            not those of the champion.
    """
    design = observed.design
    for metric in dict.fromkeys(design.metric):
        if metric not in METRICS:
            count = int((design.metric == metric).sum())
            raise InputError(f"metric {metric!r} of {count} observed transfers is unknown; known are {', '.join(METRICS)}.")
    unnamed = design.encoder == "unknown"
    if unnamed.any() and not unnamed.all():
        raise InputError(
            f"{int(unnamed.sum())} of {len(observed)} observed transfers name no encoder, the others do: standings of "
            "different encoders would be mixed. Name it in the column 'encoder', or import them into a history of their own."
        )
    if champion is None:
        return
    now = {column.name: column for column in design.schema}
    learned = [column for column in champion.fitted.schema if column.group != "recipe"]
    for column in learned:
        if column.name in now and now[column.name].version != column.version:
            raise InputError(
                f"column {column.name}: the history has version {now[column.name].version} of {column.measure}, champion "
                f"{champion.id} was learned from version {column.version}. Measure old pairs anew, or begin in another folder."
            )
    if learned and not any(column.name in now for column in learned):
        raise InputError(
            f"the history has none of the {len(learned)} columns that champion {champion.id} was learned from (such as "
            f"{learned[0].name!r}). Is it another history? If it is meant, begin in another folder."
        )
