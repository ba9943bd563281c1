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
EVERYWHERE = ("0.0.0.0", "::", "")  # each of them binds all addresses of the machine


@app.command()
def serve(
    predictor: Annotated[
        Path | None,
        typer.Option(help="Folder that train-meta wrote; by default the package's predictor, learned from the atlas."),
    ] = None,
    history: Annotated[
        str | None, typer.Option(help="Database URL or SQLite file; needed to accept observations and to retrain.")
    ] = None,
    folder: Annotated[
        Path, typer.Option(help="Folder of the feature tables and plans that the page shows.", file_okay=False)
    ] = Path(),
    pool: Annotated[
        Path | None, typer.Option(help="Pool whose sources the page explains; needs torch.", file_okay=False)
    ] = None,
    host: Annotated[str, typer.Option(help="Address to bind; any but loopback needs a key.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to bind; 0 takes a free one.")] = 8000,
    workers: Annotated[
        int, typer.Option(min=1, max=64, help="Processes that forecast; for many clients, one for each core.")
    ] = 1,
    allowed_host: Annotated[
        list[str] | None, typer.Option(help="Host name that clients use, besides HOST and loopback; repeatable.")
    ] = None,
) -> None:
    """Serve the web page and the HTTP routes: forecasts, plans, searches, retraining.

    If the environment variable TRANSFERCAST_API_KEY is set, clients must send its value as their key.

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
