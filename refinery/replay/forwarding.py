"""One connection of a program to the recording gateway: each request is handed on, and noted.

Beside it goes one connection to the upstream. Bytes pass in both directions as they come; what a
proxy must change is the framing between neighbours (RFC 9110 section 7.6), the `Host`, and the
compressions asked for, which are cut to those that can be read back.
"""

import base64
import contextlib
import http.client
import select
import socket
import ssl
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from refinery.recorders import gateway_mark
from refinery.replay import passage, wire
from refinery.replay.exchange import Api
from refinery.replay.passage import Exchange, Headers, Outcome

PIECE_BYTES = 65536
CONNECT_S = 30.0
SILENCE_S = 900.0
"""Longest wait for the next byte of an upstream; SDKs give up after 600 s by default."""
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""RFC 9110 section 7.6.1."""

Passing = Callable[[Exchange, http.client.HTTPConnection], contextlib.AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class Route:
    """A base URL a program is to use, and where it leads."""

    vendor: str
    upstream: SplitResult

    @property
    def origin(self) -> str:
        """Scheme, host and port, without a user name."""
        host = self.upstream.netloc.rpartition("@")[2]
        return f"{self.upstream.scheme}://{host}"


class _UpstreamError(Exception):
    """The upstream broke off inside a response."""


class _ClientError(Exception):
    """The program broke off inside a request."""


class Handler(BaseHTTPRequestHandler):
    """One connection of the program, with one connection to the upstream beside it."""

    passing: Passing
    """Counts an exchange as under way while its `with` block runs."""
    route: Route
    port: int
    protocol_version = "HTTP/1.1"
    timeout = SILENCE_S

    def setup(self) -> None:
        """Prepare the connection to the upstream; it is opened by the first request."""
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._upstream = connect(self.route.upstream)

    def finish(self) -> None:
        """Close both connections."""
        self._upstream.close()
        with contextlib.suppress(OSError):
            super().finish()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: standard error is the program's."""

    def pass_on(self) -> None:
        """Hand one request on and its response back."""
        words = self.requestline.split()
        target = words[1] if len(words) > 1 else "/"
        if refusal := self._refusal(target):
            self.close_connection = True
            self._answer(*refusal)
            return
        headers = list(self.headers.items())
        exchange = Exchange(
            vendor=self.route.vendor,
            upstream=self.route.origin,
            method=self.command,
            target=target,
            headers=[pair for pair in headers if pair[0].lower() != gateway_mark.HEADER],
            recorded=passage.header(headers, gateway_mark.HEADER),
        )
        with type(self).passing(exchange, self._upstream):
            response = self._ask(exchange)
            if response is not None:
                self._hand_back(exchange, response)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_") and name != "do_CONNECT":  # how the base class finds a method
            return self.pass_on
        raise AttributeError(name)

    def _refusal(self, target: str) -> tuple[int, str, str] | None:
        """Why a request is not handed on: status, error type, message."""
        hosts = (None, f"127.0.0.1:{self.port}", f"localhost:{self.port}")
        if self.headers.get("host") not in hosts:
            return 403, "permission_error", "this gateway answers to its own address only"
        if not target.startswith("/"):
            return 400, "invalid_request_error", "this gateway is no general proxy"
        if self.headers.get("upgrade"):
            return 501, "api_error", "the recording gateway carries no web sockets"
        return None

    def _ask(self, exchange: Exchange) -> http.client.HTTPResponse | None:
        """Send the request on; None, after an answer, when no response came."""
        connection = self._upstream
        try:
            if connection.sock is not None and _is_stale(connection.sock):
                connection.close()
            self._send_head(connection, exchange)
            if connection.sock is not None:
                connection.sock.settimeout(SILENCE_S)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                # An upstream may answer before it has read the whole body.
                self._send_body(connection, exchange)
            return connection.getresponse()
        except _ClientError as error:
            connection.close()
            self.close_connection = True
            exchange.end(Outcome.CLIENT_LEFT, str(error))
            return None
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            self.close_connection = True
            why = f"{self.route.origin} did not answer: {error or type(error).__name__}"
            exchange.end(Outcome.UPSTREAM_FAILED, why)
            self._answer(502, "api_error", f"recording gateway: {why}")
            return None

    def _send_head(self, connection: http.client.HTTPConnection, exchange: Exchange) -> None:
        target = exchange.target
        if getattr(connection, "is_proxied", False):
            target = self.route.origin + target
        connection.putrequest(exchange.method, target, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", self.route.origin.partition("://")[2])
        is_chunked = self._is_chunked()
        for name, value in _end_to_end(exchange.headers):
            plain = name.lower()
            if plain in ("host", "expect") or (is_chunked and plain == "content-length"):
                continue
            is_codings = plain == "accept-encoding"
            connection.putheader(name, passage.readable_codings(value) if is_codings else value)
        if is_chunked:
            connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()

    def _is_chunked(self) -> bool:
        return "chunked" in (self.headers.get("transfer-encoding") or "").lower()

    def _send_body(self, connection: http.client.HTTPConnection, exchange: Exchange) -> None:
        for piece in self._pieces():
            exchange.body.add(exchange.elapsed_ns(), piece)
            if self._is_chunked():
                connection.send(b"%x\r\n%b\r\n" % (len(piece), piece))
            else:
                connection.send(piece)
        if self._is_chunked():
            connection.send(b"0\r\n\r\n")

    def _pieces(self) -> Iterator[bytes]:
        """The request's body as it comes."""
        if self._is_chunked():
            yield from self._chunks()
            return
        text = self.headers.get("content-length") or "0"
        yield from self._read(int(text) if text.isdecimal() else 0)

    def _read(self, size_bytes: int) -> Iterator[bytes]:
        """So many bytes of the request, as they come."""
        left = size_bytes
        while left > 0:
            try:
                piece = self.rfile.read1(min(left, PIECE_BYTES))
            except OSError as error:
                raise _ClientError(f"the program broke off: {error}") from error
            if not piece:
                raise _ClientError("the program did not send the whole body")
            left -= len(piece)
            yield piece

    def _chunks(self) -> Iterator[bytes]:
        """The chunks of a chunked body (RFC 9112 section 7.1)."""
        while True:
            try:
                line = self.rfile.readline(1024)
                size = int(line.split(b";")[0].strip(), 16)
            except (OSError, ValueError):
                raise _ClientError("a chunk of the body has no size") from None
            if size == 0:
                while self.rfile.readline(PIECE_BYTES).strip():
                    pass  # trailers
                return
            yield from self._read(size)
            self.rfile.readline(16)

    def _hand_back(self, exchange: Exchange, response: http.client.HTTPResponse) -> None:
        """Hand a response on, piece by piece as it comes."""
        exchange.status, exchange.reason = response.status, response.reason
        exchange.response_headers = list(response.headers.items())
        has_body = exchange.method != "HEAD" and response.status not in (204, 304)
        length = response.headers.get("content-length")
        try:
            is_chunked = self._send_response_head(response, has_body and length is None)
            for piece in _pieces_of(response, length) if has_body else ():
                exchange.response.add(exchange.elapsed_ns(), piece)
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece)
                self.wfile.flush()
            if is_chunked:
                self.wfile.write(b"0\r\n\r\n")
            exchange.end(Outcome.DONE)
        except _UpstreamError as error:
            exchange.end(Outcome.UPSTREAM_FAILED, str(error))
            self.close_connection = True
        except OSError:
            exchange.end(Outcome.CLIENT_LEFT)
            self.close_connection = True
        response.close()  # `read1` does not, when it has read a body of known length
        if exchange.outcome is not Outcome.DONE:
            self._upstream.close()

    def _send_response_head(self, response: http.client.HTTPResponse, is_open_ended: bool) -> bool:
        """Returns whether the body must be sent in chunks: its length is not known."""
        self.send_response_only(response.status, response.reason)
        for name, value in _end_to_end(list(response.headers.items())):
            self.send_header(name, value)
        is_chunked = is_open_ended and self.request_version == "HTTP/1.1"
        if is_chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif is_open_ended:
            self.close_connection = True
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        return is_chunked

    def _answer(self, status: int, kind: str, message: str) -> None:
        """An error of our own, in the vendor's shape."""
        api = Api.ANTHROPIC if self.route.vendor == "anthropic" else None
        body = wire.render_error(api, status, kind, message)
        with contextlib.suppress(OSError):
            self.send_response_only(status)
            self.send_header("Content-Type", wire.JSON_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)


