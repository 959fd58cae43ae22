"""A model on loopback that speaks the OpenAI and Anthropic APIs and answers by a function."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from refinery.errors import InputError
from refinery.replay.wire import ModelReply, ModelRequest, parse_request, render, render_error


class StatusError(Exception):
    """Returned (or raised) by an answer function to fail the call with an HTTP status."""

    def __init__(
        self,
        status: int,
        message: str = "refused by the test",
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}


Answer = Callable[[ModelRequest], ModelReply | StatusError]


class ModelServer:
    """Serves `answer` until the `with` block ends.

    OpenAI clients use `base_url=server.url + "/v1"`, Anthropic clients `base_url=server.url`.
    """

    def __init__(self, answer: Answer, port: int = 0) -> None:
        self.answer = answer
        self.requests: list[ModelRequest] = []
        """Every model call, in order of arrival."""
        self.headers: list[dict[str, str]] = []
        """Lower-case headers of every model call, in the same order."""
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> "ModelServer":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        stack: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop answering; later connections are refused."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(60)


def _handler(server: ModelServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            models = [{"id": "scripted", "object": "model", "created": 0, "owned_by": "test"}]
            self.send(
                200, "application/json", json.dumps({"object": "list", "data": models}).encode()
            )

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length") or 0))
            try:
                request = parse_request(self.path, json.loads(raw))
            except (InputError, ValueError) as error:
                body = render_error(None, 400, "invalid_request_error", str(error))
                self.send(400, "application/json", body)
                return
            server.requests.append(request)
            server.headers.append({k.lower(): v for k, v in self.headers.items()})
            try:
                reply = server.answer(request)
            except StatusError as failure:
                reply = failure
            if isinstance(reply, StatusError):
                body = render_error(request.api, reply.status, "test_failure", str(reply))
                self.send(reply.status, "application/json", body, reply.headers)
                return
            content_type, chunks = render(request, reply)
            self.send(200, content_type, b"".join(chunks))

        def send(
            self, status: int, kind: str, body: bytes, headers: dict[str, str] | None = None
        ) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    return Handler
