"""Write observations to the history: one request after the other, each with a limited wait."""

from __future__ import annotations

import asyncio

import sqlalchemy as sa

from transfercast.core.errors import InputError, TransfercastError
from transfercast.core.files import reason
from transfercast.history.store import History
from transfercast.service.limits import WRITE_SECONDS
from transfercast.service.messages import Appended, Observations
from transfercast.service.refusals import BusyError, parsed


class Recorder:
    """Writes the observations of clients.

    Args:
        history: URL or file.

    Attributes:
        past: the history, for reading.

    Raises:
        InputError: if the history cannot be opened.
    """

    def __init__(self, history: str) -> None:
        self.past = History(history, wait_seconds=WRITE_SECONDS)
        self.url = self.past.url
        self._turn = asyncio.Lock()

    async def record(self, body: bytes) -> Appended:
        """Append the observations of a request's body.

        Raises:
            WrongBodyError, InputError: if one of them is wrong; then none is kept.
            BusyError: if the database is locked, or cannot be reached.
        """
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await self._turn.acquire()
        except TimeoutError as error:
            raise BusyError("other observations are being written; send these again") from error
        try:
            return await asyncio.to_thread(self._append, body)
        finally:
            self._turn.release()

    def _append(self, body: bytes) -> Appended:
        sent = parsed(Observations, body)
        records = sent.records()
        try:
            columns = [description.column() for description in sent.columns]
            return Appended(new=self.past.append(records, columns), total=len(self.past))
        except sa.exc.SQLAlchemyError as error:
            raise InputError(f"the history does not take these observations ({reason(error)}).") from error
        except TransfercastError as error:
            if isinstance(error, InputError):
                raise
            raise BusyError(str(error)) from error
