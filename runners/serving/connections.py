"""Connections that keep a server waiting: closed after a time, and first of all where there are too many.

uvicorn has time limits for answers and for idle connections, none for a request's head.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from runners.serving.settings import ServeSettings

HEAD_BYTES = 64 * 1024
"""Greatest head of a request, trailers included. The parser has no limit of its own."""


class BoundedProtocol(HttpToolsProtocol):
    """A connection that may wait only for so long, among others that may be only so many.

    It *waits* while no whole request of it is there: before, within and between requests. A connection whose request is
    being answered is never closed here.
    """

    settings: ServeSettings
    waiting: OrderedDict[BoundedProtocol, None]
    """Of one server, the one that has waited for longest first."""

    _limit: asyncio.TimerHandle | None = None
    _others = 0
    """Bytes of the message that came and are no body: head, chunks' sizes, trailers."""
    _body = 0

    def connection_made(self, transport: Any) -> None:
        """A client is there: it gets a place, and time for a head."""
        super().connection_made(transport)
        self._waits(self.settings.head_timeout_s)
        while len(self.connections) > self.settings.max_connections and self.waiting:
            next(iter(self.waiting))._close()

    def data_received(self, data: bytes) -> None:
        """Something came; if it began a head between requests, the time for it runs."""
        self._others += len(data)
        super().data_received(data)
        # Chunks of a few bytes have sizes as long as themselves.
        if self._others > HEAD_BYTES + self._body:
            self._close()
            return
        if self not in self.waiting:
            return
        if self._limit is None and not self._is_asked():
            self._waits(self.settings.head_timeout_s)

    def on_message_begin(self) -> None:
        """A head begins."""
        self._others = self._body = 0
        super().on_message_begin()

    def on_body(self, body: bytes) -> None:
        """A part of a body is there."""
        self._others -= len(body)
        self._body += len(body)
        super().on_body(body)

    def on_headers_complete(self) -> None:
        """A head is whole: the body has a limit of its own, where it is read."""
        self._stop_clock()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """A request is whole: now the server is the one who is waited for."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.waiting.pop(self, None)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """A request is answered; the rest of a body that was refused is read and forgotten, for a time."""
        unread = self.cycle.more_body
        super().on_response_complete()
        if not self.transport.is_closing() and self.cycle.response_complete:
            unsent = self.transport.get_write_buffer_size()  # A client that does not read its answer.
            self._waits(self.settings.body_timeout_s if unread or unsent else None)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._stop_clock()
        self.waiting.pop(self, None)
        super().connection_lost(exc)

    def _is_asked(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _waits(self, seconds: float | None) -> None:
        self._stop_clock()
        self.waiting[self] = None
        self.waiting.move_to_end(self)
        if seconds is not None:
            self._limit = self.loop.call_later(seconds, self._close)

    def _stop_clock(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None

    def _close(self) -> None:
        self._stop_clock()
        self.waiting.pop(self, None)
        self.connections.discard(self)
        self.transport.abort()


def bounded(settings: ServeSettings) -> type[BoundedProtocol]:
    """Returns the class of a server's connections."""
    return type("Connection", (BoundedProtocol,), {"settings": settings, "waiting": OrderedDict()})