def _pieces_of(response: http.client.HTTPResponse, length: str | None) -> Iterator[bytes]:
    """The body as it comes."""
    got = 0
    while True:
        try:
            piece = response.read1(PIECE_BYTES)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _UpstreamError(f"the response broke off: {error}") from error
        if not piece:
            break
        got += len(piece)
        yield piece
    if length is not None and length.isdecimal() and got < int(length):
        raise _UpstreamError(f"the response broke off after {got} of {length} bytes")


def _end_to_end(headers: Headers) -> Headers:
    """Headers meant for the other end, without those between neighbours."""
    named = {
        name.strip().lower()
        for key, value in headers
        if key.lower() == "connection"
        for name in value.split(",")
    }
    return [pair for pair in headers if pair[0].lower() not in _HOP_BY_HOP | named]


def _is_stale(connected: socket.socket) -> bool:
    """Whether the other side has closed a connection that was kept for the next request."""
    return bool(select.select([connected], [], [], 0)[0])


def connect(upstream: SplitResult) -> http.client.HTTPConnection:
    """A connection, not yet opened, to the host of a URL, through the proxy of the environment."""
    host, is_tls = upstream.hostname or "", upstream.scheme == "https"
    proxy = _proxy(upstream.scheme, upstream.netloc.rpartition("@")[2])
    reached = proxy or upstream
    made: http.client.HTTPConnection
    if is_tls:
        made = http.client.HTTPSConnection(
            reached.hostname or host,
            reached.port,
            timeout=CONNECT_S,
            context=ssl.create_default_context(),
        )
        if proxy:
            made.set_tunnel(host, upstream.port or 443, _authorization(proxy))
    else:
        made = http.client.HTTPConnection(
            reached.hostname or host, reached.port, timeout=CONNECT_S
        )
        made.is_proxied = proxy is not None  # type: ignore[attr-defined]  # read in `_send_head`
    return made


def _proxy(scheme: str, host: str) -> SplitResult | None:
    """The proxy the environment names for a host (`HTTPS_PROXY`, `NO_PROXY` …)."""
    found = urllib.request.getproxies_environment().get(scheme)
    if not found or urllib.request.proxy_bypass(host):
        return None
    return urlsplit(found if "://" in found else f"http://{found}")


def _authorization(proxy: SplitResult) -> dict[str, str]:
    """The header that answers a proxy's question who asks, from its URL."""
    if proxy.username is None:
        return {}
    words = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": "Basic " + base64.b64encode(words.encode()).decode()}
