"""Bodies: read as bytes, parsed where they are used, described in the OpenAPI schema all the same."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.requests import ClientDisconnect

_PLACE = "#/components/schemas/{model}"


async def json_body(request: Request, empty: bytes | None = None) -> bytes:
    """The body of a request.

    Args:
        request: of a client.
        empty: what an empty body stands for; without it the empty body is returned, to be refused as no JSON.

    Raises:
        HTTPException: if it says that it is something else than JSON (a form, which any page may send, says so), or if its
            client went away before all of it was there.
    """
    try:
        body = await request.body()
    except ClientDisconnect as error:  # nobody is left to read this; unhandled, each would be a traceback in the log
        raise HTTPException(400, "the connection was closed before the body was whole") from error
    if not body and empty is not None:
        return empty
    said = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if body and said != "application/json":
        raise HTTPException(415, f"send JSON as Content-Type: application/json, not {said[:100] or 'nothing'!r}")
    return body


async def file_body(request: Request, kind: str) -> bytes:
    """The body of a request that sends a file.

    Args:
        request: of a client.
        kind: media type that it must say; no form of a page can.

    Raises:
        HTTPException: if it says another, is empty, or its client went away before all of it was there.
    """
    try:
        body = await request.body()
    except ClientDisconnect as error:
        raise HTTPException(400, "the connection was closed before the body was whole") from error
    said = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if said != kind:
        raise HTTPException(415, f"send the file as Content-Type: {kind}, not {said[:100] or 'nothing'!r}")
    return body


def described_file(kind: str) -> dict[str, Any]:
    """What the OpenAPI schema says of a route whose body is a file of a media type."""
    return {"requestBody": {"required": True, "content": {kind: {"schema": {"type": "string", "format": "binary"}}}}}


def described(model: type[BaseModel], required: bool = True) -> dict[str, Any]:
    """What the OpenAPI schema says of a route whose body is of `model`."""
    schema = {"$ref": _PLACE.format(model=model.__name__)}
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}


def describe(app: FastAPI, models: list[type[BaseModel]], refused: type[BaseModel]) -> None:
    """Have an app's OpenAPI schema hold the models of bodies that routes read by themselves.

    Args:
        app: with its routes.
        models: that `described` names.
        refused: what a client gets instead of an answer.
    """
    _, definitions = models_json_schema([(model, "validation") for model in (*models, refused)], ref_template=_PLACE)

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            kept = schema.setdefault("components", {}).setdefault("schemas", {})
            kept |= {name: one for name, one in definitions["$defs"].items() if name not in kept}
            told = {"$ref": _PLACE.format(model=refused.__name__)}
            for operations in schema["paths"].values():
                for operation in operations.values():
                    operation["responses"].pop("422", None)
                    operation["responses"]["4XX"] = {
                        "description": "Refused: `detail` says why.",
                        "content": {"application/json": {"schema": told}},
                    }
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI documents this way of extending its schema
