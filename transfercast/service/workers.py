"""Forecasts in worker processes, because one process of Python uses one core and computes one forecast at a time.

Questions go to the next free process, in the order of their arrival, over one socket pair for each process: a length, then
bytes; a process takes several waiting questions at once. (The executors of the standard library take tasks one by one, and
cannot be used any more after one process has died.) A task names its version: a process that holds another version loads this
one first, so a promotion holds for all processes from the next request on.

A process that dies, or takes too long, is replaced, and each of its questions is asked once more alone: only a question that
again ends the process, or takes too long alone, is refused.
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
"""Bytes of a length; bodies are limited to far less than the largest length."""

_READY = b"ready"


class Workers:
    """Processes that answer questions; start them in the event loop that asks.

    Args:
        folder: folder of the predictor's versions; None for the predictor that comes with the package.
        count: number of processes.
    """

    def __init__(self, folder: Path | None, count: int) -> None:
        self._folder, self._count = folder, count
        self._waiting: asyncio.Queue[_Task] = asyncio.Queue()
        self._serving: list[asyncio.Task[None]] = []

    async def start(self, version: str) -> None:
        """Start the processes, and let each load a version."""
        workers = [_Worker(self._folder) for _ in range(self._count)]
        await asyncio.gather(*(worker.answer(version, []) for worker in workers))
        self._serving = [asyncio.create_task(self._serve(worker)) for worker in workers]

    async def answer(self, version: str, question: Question) -> Answer:
        """The answer to one question by the predictor of a version; 503 if processes died of it or took too long."""
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
                version = tasks[-1][0]  # they differ only while one is replaced, and the last task is for the newest
                answers = await worker.answer(version, [question for _, question, _ in tasks])
                for (_, _, waiting), answer in zip(tasks, answers, strict=True):
                    if not waiting.done():  # else its client has closed the connection
                        waiting.set_result(answer)
        finally:
            worker.end()


_Task = tuple[str, Question, "asyncio.Future[Answer]"]
"""A version, a question, and the future of its answer."""


class _Worker:
    """The service's handle of one process; the process is started when it is needed."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._process: BaseProcess | None = None
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def answer(self, version: str, questions: list[Question], again: bool = True) -> list[Answer]:
        """One answer for each question.

        Args:
            version: version that is to answer.
            questions: several together take less time.
            again: ask a question once more if the process dies, because the process may have been dead before.
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
        """End the process, also during a forecast."""
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
        except BaseException:  # a later answer would be taken for that of another question
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
    """The loop of a process until the service ends: read a version and questions, and answer."""
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
    """The same as `answered`; an unexpected error refuses only its own request, and the process goes on."""
    try:
        return answered(predictor, questions)
    except Exception:  # if the process died, up to seven other requests would fail; logged below
        if len(questions) > 1:
            return [answer for question in questions for answer in _whatever_comes(predictor, [question])]
        log.exception("a forecast failed")
        return [(500, detail_of("the service made a mistake; its log says more"))]


def _number(read: Callable[[int], bytes]) -> int:
    return int.from_bytes(read(_LENGTH), "big")


def _loaded(folder: Path | None, version: str) -> Predictor:
    place = folder and folder / "versions" / version
    predictor = Predictor.load(place if place and place.is_dir() else folder)
    gc.unfreeze()  # objects of the previous predictor
    gc.collect()
    gc.freeze()  # garbage collections over all loaded objects took a tenth of the time
    return predictor
