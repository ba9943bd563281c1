"""The factory of the HTTP application, which tests and servers call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException

from transfercast.core.errors import TransfercastError
from transfercast.core.plan import Plan
from transfercast.core.version import VERSION
from transfercast.service.answering import Kind, Question, answered
from transfercast.service.bodies import describe, described, json_body
from transfercast.service.evidence import evidence_routes
from transfercast.service.files import Files
from transfercast.service.guard import Guard
from transfercast.service.jobs import Jobs
from transfercast.service.learning import observation_routes, retraining_routes, version_routes
from transfercast.service.looking import history_routes, search_routes
from transfercast.service.messages import ForecastAnswer, ForecastRequest, Observations, PlanRequest, Refusal, Retrain, Terms
from transfercast.service.page import about_routes, page_routes
from transfercast.service.pages import page_of
from transfercast.service.recording import Recorder
from transfercast.service.refusals import BusyError, WrongBodyError, answer, mistakes, refusal
from transfercast.service.served import Served
from transfercast.service.tables import table_routes
from transfercast.service.terms import term_routes
from transfercast.service.workers import Workers

_NO_SCRIPTS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'", "X-Content-Type-Options": "nosniff"}


def create_app(
    predictor: Path | None = None,
    key: str | None = None,
    history: str | None = None,
    workers: int = 0,
    hosts: Collection[str] | None = None,
    folder: Path | None = None,
    pool: Path | None = None,
) -> FastAPI:
    """The service on one predictor.

    Args:
        predictor: folder that train-meta wrote; None serves the predictor that comes with the package.
        key: key that clients must send as `Authorization: Bearer KEY`; None requires no key.
        history: URL or file of the history; with None, observations and retraining are refused.
        workers: processes that forecast and plan; with 0, threads of this process do so, without a time limit.
        hosts: names of the service; requests to other names are refused. None accepts any name, which is safe only if no
            browser can reach the service, or a key is required.
        folder: folder of feature tables and plans that the page offers; None offers none.
        pool: pool of sources whose words the page explains; None explains none.

    Raises:
        InputError, ArtifactError: if predictor or history cannot be opened.
    """
    served = Served(predictor)
    offered = Files(folder)
    processes = Workers(predictor, workers) if workers else None
    recorder = None if history is None else Recorder(history)
    jobs = None if recorder is None or predictor is None else Jobs(recorder.url, predictor, served.refresh)

    @asynccontextmanager
    async def alive(_: FastAPI) -> AsyncIterator[None]:
        if processes is not None:
            await processes.start(served.predictor.id)
        watching = asyncio.create_task(served.watch())
        try:
            yield
        finally:
            watching.cancel()
            if jobs is not None:
                await asyncio.to_thread(jobs.stop)
            if processes is not None:
                await processes.stop()

    about = "Forecasts and plans of transfer learning."
    app = FastAPI(title="transfercast", version=VERSION, description=about, lifespan=alive, docs_url=None, redoc_url=None)
    _tell_errors(app)

    async def ask(kind: Kind, request: Request) -> Response:
        now, question = served.predictor, Question(kind, await json_body(request))
        if processes is not None:
            return answer(*await processes.answer(now.id, question))
        return answer(*(await asyncio.to_thread(answered, now, [question]))[0])

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Whether the service answers, and with which predictor."""
        return {"status": "ok", "version": VERSION, "predictor": served.predictor.id}

    @app.post("/v1/forecasts", responses={200: {"model": ForecastAnswer}}, openapi_extra=described(ForecastRequest))
    async def forecasts(request: Request) -> Response:
        """Expected scores of candidate pairs, with bounds and, if asked for, reasons."""
        return await ask("forecast", request)

    @app.post("/v1/plans", responses={200: {"model": Plan}}, openapi_extra=described(PlanRequest))
    async def plans(request: Request) -> Response:
        """An order of trainings within a budget."""
        return await ask("plan", request)

    @app.get("/docs", include_in_schema=False)
    async def page(request: Request) -> HTMLResponse:
        return HTMLResponse(page_of(app.openapi(), str(request.base_url).rstrip("/")), headers=_NO_SCRIPTS)

    for routes in (
        observation_routes(recorder), version_routes(served), retraining_routes(jobs), history_routes(recorder),
        table_routes(offered), search_routes(recorder, offered), term_routes(pool), about_routes(served, recorder, jobs),
        evidence_routes(), page_routes(),
    ):  # fmt: skip
        app.include_router(routes)
    describe(app, [ForecastRequest, PlanRequest, Observations, Retrain, Terms], Refusal)
    app.add_middleware(Guard, key=key, hosts=hosts)
    return app


def _tell_errors(app: FastAPI) -> None:
    """Answer every error of a request or of the environment with its status and `detail`."""

    @app.exception_handler(TransfercastError)
    async def ours(request: Request, error: TransfercastError) -> Response:
        return refusal(error.http_status, str(error))

    @app.exception_handler(WrongBodyError)
    async def wrong_body(request: Request, error: WrongBodyError) -> Response:
        return refusal(422, error.mistakes)

    @app.exception_handler(RequestValidationError)
    async def wrong_parameters(request: Request, error: RequestValidationError) -> Response:
        return refusal(422, mistakes(error.errors()))

    @app.exception_handler(BusyError)
    async def busy(request: Request, error: BusyError) -> Response:
        return refusal(503, str(error))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        told = refusal(error.status_code, str(error.detail))
        told.headers.update(error.headers or {})
        return told
