"""A model on the loopback interface, for benchmarks: answers at once and always the same.

It speaks as much of OpenAI's chat completions as a call needs, counts words as tokens, and
answers with the words of the question in reverse.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.request import Request, urlopen

MAX_BODY_BYTES = 10_000_000
_TIMEOUT_S = 10.0


class LoopbackModel:
    """The server; used with `with`."""

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Answering)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def base_url(self) -> str:
        """What an OpenAI client takes as its base URL."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> "LoopbackModel":
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
        self._thread.join()


def ask(base_url: str, prompt: str) -> str:
    """Ask a model of this kind once, and wait for its answer."""
    body = {"model": "loopback", "messages": [{"role": "user", "content": prompt}]}
    request = Request(  # noqa: S310  # the address of our own server
        f"{base_url}/chat/completions",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310  # the same
        text: str = json.load(answer)["choices"][0]["message"]["content"]
    return text


class _Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answer one request."""
        length = min(int(self.headers.get("Content-Length") or 0), MAX_BODY_BYTES)
        asked = json.loads(self.rfile.read(length) or b"{}")
        content = str(asked["messages"][-1]["content"])
        words = content.split()
        self._send(
            {
                "id": "chatcmpl-loopback",
                "object": "chat.completion",
                "model": asked.get("model"),
                "choices": [
                    {
                        "index": 0,
                        "finish_reason": "stop",
                        "message": {"role": "assistant", "content": " ".join(reversed(words))},
                    }
                ],
                "usage": {
                    "prompt_tokens": len(words),
                    "completion_tokens": len(words),
                    "total_tokens": 2 * len(words),
                },
            }
        )

    def _send(self, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # the base class's name
        """Say nothing."""
