"""Forecasts in processes of their own: one process of Python computes one forecast at a time, however many cores there are.

Requests go to whichever process is free, in the order in which they came, over a socket pair each: a length, then bytes;
those that wait are taken several at once. A task names the version it is for, so a process that still holds another loads
that one first, and a promotion counts for all from the next request on.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import multiprocessing
import signal
import socket
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from threadpoolctl import threadpool_limits

from transfercast.core.choices import Bounds
from transfercast.core.errors import TransfercastError
from transfercast.predictor.design import Design
from transfercast.predictor.model import Predictor
from transfercast.service.messages import ForecastRequest, answer_of

log = logging.getLogger(__name__)

_LENGTH = 4
"""Bytes of a length; bodies are bounded far below what they can say."""

MOST_TOGETHER = 8
"""Waiting requests that one process takes at once."""

Answer = tuple[int, bytes]
"""An HTTP status, and JSON: a ForecastAnswer, or what is wrong with the request."""


class WorkerDiedError(Exception):
    """Two processes ended while they were forecasting the same; others take their place."""


def answered(now: Predictor, bodies: Sequence[bytes]) -> list[Answer]:
    """Forecast what each of several bodies asks for; together they take less time than one by one.

    Read from bytes and written as bytes: checking a hundred rows twice takes longer than forecasting them.
    """
    answers: dict[int, Answer] = {}
    ready: dict[int, tuple[Design, float, Bounds]] = {}
    for number, body in enumerate(bodies):
        try:
            asked = ForecastRequest.model_validate_json(body)
            design = asked.design(now.fitted)
            now.check(design, asked.coverage)
            if asked.explain:
                answers[number] = 200, answer_of(now.forecast(design, asked.coverage, asked.bounds))
            else:
                ready[number] = design, asked.coverage, asked.bounds
        except ValidationError as error:
            answers[number] = 422, b'{"detail":' + error.json(include_url=False, include_context=False).encode() + b"}"
        except TransfercastError as error:
            answers[number] = error.http_status, _detail(str(error))
    for number, forecast in zip(ready, now.forecast_each(list(ready.values())), strict=True):
        answers[number] = 200, answer_of(forecast)
    return [answers[number] for number in range(len(bodies))]


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
        await asyncio.gather(*(worker.asked(version, [b""]) for worker in workers))
        self._serving = [asyncio.create_task(self._serve(worker)) for worker in workers]

    async def answer(self, version: str, body: bytes) -> Answer:
        """As `answered`, of one body, by the predictor of a version.

        Raises:
            WorkerDiedError: if the process died of it, and so did the next.
        """
        told: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        # tasks queue up, not those who wait for a process: of those, one that comes late could go before one just woken
        self._waiting.put_nowait((version, body, told))
        return await told

    async def stop(self) -> None:
        """End the processes."""
        for serving in self._serving:
            serving.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, worker: _Worker | None) -> None:
        try:
            while True:
                tasks = [await self._waiting.get()]
                while len(tasks) < MOST_TOGETHER and not self._waiting.empty():
                    tasks.append(self._waiting.get_nowait())
                version = tasks[-1][0]  # they differ only while one is replaced, and the last asked for the newest
                for again in (True, False):  # it may have died long before, or of these
                    try:
                        worker = worker or await _Worker.begun(self._folder)
                        answers = await worker.asked(version, [body for _, body, _ in tasks])
                    except (OSError, EOFError) as error:
                        if worker is not None:
                            worker.end()
                        worker = None
                        if not again:
                            _tell(tasks, WorkerDiedError(repr(error)))
                    else:
                        _tell(tasks, answers)
                        break
        finally:
            if worker is not None:
                worker.end()


def _tell(tasks: list[_Task], answers: list[Answer] | WorkerDiedError) -> None:
    for number, (_, _, told) in enumerate(tasks):
        if told.done():  # its client went away
            continue
        if isinstance(answers, WorkerDiedError):
            told.set_exception(answers)
        else:
            told.set_result(answers[number])


_Task = tuple[str, bytes, "asyncio.Future[Answer]"]
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

    async def asked(self, version: str, bodies: list[bytes]) -> list[Answer]:
        count = len(bodies).to_bytes(_LENGTH, "big")
        self._writer.write(b"".join([_sized(version.encode()), count, *map(_sized, bodies)]))
        await self._writer.drain()
        return [(await self._number(), await self._reader.readexactly(await self._number())) for _ in bodies]

    async def _number(self) -> int:
        return int.from_bytes(await self._reader.readexactly(_LENGTH), "big")

    def end(self) -> None:
        self._writer.close()
        self._process.terminate()


def _sized(content: bytes) -> bytes:
    return len(content).to_bytes(_LENGTH, "big") + content


def _work(asks: socket.socket, folder: Path | None) -> None:
    """What a process does until the service goes: read a version and bodies, answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; the service says when to end
    now = Predictor()
    with threadpool_limits(1), asks, asks.makefile("rwb") as stream:
        while version := stream.read(_number(stream.read)).decode():
            bodies = [stream.read(_number(stream.read)) for _ in range(_number(stream.read))]
            try:
                now = now if now.id == version else _loaded(folder, version)
                answers = _whatever_comes(now, bodies)
            except TransfercastError as error:
                answers = [(error.http_status, _detail(str(error)))] * len(bodies)
            for status, answer in answers:
                stream.write(status.to_bytes(_LENGTH, "big") + _sized(answer))
            stream.flush()


def _whatever_comes(now: Predictor, bodies: Sequence[bytes]) -> list[Answer]:
    """As `answered`; a mistake of ours costs the request that met it, and neither others nor the process."""
    try:
        return answered(now, bodies)
    except Exception:  # a process that died of any mistake would take up to seven other requests with it; logged below
        if len(bodies) > 1:
            return [answer for body in bodies for answer in _whatever_comes(now, [body])]
        log.exception("a forecast failed")
        return [(500, _detail("the service made a mistake; its log says more"))]


def _number(read: Callable[[int], bytes]) -> int:
    return int.from_bytes(read(_LENGTH), "big")


def _loaded(folder: Path | None, version: str) -> Predictor:
    place = folder and folder / "versions" / version
    found = Predictor.load(place if place and place.is_dir() else folder)
    gc.collect()
    gc.freeze()  # collections that look through all that was loaded again and again were a tenth of the time
    return found
