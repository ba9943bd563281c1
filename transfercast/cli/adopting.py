"""The option `--adopt`, by which existing models join a pool."""

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
        help="NAME=FOLDER_OR_HUB_NAME, with @SCORE behind where its own test score is known; again for more. "
        "What the pool holds already is not adopted again."
    ),
]


@dataclass(frozen=True, slots=True)
class Request:
    """A model that is to be adopted: under which name, from where, and its own test score, where that is known."""

    name: str
    place: str
    score: float | None

    @classmethod
    def parse(cls, text: str) -> Request:
        """Read NAME=PLACE@SCORE.

        Raises:
            InputError: if it is written otherwise.
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
            raise InputError(f"--adopt {text}: write NAME=FOLDER_OR_HUB_NAME, and @SCORE where its own test score is known.")
        return cls(checked_name(name, "source"), place, known)


def refuse_missing(requests: Sequence[Request], encoders: Sequence[str]) -> None:
    """See that all models that are to be adopted, and the base encoders named, can be found, before any work.

    Raises:
        InputError: if one cannot.
    """
    from transfercast.sources.adoption import adoptable_folder
    from transfercast.sources.encoders import checkpoint_folder

    for request in requests:
        adoptable_folder(request.place)
    for encoder in encoders:
        checkpoint_folder(encoder)


def adopt_all(pool: Path, requests: Sequence[Request], encoder: str | None) -> None:
    """Let models join a pool; those that it holds already stay as they are."""
    from transfercast.sources.adoption import adopt

    for request in requests:
        adopt(pool, request.name, request.place, score=request.score, encoder=encoder)
