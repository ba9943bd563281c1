"""The HTTP application: a factory, so that tests and servers make their own."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from transfercast.core.errors import TransfercastError
from transfercast.core.plan import Plan
from transfercast.core.version import VERSION
from transfercast.planning.order import plan
from transfercast.service.learning import learning_routes
from transfercast.service.messages import ForecastAnswer, ForecastRequest, PlanRequest
from transfercast.service.served import Served
from transfercast.service.workers import WorkerDiedError, Workers, answered

MOST_BYTES = 20 * 2**20
OPEN_PATHS = ("/healthz",)

_BODY = {"required": True, "content": {"application/json": {"schema": ForecastRequest.model_json_schema()}}}


def create_app(predictor: Path | None = None, key: str | None = None, history: str | None = None, workers: int = 0) -> FastAPI:
    """The service on one predictor.

    Args:
        predictor: folder that train-meta wrote; None serves the prior.
        key: what clients must send as `Authorization: Bearer KEY`; None asks for none.
        history: URL or file of the history; None takes no observations and does not retrain.
        workers: processes that forecast; with 0 it is this one, which answers nothing else meanwhile.

    Raises:
        InputError, ArtifactError: if predictor or history cannot be opened.
    """
    served = Served(predictor)
    others = Workers(predictor, workers) if workers else None

    @asynccontextmanager
    async def alive(_: FastAPI) -> AsyncIterator[None]:
        if others is not None:
            await others.start(served.predictor.id)
        yield
        if others is not None:
            await others.stop()

    about = "Forecasts and plans of transfer learning."
    app = FastAPI(title="transfercast", version=VERSION, description=about, lifespan=alive)

    @app.exception_handler(TransfercastError)
    async def told(request: Request, error: TransfercastError) -> JSONResponse:
        return _refusal(error.http_status, str(error))

    @app.exception_handler(WorkerDiedError)
    async def died(request: Request, error: WorkerDiedError) -> JSONResponse:
        return _refusal(503, "the processes that were to forecast this died and are replaced; send fewer rows, or try again")

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        """Whether the service answers, and with which predictor."""
        return {"status": "ok", "version": VERSION, "predictor": served.predictor.id}

    @app.post("/v1/forecasts", responses={200: {"model": ForecastAnswer}}, openapi_extra={"requestBody": _BODY})
    async def forecasts(request: Request) -> Response:
        """Expected scores of candidate pairs, with bounds and, if asked for, reasons."""
        now, body = served.predictor, await request.body()
        status, answer = answered(now, [body])[0] if others is None else await others.answer(now.id, body)
        return Response(answer, status, media_type="application/json")

    @app.post("/v1/plans")
    def plans(request: PlanRequest) -> Plan:
        """An order of trainings within a budget."""
        now = served.predictor
        return plan(now, request.table(now.fitted), request.budget, request.coverage, request.bounds)

    app.include_router(learning_routes(served, history))
    app.add_middleware(Guard, key=key)
    return app


class Guard:
    """Asks for the key and bounds bodies, before anything is read. Plain ASGI: starlette's own base costs half a forecast.

    Args:
        app: what is guarded.
        key: see `create_app`.
    """

    def __init__(self, app: ASGIApp, key: str | None) -> None:
        self._app, self._key = app, key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        refused = self._refused(scope) if scope["type"] == "http" else None
        await (self._app if refused is None else refused)(scope, receive, send)

    def _refused(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        if self._key is not None and scope["path"] not in OPEN_PATHS:
            sent = headers.get("authorization", "").removeprefix("Bearer ")
            if not secrets.compare_digest(sent.encode(), self._key.encode()):
                return _refusal(401, "send the key as 'Authorization: Bearer KEY'")
        length = headers.get("content-length")
        if scope["method"] == "POST" and (length is None or not length.isdigit()):
            return _refusal(411, "send a Content-Length")
        if length is not None and int(length) > MOST_BYTES:
            return _refusal(413, f"the body may have {MOST_BYTES} bytes; send fewer rows at once")
        return None


def _refusal(status: int, detail: str) -> JSONResponse:
    return JSONResponse({"detail": detail}, status_code=status)
