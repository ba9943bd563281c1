"""Refusals of requests: a status and `detail`, which is a sentence or the list of mistakes in a body.

Details may repeat values of a request, and errors of a database may name its URL: so they are written in ASCII, values are
truncated, and passwords are left out.
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
    """A body that does not fit its route; `mistakes` lists the places."""

    def __init__(self, mistakes: list[dict[str, Any]]) -> None:
        super().__init__(f"{len(mistakes)} mistakes")
        self.mistakes = mistakes


class BusyError(Exception):
    """The request cannot be answered at present."""


def parsed(model: type[Parsed], body: bytes) -> Parsed:
    """Parse the body of a request.

    Raises:
        WrongBodyError: if it is not JSON (NaN and Infinity are not JSON), or does not fit the model.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise WrongBodyError(mistakes(error.errors(include_url=False, include_context=False))) from error


def mistakes(errors: Sequence[Any]) -> list[dict[str, Any]]:
    """Mistakes for the answer: place, message, and value; at most MOST_MISTAKES of them."""
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
    """The response of a refusal; with status 503 it says when to try again."""
    return answer(status, detail_of(what))


def answer(status: int, body: bytes) -> Response:
    """A response of JSON that is already serialised."""
    headers = {"Retry-After": str(RETRY_SECONDS)} if status == 503 else None
    return Response(body, status, headers, media_type="application/json")
