"""The recording gateway: a loopback server that hands a program's model calls on, and notes them.

Each base URL of the program has a listener of its own on 127.0.0.1, so a path needs no rewriting
and a request can go to that base URL's host only. Bytes are passed on as they come, in both
directions; keys pass through and are not kept.
"""

import contextlib
import http.client
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from refinery.errors import InputError
from refinery.recorders import gateway_mark
from refinery.replay.forwarding import Handler, Route
from refinery.replay.passage import Exchange, Outcome
from refinery.replay.upstream import ANTHROPIC_DEFAULT, OPENAI_DEFAULT

CLOSING_S = 2.0
"""Longest wait for exchanges under way when the gateway is closed."""
VENDORS: Mapping[str, tuple[tuple[str, ...], str | None]] = {
    "openai": (("OPENAI_BASE_URL", "OPENAI_API_BASE"), OPENAI_DEFAULT),
    "anthropic": (("ANTHROPIC_BASE_URL", "ANTHROPIC_API_URL"), ANTHROPIC_DEFAULT),
    "azure": (("AZURE_OPENAI_ENDPOINT",), None),
}
"""Variables that name each vendor's base URL, and its public one; None: only when one is set."""

Listener = Callable[[Exchange], None]


class RecordingGateway:
    """Serves until its `with` block ends.

    Args:
        environment: the program's; says which base URLs it uses.
        begun: called when a request has arrived, from the thread that serves it.
        ended: called when its exchange is over, likewise.

    Raises:
        InputError: a base URL of the environment is no http(s) URL.
    """

    def __init__(self, environment: Mapping[str, str], begun: Listener, ended: Listener) -> None:
        self.begun = begun
        self.ended = ended
        self.is_closing = False
        self._open: dict[str, tuple[Exchange, http.client.HTTPConnection]] = {}
        self._changed = threading.Condition()
        self._servers: dict[tuple[str, str], _Server] = {}
        self._announced: dict[str, str] = {}
        for vendor, (names, default) in VENDORS.items():
            chosen = next((environment[name] for name in names if environment.get(name)), default)
            for name in names:
                if url := environment.get(name) or chosen:
                    self._announced[name] = self._listen(name, vendor, url)

    def variables(self, environment: Mapping[str, str]) -> dict[str, str]:
        """The variables that make a program use the gateway."""
        origins = [f"http://127.0.0.1:{server.port}" for server in self._servers.values()]
        made = {**self._announced, gateway_mark.ORIGINS: ",".join(origins)}
        for name in ("NO_PROXY", "no_proxy"):
            known = environment.get(name)
            made[name] = f"{known},127.0.0.1" if known else "127.0.0.1"
        return made

    def _listen(self, name: str, vendor: str, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError(f"{name}={url!r} is no http(s) URL", hint=f"correct {name}")
        route = Route(vendor, parts)
        server = self._servers.get((vendor, route.origin))
        if server is None:
            server = self._servers[vendor, route.origin] = _Server(self, route)
        user, at, _ = parts.netloc.rpartition("@")
        local = f"{user}{at}127.0.0.1:{server.port}"
        return urlunsplit(("http", local, parts.path, parts.query, ""))

    def __enter__(self) -> "RecordingGateway":
        """Start to listen."""
        for server in self._servers.values():
            server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        stack: TracebackType | None,
    ) -> None:
        """Stop listening; what is under way may end first, for at most `CLOSING_S`."""
        for server in self._servers.values():
            server.stop()
        with self._changed:
            self._changed.wait_for(lambda: not self._open, CLOSING_S)
            self.is_closing = True
            left = list(self._open.values())
        for exchange, connection in left:
            exchange.end(Outcome.GATEWAY_CLOSED, "the command had ended")
            with contextlib.suppress(OSError):
                if connection.sock is not None:
                    connection.sock.shutdown(socket.SHUT_RDWR)
        with self._changed:
            self._changed.wait_for(lambda: not self._open, CLOSING_S)

    @contextlib.contextmanager
    def passing(
        self, exchange: Exchange, connection: http.client.HTTPConnection
    ) -> Iterator[None]:
        """Count an exchange as under way, and tell of its beginning and its end."""
        with self._changed:
            self._open[exchange.exchange_id] = (exchange, connection)
        self.begun(exchange)
        try:
            yield
        finally:
            exchange.end(Outcome.UPSTREAM_FAILED, "the gateway failed")
            self.ended(exchange)
            with self._changed:
                self._open.pop(exchange.exchange_id, None)
                self._changed.notify_all()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, gateway: RecordingGateway, route: Route) -> None:
        class Routed(Handler):
            """The connections of this listener."""

        Routed.passing, Routed.route = gateway.passing, route
        super().__init__(("127.0.0.1", 0), Routed)
        Routed.port = self.port
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that goes away is no error of ours."""
