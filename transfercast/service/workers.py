"""Forecasts in processes of their own: one process of Python computes one forecast at a time, however many cores there are.

Requests go to whichever process is free, in the order in which they came, over a socket pair each: a length, then bytes.
A task names the version it is for, so a process that still holds another loads that one first, and a promotion counts
for all from the next request on.
"""

from __future__ import annotations

import asyncio
import gc
import json
import multiprocessing
import socket
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from threadpoolctl import threadpool_limits

from transfercast.core.errors import TransfercastError
from transfercast.predictor.model import Predictor
from transfercast.service.messages import ForecastRequest, answer_of

_LENGTH = 4
"""Bytes of a length; bodies are bounded far below what they can say."""


class WorkerDiedError(Exception):
    """Two processes ended while they were forecasting the same; others take their place."""


def answered(now: Predictor, body: bytes) -> tuple[int, bytes]:
    """Forecast what a body asks for. Read from bytes and written as bytes: checking a hundred rows twice takes longer
    than forecasting them.

    Returns:
        An HTTP status, and JSON: a ForecastAnswer, or what is wrong with the request.
    """
    try:
        asked = ForecastRequest.model_validate_json(body)
        forecast = now.forecast(asked.design(now.fitted), asked.coverage, asked.bounds, asked.explain)
    except ValidationError as error:
        return 422, b'{"detail":' + error.json(include_url=False, include_context=False).encode() + b"}"
    except TransfercastError as error:
        return error.http_status, _detail(str(error))
    return 200, answer_of(forecast)


def _detail(what: Any) -> bytes:
    return json.dumps({"detail": what}).encode()


class Workers:
    """Processes that answer requests for forecasts; start them in the event loop that asks.

    Args:
        folder: of the predictor's versions; None for the prior.
        count: of processes.
    """

    def __init__(self, folder: Path | None, count: int) -> None:
        self._folder, self._count = folder, count
        self._waiting: asyncio.Queue[_Task] = asyncio.Queue()
        self._serving: list[asyncio.Task[None]] = []

    async def start(self, version: str) -> None:
        """Begin the processes, and have each load a version."""
        workers = [await _Worker.begun(self._folder) for _ in range(self._count)]
        await asyncio.gather(*(worker.asked(version, b"") for worker in workers))
        self._serving = [asyncio.create_task(self._serve(worker)) for worker in workers]

    async def answer(self, version: str, body: bytes) -> tuple[int, bytes]:
        """As `answered`, by the predictor of a version.

        Raises:
            WorkerDiedError: if the process died of it, and so did the next.
        """
        told: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
        # tasks queue up, not those who wait for a process: of those, one that comes late could go before one just woken
        self._waiting.put_nowait((version, body, told))
        return await told

    async def stop(self) -> None:
        """End the processes."""
        for serving in self._serving:
            serving.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, worker: _Worker) -> None:
        try:
            while True:
                version, body, told = await self._waiting.get()
                for again in (True, False):  # it may have died long before, or of this body
                    try:
                        answer = await worker.asked(version, body)
                    except (OSError, EOFError) as error:
                        worker.end()
                        worker = await _Worker.begun(self._folder)
                        if not again and not told.done():
                            told.set_exception(WorkerDiedError(repr(error)))
                    else:
                        if not told.done():
                            told.set_result(answer)
                        break
        finally:
            worker.end()


_Task = tuple[str, bytes, "asyncio.Future[tuple[int, bytes]]"]
"""A version, a body, and where the answer goes."""


class _Worker:
    """One process, as the service sees it."""

    def __init__(self, process: BaseProcess, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._process, self._reader, self._writer = process, reader, writer

    @classmethod
    async def begun(cls, folder: Path | None) -> _Worker:
        ours, theirs = socket.socketpair()
        spawned = multiprocessing.get_context("spawn")  # a fork would copy locks that threads hold
        process = spawned.Process(target=_work, args=(theirs, folder), daemon=True)
        process.start()
        theirs.close()
        return cls(process, *await asyncio.open_connection(sock=ours))

    async def asked(self, version: str, body: bytes) -> tuple[int, bytes]:
        name = version.encode()
        self._writer.write(_sized(name) + _sized(body))
        await self._writer.drain()
        status = int.from_bytes(await self._reader.readexactly(_LENGTH), "big")
        return status, await self._reader.readexactly(int.from_bytes(await self._reader.readexactly(_LENGTH), "big"))

    def end(self) -> None:
        self._writer.close()
        self._process.terminate()


def _sized(content: bytes) -> bytes:
    return len(content).to_bytes(_LENGTH, "big") + content


def _work(asks: socket.socket, folder: Path | None) -> None:
    """What a process does until the service goes: read a version and a body, answer."""
    now = Predictor()
    with threadpool_limits(1), asks, asks.makefile("rwb") as stream:
        while size := stream.read(_LENGTH):
            version = stream.read(int.from_bytes(size, "big")).decode()
            body = stream.read(int.from_bytes(stream.read(_LENGTH), "big"))
            try:
                now = now if now.id == version else _loaded(folder, version)
                status, answer = answered(now, body)
            except TransfercastError as error:
                status, answer = error.http_status, _detail(str(error))
            stream.write(status.to_bytes(_LENGTH, "big") + _sized(answer))
            stream.flush()


def _loaded(folder: Path | None, version: str) -> Predictor:
    place = folder and folder / "versions" / version
    found = Predictor.load(place if place and place.is_dir() else folder)
    gc.collect()
    gc.freeze()  # collections that look through all that was loaded again and again were a tenth of the time
    return found
