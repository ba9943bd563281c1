"""Checks of every request before its body is read: host, origin, key, size.

A browser sends requests of any page that it shows to any address that it can reach, loopback included. Two headers identify
such a request: its origin (Origin, Sec-Fetch-Site), which is checked for requests that could change something; and, if a
page's own name was made to resolve to this address (DNS rebinding), that name (Host).
"""

from __future__ import annotations

import secrets
from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from transfercast.service.limits import MOST_BYTES, MOST_HELD_BYTES, RETRY_SECONDS
from transfercast.service.refusals import refusal

OPEN_PATHS = ("/", "/page.js", "/page.css", "/icon.svg", "/docs", "/openapi.json", "/healthz")
"""Paths that need no key, because they return nothing that is not public."""

READING = ("GET", "HEAD", "OPTIONS")
_TOO_LARGE = f"a body may have {MOST_BYTES} bytes; send fewer rows at once"


class Guard:
    """Middleware in plain ASGI, because starlette's own base class takes half the time of a forecast.

    Args:
        app: the app that is guarded.
        key: see `create_app`.
        hosts: see `create_app`.
    """

    def __init__(self, app: ASGIApp, key: str | None, hosts: Collection[str] | None) -> None:
        self._app = app
        self._key = None if key is None else key.encode()
        self._hosts = None if hosts is None else {_without_port(host) for host in hosts}
        self._held = 0  # bytes of bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        refused = self._refused(scope)
        if refused is not None:
            return await refused(scope, receive, send)
        size = 0

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            new = len(message.get("body", b""))
            size += new
            self._held += new
            if size > MOST_BYTES:
                raise HTTPException(413, _TOO_LARGE)
            if self._held > MOST_HELD_BYTES:
                busy = "too many large requests at once; try again"
                raise HTTPException(503, busy, {"Retry-After": str(RETRY_SECONDS)})
            return message

        try:
            await self._app(scope, counted, send)
        finally:
            self._held -= size

    def _refused(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if self._hosts is not None and (len(hosts) != 1 or _without_port(hosts[0]) not in self._hosts):
            host = ", ".join(hosts)[:100]
            return refusal(403, f"this service does not go by the name {host!r}; start it with --allowed-host for that.")
        if scope["method"] not in READING and _from_elsewhere(headers):
            return refusal(403, "pages of other origins may not send this")
        if self._key is not None and scope["path"] not in OPEN_PATHS:
            scheme, _, sent = headers.get("authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not secrets.compare_digest(sent.encode("latin-1"), self._key):
                return refusal(401, "send the key as 'Authorization: Bearer KEY'")
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()):
            return refusal(400, "Content-Length is not a number")
        if len(length) > len(str(MOST_BYTES)) or int(length) > MOST_BYTES:
            return refusal(413, _TOO_LARGE)
        return None


def _from_elsewhere(headers: Headers) -> bool:
    """Whether the headers of a browser show that a page of another origin sends this. Other clients send no such headers."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        return site not in ("same-origin", "none")
    return origin is not None and origin.lower().partition("://")[2] != headers.get("host", "").lower()


def _without_port(host: str) -> str:
    host = host.lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() and ":" not in name else host).removesuffix(".")
