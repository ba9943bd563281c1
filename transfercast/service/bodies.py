"""Bodies of requests: read as bytes, parsed where they are used, and described in the OpenAPI schema."""

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
        request: request of a client.
        empty: body that replaces an empty one; without it an empty body is returned, and later refused as not JSON.

    Raises:
        HTTPException: if its content type is not JSON (a form, which any page may send, has another), or if the client
            closed the connection before the body was complete.
    """
    try:
        body = await request.body()
    except ClientDisconnect as error:  # the client cannot read this; without it, the log would have a traceback
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
        request: request of a client.
        kind: required media type, which a form of a page cannot have.

    Raises:
        HTTPException: if it has another type, is empty, or the client closed the connection before it was complete.
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
    """The OpenAPI schema of a route whose body is a file of a media type."""
    return {"requestBody": {"required": True, "content": {kind: {"schema": {"type": "string", "format": "binary"}}}}}


def described(model: type[BaseModel], required: bool = True) -> dict[str, Any]:
    """The OpenAPI schema of a route whose body is of `model`."""
    schema = {"$ref": _PLACE.format(model=model.__name__)}
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}


def describe(app: FastAPI, models: list[type[BaseModel]], refused: type[BaseModel]) -> None:
    """Add to an app's OpenAPI schema the models of bodies that routes read as bytes.

    Args:
        app: the app with its routes.
        models: models that `described` names.
        refused: model of a refusal.
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
