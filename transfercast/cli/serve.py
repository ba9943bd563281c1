"""The command `transfercast serve`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from transfercast.cli import app
from transfercast.core.errors import InputError, MissingExtraError

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@app.command()
def serve(
    predictor: Annotated[Path | None, typer.Option(help="Folder that train-meta wrote; without it, the prior.")] = None,
    history: Annotated[str | None, typer.Option(help="A database: then observations are taken and retraining is done.")] = None,
    host: Annotated[str, typer.Option(help="Address to bind; beyond loopback a key is needed.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8000,
    workers: Annotated[
        int, typer.Option(min=1, max=64, help="Processes that forecast; as many as cores for many clients.")
    ] = 1,
) -> None:
    """Serve forecasts and plans over HTTP, and learn from observations. Set TRANSFERCAST_API_KEY to ask for a key.

    Example: transfercast serve --predictor meta --history history.db --port 8000 --workers 2
    """
    try:
        import uvicorn

        from transfercast.service.app import create_app
    except ImportError as error:
        raise MissingExtraError("the service needs: pip install 'transfercast[service]'.") from error
    key = os.environ.get("TRANSFERCAST_API_KEY") or None
    if host not in LOOPBACK and key is None:
        raise InputError(f"--host {host} is reachable from elsewhere: set TRANSFERCAST_API_KEY first, or bind 127.0.0.1.")
    uvicorn.run(create_app(predictor, key, history, workers), host=host, port=port, access_log=False)
