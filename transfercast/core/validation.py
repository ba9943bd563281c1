"""Input checked by typed models: every mistake in one message, with field, value and the nearest right name."""

from __future__ import annotations

import difflib
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from transfercast.core.errors import InputError, TransfercastError

Checked = TypeVar("Checked", bound=BaseModel)

MOST_SHOWN = 80
"""Largest number of characters of a wrong value that a message repeats."""

MOST_PROBLEMS = 10
"""Largest number of mistakes that a message names; it counts the others."""


def checked(
    model: type[Checked], where: str, fields: dict[str, Any], raises: type[TransfercastError] = InputError, remedy: str = ""
) -> Checked:
    """Build `model` out of `fields`.

    Args:
        model: a pydantic model.
        where: file and entry, for the message.
        fields: by name, as they were read.
        raises: InputError for what a user wrote, ArtifactError for what transfercast wrote.
        remedy: last sentence of the message.

    Raises:
        TransfercastError: of the class `raises`; it names each wrong field, what is wrong and what was found.
    """
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise raises(f"{where}: {problems(error, model)}. {remedy}".rstrip()) from error


def problems(error: ValidationError, model: type[BaseModel]) -> str:
    """The mistakes of a validation, in one line."""
    found = error.errors(include_url=False)
    more = f"; and {len(found) - MOST_PROBLEMS} more" if len(found) > MOST_PROBLEMS else ""
    return "; ".join(_problem(details, model) for details in found[:MOST_PROBLEMS]) + more


def _problem(details: Any, model: type[BaseModel]) -> str:
    name = ".".join(str(part) for part in details["loc"])
    if details["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(details["loc"][-1]), model.model_fields, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(model.model_fields)}"
        return f"{name!r} is not known; {hint}"
    message = details["msg"].removeprefix("Value error, ")
    found = shown(details["input"])
    missing = details["type"] == "missing" or isinstance(details["input"], dict)
    return f"{name}: {message}".removeprefix(": ") + ("" if missing else f" (found {found})")


def shown(value: Any) -> str:
    """A wrong value for a message: quoted, and truncated if it is long."""
    text = repr(value[: 4 * MOST_SHOWN]) if isinstance(value, str | bytes | list | tuple) else repr(value)
    return text if len(text) <= MOST_SHOWN else text[:MOST_SHOWN] + "..."
