"""The page at /: one HTML file, one script and one style sheet, which call the routes of /v1 like any client.

The browser draws the page, and sends the key in a header, which a form cannot do. NiceGUI was considered and not used: its Vue
templates need 'unsafe-eval', each visitor would hold a web socket and state in this process, which the guard, limits and
workers do not cover, and it needs 26 more packages.
"""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter, Response

from transfercast.core.version import VERSION
from transfercast.predictor import versions
from transfercast.service.jobs import Jobs
from transfercast.service.messages import About
from transfercast.service.recording import Recorder
from transfercast.service.served import Served

STATIC = {"/": ("page.html", "text/html"), "/page.js": ("page.js", "text/javascript"), "/page.css": ("page.css", "text/css"),
          "/icon.svg": ("icon.svg", "image/svg+xml")}  # fmt: skip

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def page_routes() -> APIRouter:
    """The page's files; they contain nothing that is not public, so they need no key."""
    router = APIRouter()
    folder = files("transfercast.service") / "static"

    for path, (name, kind) in STATIC.items():
        content = (folder / name).read_bytes()

        def file(content: bytes = content, kind: str = kind) -> Response:
            return Response(content, headers=HEADERS, media_type=kind)

        router.add_api_route(path, file, include_in_schema=False, response_class=Response)
    return router


def about_routes(served: Served, recorder: Recorder | None, jobs: Jobs | None) -> APIRouter:
    """The route that the page reads before it draws anything."""
    router = APIRouter(prefix="/v1")

    @router.get("/about")
    def about() -> About:
        """The features that this service offers; it needs the key, so that a client can test its key."""
        has_versions = served.folder is not None and bool(versions.all_ids(served.folder))
        return About(
            version=VERSION, predictor=served.predictor.id, history=recorder is not None, versions=has_versions,
            retrains=jobs is not None,
        )  # fmt: skip

    return router
