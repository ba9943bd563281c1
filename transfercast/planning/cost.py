"""What a training costs in hours, from the seconds a row and epoch took when the target was trained alone."""

from __future__ import annotations

from transfercast.core.errors import InputError
from transfercast.core.records import Recipe
from transfercast.core.table import TargetFacts


def hours_of(facts: TargetFacts | None, recipe_key: str, encoder: str) -> float | None:
    """Expected hours of one training of a target from an encoder; None where nothing says how long training takes.

    >>> facts = TargetFacts(fingerprint="", metric="accuracy", train_rows=1800, seconds_per_row_epoch=0.5)
    >>> hours_of(facts, "full/epochs=4", "offline")
    1.0
    """
    seconds = None if facts is None else facts.with_encoder(encoder).seconds_per_row_epoch
    if facts is None or seconds is None:
        return None
    try:
        recipe = Recipe.parse(recipe_key)
    except InputError:  # a table of somebody else's may name recipes that only they know
        recipe = Recipe()
    return facts.train_rows * recipe.passes(facts.train_rows) * seconds / 3600
