"""Bodies as LangSmith's and OpenTelemetry's real clients send them, caught on loopback."""

import http.server
import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from refinery.server.ingest.langsmith import INFO


@dataclass(frozen=True, slots=True)
class Caught:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Catcher:
    """A server that keeps what it is sent and answers with what it is told to."""

    url: str = ""
    caught: list[Caught] = field(default_factory=list)
    info: dict[str, Any] = field(default_factory=lambda: INFO)

    def posts(self) -> list[Caught]:
        return [one for one in self.caught if one.method != "GET"]


@contextmanager
def catching(info: dict[str, Any] = INFO) -> Iterator[Catcher]:
    """Catch requests on a free loopback port."""
    catcher = Catcher(info=info)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.answer(json.dumps(catcher.info).encode())

        def do_POST(self) -> None:
            length = int(self.headers.get("content-length", 0))
            body = self.rfile.read(length)
            headers = {name.lower(): value for name, value in self.headers.items()}
            catcher.caught.append(Caught(self.command, self.path, headers, body))
            self.answer(b"{}")

        do_PATCH = do_POST  # noqa: N815  # the name http.server calls

        def answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    catcher.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield catcher
    finally:
        server.shutdown()
        server.server_close()


def record(url: str, project: str = "shop") -> str:
    """Trace one small agent with the real client; returns the id of its root run."""
    import langsmith
    from langsmith import Client, traceable

    client = Client(api_url=url, api_key="key-of-the-test")

    @traceable(run_type="tool", client=client)
    def look_up(order: str) -> dict[str, str]:
        if order == "A-9":
            raise KeyError(order)
        return {"order": order, "state": "sent"}

    @traceable(run_type="llm", client=client, metadata={"ls_model_name": "m-1"})
    def answer(question: str) -> dict[str, Any]:
        usage = {"input_tokens": 11, "output_tokens": 7, "total_tokens": 18}
        return {"content": f"ünï {question}", "usage_metadata": usage}

    @traceable(run_type="chain", client=client, tags=["root"], project_name=project)
    def agent(question: str) -> str:
        look_up("A-1")
        with suppress(KeyError):
            look_up("A-9")
        answer(question)
        return "done"

    root = uuid.uuid4()
    with langsmith.tracing_context(enabled=True, client=client):
        agent("where is it?", langsmith_extra={"run_id": root})
    client.flush()
    client.close()
    return str(root)
