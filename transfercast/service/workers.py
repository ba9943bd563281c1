"""Forecasts in processes of their own: one process of Python computes one forecast at a time, however many cores there are.

Questions go to whichever process is free, in the order in which they came, over a socket pair each: a length, then bytes;
those that wait are taken several at once. (The executors of the standard library take tasks one by one, and are broken
for good by one process that dies.) A task names the version it is for, so a process that still holds another loads that
one first, and a promotion counts for all from the next request on.

A process that dies, or takes too long, is replaced, and each question that it was asked is asked once more by itself: only
the one that it died of, or that takes too long by itself, is refused.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import multiprocessing
import signal
import socket
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import cast

from threadpoolctl import threadpool_limits

from transfercast.core.errors import TransfercastError
from transfercast.predictor.predictor import Predictor
from transfercast.service.answering import Answer, Kind, Question, answered
from transfercast.service.limits import FORECAST_SECONDS, MOST_TOGETHER, START_SECONDS
from transfercast.service.refusals import detail_of

log = logging.getLogger(__name__)

_LENGTH = 4
"""Bytes of a length; bodies are bounded far below what they can say."""

_READY = b"ready"


class Workers:
    """Processes that answer questions; start them in the event loop that asks.

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
        workers = [_Worker(self._folder) for _ in range(self._count)]
        await asyncio.gather(*(worker.answer(version, []) for worker in workers))
        self._serving = [asyncio.create_task(self._serve(worker)) for worker in workers]

    async def answer(self, version: str, question: Question) -> Answer:
        """As `answered`, of one question, by the predictor of a version; 503 if processes died of it or took too long."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        # tasks queue up, not those who wait for a process: of those, one that comes late could go before one just woken
        self._waiting.put_nowait((version, question, answer))
        return await answer

    async def stop(self) -> None:
        """End the processes."""
        for serving in self._serving:
            serving.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, worker: _Worker) -> None:
        try:
            while True:
                tasks = [await self._waiting.get()]
                while len(tasks) < MOST_TOGETHER and not self._waiting.empty():
                    tasks.append(self._waiting.get_nowait())
                version = tasks[-1][0]  # they differ only while one is replaced, and the last asked for the newest
                answers = await worker.answer(version, [question for _, question, _ in tasks])
                for (_, _, waiting), answer in zip(tasks, answers, strict=True):
                    if not waiting.done():  # else its client went away
                        waiting.set_result(answer)
        finally:
            worker.end()


_Task = tuple[str, Question, "asyncio.Future[Answer]"]
"""A version, a question, and where the answer goes."""


class _Worker:
    """A place for one process, as the service sees it; the process begins when it is needed."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._process: BaseProcess | None = None
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def answer(self, version: str, questions: list[Question], again: bool = True) -> list[Answer]:
        """One answer a question.

        Args:
            version: that is to answer.
            questions: several take less time together.
            again: ask one that the process dies of once more, since it may have died long before.
        """
        try:
            return await self._ask(version, questions)
        except TimeoutError:
            again = len(questions) > 1
            refused = f"this took longer than {FORECAST_SECONDS:g} s; send fewer rows or targets"
        except (OSError, EOFError) as error:
            log.warning("a process that forecasts died: %r", error)
            again = again or len(questions) > 1
            refused = "the processes that were to forecast this died and are replaced; send fewer rows, or try again"
        if not again:
            return [(503, detail_of(refused))]
        return [answer for question in questions for answer in await self.answer(version, [question], again=False)]

    def end(self) -> None:
        """End the process, whatever it is doing."""
        if self._process is not None:
            self._writer.close()
            self._process.kill()
            self._process = None

    async def _ask(self, version: str, questions: list[Question]) -> list[Answer]:
        if self._process is None:
            await self._begin()
        try:
            async with asyncio.timeout(FORECAST_SECONDS):
                parts = [part for question in questions for part in (question.kind.encode(), question.body)]
                count = len(questions).to_bytes(_LENGTH, "big")
                self._writer.write(b"".join([_sized(version.encode()), count, *map(_sized, parts)]))
                await self._writer.drain()
                return [(await self._number(), await self._part()) for _ in range(await self._number())]
        except BaseException:  # what it would answer later is the answer to another question by then
            self.end()
            raise

    async def _begin(self) -> None:
        ours, theirs = socket.socketpair()
        spawned = multiprocessing.get_context("spawn")  # a fork would copy locks that threads hold
        self._process = spawned.Process(target=_work, args=(theirs, self._folder), daemon=True)
        self._process.start()
        theirs.close()
        self._reader, self._writer = await asyncio.open_connection(sock=ours)
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._part()
        except BaseException:
            self.end()
            raise

    async def _part(self) -> bytes:
        return await self._reader.readexactly(await self._number())

    async def _number(self) -> int:
        return int.from_bytes(await self._reader.readexactly(_LENGTH), "big")


def _sized(content: bytes) -> bytes:
    return len(content).to_bytes(_LENGTH, "big") + content


def _work(asks: socket.socket, folder: Path | None) -> None:
    """What a process does until the service goes: read a version and questions, answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; the service says when to end
    predictor = Predictor()
    with threadpool_limits(1), asks, asks.makefile("rwb") as stream:

        def part() -> bytes:
            return stream.read(_number(stream.read))

        stream.write(_sized(_READY))
        stream.flush()
        while version := part().decode():
            questions = [Question(cast("Kind", part().decode()), part()) for _ in range(_number(stream.read))]
            try:
                predictor = predictor if predictor.id == version else _loaded(folder, version)
                answers = _whatever_comes(predictor, questions)
            except TransfercastError as error:
                answers = [(error.http_status, detail_of(str(error)))] * len(questions)
            stream.write(len(answers).to_bytes(_LENGTH, "big"))
            for status, answer in answers:
                stream.write(status.to_bytes(_LENGTH, "big") + _sized(answer))
            stream.flush()


def _whatever_comes(predictor: Predictor, questions: Sequence[Question]) -> list[Answer]:
    """As `answered`; a mistake of ours costs the request that met it, and neither others nor the process."""
    try:
        return answered(predictor, questions)
    except Exception:  # a process that died of any mistake would take up to seven other requests with it; logged below
        if len(questions) > 1:
            return [answer for question in questions for answer in _whatever_comes(predictor, [question])]
        log.exception("a forecast failed")
        return [(500, detail_of("the service made a mistake; its log says more"))]


def _number(read: Callable[[int], bytes]) -> int:
    return int.from_bytes(read(_LENGTH), "big")


def _loaded(folder: Path | None, version: str) -> Predictor:
    place = folder and folder / "versions" / version
    predictor = Predictor.load(place if place and place.is_dir() else folder)
    gc.unfreeze()  # of what was loaded before
    gc.collect()
    gc.freeze()  # collections that look through all that was loaded again and again were a tenth of the time
    return predictor
