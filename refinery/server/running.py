"""Runs the collector under uvicorn."""

import asyncio

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from refinery.server.config import ServeSettings
from refinery.server.limits import CONNECTIONS, HEADER_BYTES

GRACE_S = 8
"""Longest wait for open requests when the server ends."""

_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n\r\n"
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n\r\n"


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, which by itself bounds neither size nor time of the headers."""

    patience_s = 10.0
    """Longest a client may take to send its headers."""

    _header_bytes = 0
    _awaits_headers = True
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Give a new connection its time for the first headers."""
        super().connection_made(transport)
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline."""
        self._forget_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes in, unless the headers they belong to are too long."""
        if self._awaits_headers:
            self._header_bytes += len(data)
        super().data_received(data)
        if self._awaits_headers and self._header_bytes > HEADER_BYTES:
            self._end(_TOO_LARGE)

    def on_message_begin(self) -> None:
        """Start to count a request's headers."""
        super().on_message_begin()
        self._header_bytes = 0
        self._await_headers()

    def on_headers_complete(self) -> None:
        """Stop to count."""
        self._awaits_headers = False
        self._forget_deadline()
        super().on_headers_complete()

    def _await_headers(self) -> None:
        self._awaits_headers = True
        self._forget_deadline()
        self._deadline = self.loop.call_later(self.patience_s, self._end, _TOO_SLOW)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _end(self, answer: bytes) -> None:
        self._awaits_headers = False
        self._forget_deadline()
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(answer)
            self.transport.close()


def uvicorn_config(app: ASGIApp, settings: ServeSettings) -> uvicorn.Config:
    """How uvicorn serves the application: bounded, silent, HTTP only."""
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=BoundedProtocol,
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=GRACE_S,
    )
