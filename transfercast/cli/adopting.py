"""The option `--adopt`, which adds existing models to a pool."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from transfercast.core.errors import InputError
from transfercast.core.records import checked_name

Adopt = Annotated[
    list[str] | None,
    typer.Option(
        help="Add a model to the pool: NAME=FOLDER_OR_HUB_NAME, or NAME=FOLDER_OR_HUB_NAME@SCORE if its test score on its own "
        "task is known; repeatable. Models that are already in the pool are skipped."
    ),
]


@dataclass(frozen=True, slots=True)
class Request:
    """A model to adopt.

    Attributes:
        name: its name in the pool.
        place: a folder, or a name on the hub.
        score: its test score on its own task, in [-1, 1]; None if unknown.
    """

    name: str
    place: str
    score: float | None

    @classmethod
    def parse(cls, text: str) -> Request:
        """Read NAME=PLACE@SCORE.

        Raises:
            InputError: if the text has another form, or the score is not a number from -1 to 1.
        """
        name, _, place = text.partition("=")
        place, _, score = place.rpartition("@") if "@" in place else (place, "", "")
        try:
            known = float(score) if score else None
        except ValueError:
            known = math.nan
        if known is not None and not -1 <= known <= 1:
            raise InputError(f"--adopt {text}: score {score!r} is not a number from -1 to 1. Write NAME=FOLDER@0.83.")
        if not name or not place:
            raise InputError(f"--adopt {text}: write NAME=FOLDER_OR_HUB_NAME, or NAME=FOLDER_OR_HUB_NAME@SCORE.")
        return cls(checked_name(name, "source"), place, known)


def refuse_missing(requests: Sequence[Request], encoders: Sequence[str]) -> None:
    """Check before any work that all models to adopt and all named base encoders can be found.

    Raises:
        InputError: if one cannot be found.
    """
    from transfercast.sources.adoption import adoptable_folder
    from transfercast.sources.encoders import checkpoint_folder

    for request in requests:
        adoptable_folder(request.place)
    for encoder in encoders:
        checkpoint_folder(encoder)


def adopt_all(pool: Path, requests: Sequence[Request], encoder: str | None) -> None:
    """Add models to a pool; models that are already in it stay as they are."""
    from transfercast.sources.adoption import adopt

    for request in requests:
        adopt(pool, request.name, request.place, score=request.score, encoder=encoder)
