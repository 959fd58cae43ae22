"""Runs the collector under uvicorn."""

import asyncio
import errno
import gc
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from refinery.errors import CredentialsError, InputError
from refinery.server.app import create_app
from refinery.server.config import ServeSettings
from refinery.server.limits import CONNECTIONS, HEADER_BYTES
from refinery.server.security import is_loopback

GRACE_S = 8
"""Longest wait for open requests when the server ends."""

_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n\r\n"
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n\r\n"


def require_secrets(settings: ServeSettings) -> None:
    """Check that an address others can reach is not open to them.

    Raises:
        CredentialsError: no key or no token is set for it.
    """
    if is_loopback(settings.host):
        return
    if settings.api_key is None:
        raise CredentialsError(
            f"{settings.host} can be reached by others, so clients need an API key",
            hint="set REFINERY_API_KEY or give --api-key-file",
        )
    if settings.token is None:
        raise CredentialsError(
            f"{settings.host} can be reached by others, so the pages need a token you choose",
            hint="set REFINERY_TOKEN or give --token-file",
        )


def serve(settings: ServeSettings, announce: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; what was acknowledged by then is in the store.

    Args:
        settings: what to serve, and where.
        announce: called once with the server's address when it takes requests.

    Raises:
        CredentialsError: the address can be reached by others and no key or token is set.
        InputError: the address cannot be used, e.g. its port is taken.
        StoreError: the store cannot be used.
    """
    require_secrets(settings)
    with _listening(settings) as listener:
        os.umask(0o077)  # whatever a store writes is the user's alone
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        app = create_app(settings)
        server = _Server(
            uvicorn_config(app, settings),
            announce=lambda: announce(_url(settings.host, listener)),
            ending=app.state.board.end_streams,
        )
        _calm_collector()
        asyncio.run(server.serve(sockets=[listener]))


def _calm_collector() -> None:
    """Have Python look for cycles less often.

    A batch of runs is thousands of containers that live until they are committed, and none is
    part of a cycle: looking at them again and again costs a tenth of reading them.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


@contextmanager
def _listening(settings: ServeSettings) -> Iterator[socket.socket]:
    """A socket that listens, so that a taken port is known before anything else is done."""
    where = f"{settings.host}:{settings.port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host.strip("[]"), settings.port, type=socket.SOCK_STREAM
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise InputError(f"cannot listen on {where}: {error}", hint="check --host") from error
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(256)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise InputError(
                    f"port {settings.port} of {settings.host} is in use by another program",
                    hint="end it, or choose another port with --port (0: any free one)",
                ) from error
            raise InputError(
                f"cannot listen on {where}: {error.strerror}", hint="check --host and --port"
            ) from error
        yield listener


def _url(host: str, listener: socket.socket) -> str:
    """The address clients of this machine use."""
    port = listener.getsockname()[1]
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104  # compared only
    return (
        f"http://[{name}]:{port}" if ":" in name and "[" not in name else f"http://{name}:{port}"
    )


class _Server(uvicorn.Server):
    """uvicorn's server, which ends quietly on a signal and says when it is ready."""

    def __init__(
        self, config: uvicorn.Config, announce: Callable[[], None], ending: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self.announce = announce
        self.ending = ending

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        await super().startup(sockets)
        if self.started:
            self.announce()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Let those go who listen to events: they would not go by themselves."""
        self.ending()
        super().handle_exit(sig, frame)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End gracefully on the first signal, at once on the second."""
        # uvicorn's own would raise the signal again at the end: a requested end is no failure.
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield


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
