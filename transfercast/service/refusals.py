"""What a client gets instead of an answer: a status and `detail`, a sentence or the list of mistakes in a body.

Details repeat what a client sent, and errors of a database may name its URL: so they are written in ASCII, values are cut,
and passwords are left out.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.responses import Response

from transfercast.core.text import redacted
from transfercast.core.validation import shown
from transfercast.service.limits import RETRY_SECONDS

MOST_MISTAKES = 20

Parsed = TypeVar("Parsed", bound=BaseModel)


class WrongBodyError(Exception):
    """A body that is not what its route takes; `mistakes` says where."""

    def __init__(self, mistakes: list[dict[str, Any]]) -> None:
        super().__init__(f"{len(mistakes)} mistakes")
        self.mistakes = mistakes


class BusyError(Exception):
    """What was asked for cannot be done at this moment."""


def parsed(model: type[Parsed], body: bytes) -> Parsed:
    """A request out of its body.

    Raises:
        WrongBodyError: if it is not JSON (which NaN and Infinity are not), or not of the model.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise WrongBodyError(mistakes(error.errors(include_url=False, include_context=False))) from error


def mistakes(errors: Sequence[Any]) -> list[dict[str, Any]]:
    """Mistakes as they are told: where, what is wrong, and what was found; at most MOST_MISTAKES of them."""
    told = [
        {"type": error["type"], "loc": [*error["loc"]], "msg": error["msg"], "input": shown(error["input"])}
        for error in errors[:MOST_MISTAKES]
    ]
    if len(errors) > MOST_MISTAKES:
        told.append({"type": "more", "loc": [], "msg": f"and {len(errors) - MOST_MISTAKES} more mistakes", "input": ""})
    return told


def detail_of(what: str | list[dict[str, Any]]) -> bytes:
    """The body of a refusal."""
    return redacted(json.dumps({"detail": what})).encode("ascii")


def refusal(status: int, what: str | list[dict[str, Any]]) -> Response:
    """A refusal; 503 says when to try again."""
    return answer(status, detail_of(what))


def answer(status: int, body: bytes) -> Response:
    """JSON that is written already."""
    headers = {"Retry-After": str(RETRY_SECONDS)} if status == 503 else None
    return Response(body, status, headers, media_type="application/json")
