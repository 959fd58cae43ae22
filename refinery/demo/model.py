"""A model server on loopback that speaks the OpenAI chat API and answers with `demo.reader`."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from refinery.demo import reader
from refinery.errors import InputError
from refinery.model.trace import Usage
from refinery.replay.wire import ModelReply, ModelRequest, api_of, parse_request, render
from refinery.replay.wire import render_error as error_body

Answer = Callable[[ModelRequest], ModelReply]
MAX_BODY_BYTES = 4 << 20
"""Larger requests are refused; the demo's are a few kilobytes."""


@contextmanager
def serve(answer: Answer | None = None) -> Iterator[str]:
    """Serve a scripted model on a free port of the loopback interface.

    Args:
        answer: answers each request; None: `reply`.

    Yields:
        The base URL as `OPENAI_BASE_URL` wants it, e.g. `http://127.0.0.1:40213/v1`.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(answer or reply))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="scripted-model", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()


def reply(request: ModelRequest) -> ModelReply:
    """Answer one request; words are counted as tokens."""
    said = reader.read(request.messages, request.tools)
    read_words = sum(len(message.text.split()) for message in request.messages)
    usage = Usage(input=read_words, output=len(said.text.split()) or 1)
    return ModelReply(
        text=said.text,
        tool_calls=(said.call,) if said.call else (),
        usage=usage,
        finish_reason="tool_calls" if said.call else "stop",
        model=request.model,
    )


def _handler(answer: Answer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            """Answer a model call."""
            length = int(self.headers.get("Content-Length") or 0)
            if not 0 < length <= MAX_BODY_BYTES:
                self._refuse("the body is empty or too large")
                return
            try:
                request = parse_request(self.path, json.loads(self.rfile.read(length)))
            except (InputError, ValueError, RecursionError) as error:
                self._refuse(str(error))
                return
            content_type, chunks = render(request, answer(request))
            self._send(200, content_type, b"".join(chunks))

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: the terminal belongs to the demo's story."""

        def _refuse(self, message: str) -> None:
            self.close_connection = True
            body = error_body(api_of(self.path), 400, "invalid_request_error", message)
            self._send(400, "application/json", body)

        def _send(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler
