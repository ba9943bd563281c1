"""The command `transfercast serve`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from transfercast.cli import app
from transfercast.core import environment
from transfercast.core.errors import InputError, MissingExtraError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
EVERYWHERE = ("0.0.0.0", "::", "")  # addresses that stand for all of the machine's


@app.command()
def serve(
    predictor: Annotated[Path | None, typer.Option(help="Folder that train-meta wrote; without it, the prior.")] = None,
    history: Annotated[str | None, typer.Option(help="A database: then observations are taken and retraining is done.")] = None,
    folder: Annotated[
        Path, typer.Option(help="Folder whose feature tables and plans the page offers.", file_okay=False)
    ] = Path(),
    pool: Annotated[
        Path | None, typer.Option(help="Pool whose sources the page explains, where torch is installed.", file_okay=False)
    ] = None,
    host: Annotated[str, typer.Option(help="Address to bind; beyond loopback a key is needed.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8000,
    workers: Annotated[
        int, typer.Option(min=1, max=64, help="Processes that forecast; as many as cores for many clients.")
    ] = 1,
    allowed_host: Annotated[
        list[str] | None, typer.Option(help="A name that clients reach the service by, besides HOST and loopback; repeatable.")
    ] = None,
) -> None:
    """Serve a page and the HTTP routes: forecasts, plans, searches, learning. TRANSFERCAST_API_KEY is the key to ask for.

    Example: transfercast serve --predictor meta --history history.db --port 8000 --workers 2
    """
    try:
        import uvicorn

        from transfercast.service.app import create_app
        from transfercast.service.limits import MOST_CONNECTIONS
        from transfercast.service.protocol import BoundedProtocol
    except ImportError as error:
        raise MissingExtraError("the service needs: pip install 'transfercast[service]'.") from error
    key = os.environ.get(environment.API_KEY) or None
    if host not in LOOPBACK and key is None:
        raise InputError(f"--host {host} is reachable from elsewhere: set {environment.API_KEY} first, or bind 127.0.0.1.")
    named = [host, *LOOPBACK, *(allowed_host or ())]
    hosts = None if host in EVERYWHERE and not allowed_host else named
    uvicorn.run(
        create_app(predictor, key, history, workers, hosts, folder, pool),
        host=host,
        port=port,
        http=BoundedProtocol,
        ws="none",
        access_log=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=10,
    )
