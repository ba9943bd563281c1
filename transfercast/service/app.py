"""The HTTP application: a factory, so that tests and servers make their own."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from transfercast.core.errors import TransfercastError
from transfercast.core.plan import Plan
from transfercast.core.version import VERSION
from transfercast.planning.order import plan
from transfercast.predictor.model import Predictor
from transfercast.service.messages import ForecastAnswer, ForecastRequest, PlanRequest, answer_of

MOST_BYTES = 20 * 2**20
OPEN_PATHS = ("/healthz",)


def create_app(predictor: Path | None = None, key: str | None = None) -> FastAPI:
    """The service on one predictor.

    Args:
        predictor: folder that train-meta wrote; None serves the prior.
        key: what clients must send as `Authorization: Bearer KEY`; None asks for none.

    Raises:
        InputError, ArtifactError: if the predictor cannot be loaded.
    """
    loaded = Predictor.load(predictor)
    app = FastAPI(title="transfercast", version=VERSION, description="Forecasts and plans of transfer learning.")

    @app.middleware("http")
    async def guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        if key is not None and request.url.path not in OPEN_PATHS:
            sent = request.headers.get("authorization", "").removeprefix("Bearer ")
            if not secrets.compare_digest(sent.encode(), key.encode()):
                return _refusal(401, "send the key as 'Authorization: Bearer KEY'")
        length = request.headers.get("content-length")
        if request.method == "POST" and (length is None or not length.isdigit()):
            return _refusal(411, "send a Content-Length")
        if length is not None and int(length) > MOST_BYTES:
            return _refusal(413, f"the body may have {MOST_BYTES} bytes; send fewer rows at once")
        return await call_next(request)

    @app.exception_handler(TransfercastError)
    async def told(request: Request, error: TransfercastError) -> JSONResponse:
        return _refusal(error.http_status, str(error))

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        """Whether the service answers, and with which predictor."""
        return {"status": "ok", "version": VERSION, "predictor": loaded.id}

    @app.post("/v1/forecasts")
    def forecasts(request: ForecastRequest) -> ForecastAnswer:
        """Expected scores of candidate pairs, with bounds and reasons."""
        return answer_of(loaded.predict(request.table(loaded.fitted), request.coverage))

    @app.post("/v1/plans")
    def plans(request: PlanRequest) -> Plan:
        """An order of trainings within a budget."""
        return plan(loaded, request.table(loaded.fitted), request.budget, request.coverage)

    return app


def _refusal(status: int, detail: str) -> JSONResponse:
    return JSONResponse({"detail": detail}, status_code=status)
