"""uvicorn's HTTP/1.1 protocol, with limits on the size and time of a request before the application is called.

uvicorn's parsers keep a header line until it ends, and joining its pieces takes a time that grows with the square of its
length; and they wait without limit for a request that does not begin or end. httptools, the faster of the two parsers, has
no options against either.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from transfercast.service.limits import ARRIVAL_SECONDS, MOST_BYTES, MOST_HEAD_BYTES


class BoundedProtocol(HttpToolsProtocol):
    """Closes a connection whose request is too long, or does not arrive in time."""

    _in_head = True
    _received = 0
    _due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Wait for a request, for a limited time."""
        super().connection_made(transport)
        self._due = self.loop.call_later(ARRIVAL_SECONDS, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Process received bytes, unless there are too many."""
        self._received += len(data)
        super().data_received(data)
        most = MOST_HEAD_BYTES if self._in_head else MOST_HEAD_BYTES + 2 * MOST_BYTES
        if self._received > most and not self.transport.is_closing():
            self.send_400_response("The request is too long.")

    def on_message_begin(self) -> None:
        """Start the time limit of a request that begins."""
        super().on_message_begin()
        self._in_head, self._received = True, 0
        self._arrived()
        self._due = self.loop.call_later(ARRIVAL_SECONDS, self.transport.close)

    def on_headers_complete(self) -> None:
        """Note that the headers are complete."""
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Note that the request is complete."""
        super().on_message_complete()
        self._arrived()

    def _arrived(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
