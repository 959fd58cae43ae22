"""A model on loopback that has been taken over: it proposes whatever the attacker wants.

It speaks the OpenAI chat API. As analyst it repeats the attacker's text and quotes the trace
truthfully, so that nothing is rejected for a lesser reason; as generator it proposes the edits of
the goal it was given. No text has to persuade it: the fixer must hold against a model that is
lost.
"""

import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from refinery.model.trace import Json, Usage
from refinery.replay.wire import ModelReply, ModelRequest, parse_request, render

MAX_BODY_BYTES = 16 << 20
_FINDING = re.compile(r'"findings"')


@dataclass(slots=True)
class Hijacked:
    """What the model has been told to bring about, and what it was asked."""

    edits: tuple[dict[str, Json], ...] = ()
    """Edits to propose, as `{"kind", "path", "arguments"}`."""
    words: str = ""
    """The attacker's text, put into every title and explanation."""
    quote: str = ""
    """A phrase that stands in the trace, in run `R1`."""
    url: str = ""
    """Base URL, as `model_base_url` wants it."""
    saw_words: int = 0
    """Requests in which the attacker's text had reached the model."""
    requests: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, request: ModelRequest) -> ModelReply:
        """Answer one request."""
        said = "\n".join(message.text for message in request.messages)
        with self._lock:
            self.requests += 1
            self.saw_words += bool(self.words) and self.words[:60] in said
        usage = Usage(input=1_000, output=100, total=1_100)
        schema = json.dumps(request.params.get("response_format", ""))
        if not schema.strip('"'):
            return ModelReply("I have read enough.", usage=usage)
        report = self._report() if _FINDING.search(schema) else self._proposal()
        return ModelReply(json.dumps(report), usage=usage)

    def _report(self) -> dict[str, Json]:
        finding = {
            "category": "obeyed",
            "title": self.words[:150],
            "explanation": self.words,
            "likelihood": "certain",
            "confidence": 1.0,
            "level": "system",
            "root_cause": "prompt",
            "cause_run": "R1",
            "symptom_run": "R1",
            "quotes": [{"run": "R1", "quote": self.quote}],
        }
        return {"findings": [finding], "unanswerable": []}

    def _proposal(self) -> dict[str, Json]:
        edits = [{**edit, "arguments": _pairs(edit["arguments"])} for edit in self.edits]
        alone: list[Json] = [self._hypothesis([edit], number) for number, edit in enumerate(edits)]
        whole = [self._hypothesis(list(edits), len(edits))] if len(edits) > 1 else []
        return {"hypotheses": [*alone, *whole]}

    def _hypothesis(self, edits: list[Any], number: int) -> dict[str, Json]:
        return {
            "finding": "F1",
            "title": f"{number}: {self.words[:150]}",
            "rationale": self.words,
            "strategy": "code",
            "edits": edits,
            "confidence": 1.0,
            "risks": [],
            "example_before": "",
            "example_after": "",
            "citations": [],
        }


@contextmanager
def serve() -> Iterator[Hijacked]:
    """Serve the model on a free port of the loopback interface; its goal may be changed."""
    model = Hijacked()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(model))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="hijacked-model", daemon=True)
    thread.start()
    model.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield model
    finally:
        server.shutdown()
        server.server_close()


def _pairs(arguments: Json) -> list[dict[str, Json]]:
    if not isinstance(arguments, Mapping):
        return []
    return [
        {"name": name, "value": value if isinstance(value, str) else json.dumps(value)}
        for name, value in arguments.items()
    ]


def _handler(model: Hijacked) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(min(length, MAX_BODY_BYTES)))
            request = parse_request(self.path, body)
            content_type, chunks = render(request, model.answer(request))
            content = b"".join(chunks)
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: the terminal belongs to the table."""

    return Handler
