"""The scripted model as a server on loopback: OpenAI chat and responses, Anthropic messages.

What it says is decided by `_mind` from the request. This file does what a provider does around
it: counts words as tokens and cuts at the limit that was sent, answers late, or turns requests
away for the moment.
"""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from benchmarks.agents._mind import Asked, Knowledge, answer
from refinery.errors import InputError
from refinery.model.trace import Usage
from refinery.replay.live_answers import key_of
from refinery.replay.wire import ModelReply, ModelRequest, api_of, parse_request, render
from refinery.replay.wire import render_error as error_body

_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")


@dataclass(frozen=True, slots=True)
class Trouble:
    """What goes wrong around a model."""

    busy_about: str = ""
    """Requests that hold this text are turned away …"""
    busy_times: int = 0
    """… so often before they are answered."""
    slow_about: str = ""
    slow_s: float = 0.0
    """Requests that hold this text are answered after so many seconds."""


@dataclass(slots=True)
class Model:
    """One fixture's model; safe for threads."""

    knowledge: Knowledge
    trouble: Trouble = field(default_factory=Trouble)
    _seen: Counter[str] = field(default_factory=Counter)
    _turned_away: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def read(cls, path: Path) -> "Model":
        """The model a fixture's `model.json` describes."""
        told = json.loads(path.read_text(encoding="utf-8"))
        trouble = Trouble(**told.pop("trouble", {}))
        for name in ("memory", "chatter"):
            told[name] = tuple(told.get(name, ()))
        return cls(Knowledge(**told), trouble)

    def is_busy(self, text: str, key: str) -> bool:
        """Whether this request is turned away now."""
        if not self.trouble.busy_about or self.trouble.busy_about not in text:
            return False
        with self._lock:
            self._turned_away[key] += 1
            if self._turned_away[key] <= self.trouble.busy_times:
                return True
            self._turned_away[key] = 0
            return False

    def reply(self, request: ModelRequest, key: str = "") -> ModelReply:
        """Answer one request."""
        with self._lock:
            turn = self._seen[key]
            self._seen[key] += 1
        said = answer(Asked(request.messages, request.tools, request.params, self.knowledge, turn))
        words = said.text.split(" ")
        limits = [request.body.get(name) for name in _LIMITS]
        limit = next((n for n in limits if isinstance(n, int)), None)
        is_cut = said.call is None and limit is not None and len(words) > limit
        text = " ".join(words[:limit]) if is_cut else said.text
        read = sum(len(message.text.split()) for message in request.messages)
        return ModelReply(
            text=text,
            tool_calls=(said.call,) if said.call else (),
            usage=Usage(input=read, output=len(text.split()) or 1),
            finish_reason="tool_calls" if said.call else "length" if is_cut else "stop",
            model=request.model,
        )


@contextmanager
def serve(model: Model) -> Iterator[str]:
    """Serve a model on a free port of the loopback interface.

    Yields:
        The address without a version, e.g. `http://127.0.0.1:40213`.
    """
    handler = type("Handler", (_Handler,), {"scripted": model})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    scripted: Model

    def do_POST(self) -> None:
        """Answer a model call."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            request = parse_request(self.path, json.loads(body))
        except (InputError, ValueError, RecursionError) as error:
            self._refuse(400, "invalid_request_error", str(error))
            return
        text, key = body.decode("utf-8", "replace"), key_of(body)
        trouble = self.scripted.trouble
        if self.scripted.is_busy(text, key):
            self._refuse(429, "rate_limit_error", "Rate limit reached, try again shortly")
            return
        if trouble.slow_about and trouble.slow_about in text:
            time.sleep(trouble.slow_s)
        content_type, chunks = render(request, self.scripted.reply(request, key))
        self._send(200, content_type, b"".join(chunks))

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _refuse(self, status: int, kind: str, message: str) -> None:
        body = error_body(api_of(self.path), status, kind, message)
        self._send(status, "application/json", body)

    def _send(self, status: int, content_type: str, body: bytes) -> None:
        try:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):  # the client gave up waiting
            self.close_connection = True
