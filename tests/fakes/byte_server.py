"""An HTTP server on loopback that sends exactly the bytes it is told to, piece by piece."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from types import TracebackType
from typing import Any


@dataclass
class Asked:
    """A request as it arrived."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name), None)


@dataclass
class Bytes:
    """A response; without a length it is sent in chunks."""

    pieces: Iterable[bytes]
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    length: int | None = None
    breaks_off: bool = False
    """Close the connection after the last piece, without the end of the body."""


class ByteServer:
    """Serves `answer` until the `with` block ends."""

    def __init__(self, answer: Callable[[Asked], Bytes]) -> None:
        self.answer = answer
        self.asked: list[Asked] = []

        class Handler(_Handler):
            owner = self

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "ByteServer":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        stack: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(60)


class _Handler(BaseHTTPRequestHandler):
    owner: ByteServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self.do
        raise AttributeError(name)

    def do(self) -> None:
        body = _body(self.rfile, self.headers)
        asked = Asked(self.command, self.path, list(self.headers.items()), body)
        self.owner.asked.append(asked)
        told = self.owner.answer(asked)
        self.send_response_only(told.status)
        for name, value in told.headers.items():
            self.send_header(name, value)
        if told.length is None:
            self.send_header("transfer-encoding", "chunked")
        else:
            self.send_header("content-length", str(told.length))
        self.end_headers()
        try:
            self.send_pieces(told)
        except OSError:
            self.close_connection = True

    def send_pieces(self, told: Bytes) -> None:
        is_chunked = told.length is None
        for piece in told.pieces:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece)
            self.wfile.flush()
        if told.breaks_off:
            self.close_connection = True
        elif is_chunked:
            self.wfile.write(b"0\r\n\r\n")


def _body(file: BufferedIOBase, headers: Message) -> bytes:
    if (headers.get("transfer-encoding") or "") != "chunked":
        return file.read(int(headers.get("content-length") or 0))
    parts = []
    while size := int(file.readline(), 16):
        parts.append(file.read(size))
        file.readline()
    file.readline()
    return b"".join(parts)
