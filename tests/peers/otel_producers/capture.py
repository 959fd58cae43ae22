"""Runs a producer against a model on loopback, and keeps what it sends.

`python -m tests.peers.otel_producers.capture ENVIRONMENTS PRODUCER FOLDER` writes the bodies into
the folder, one file a request; the samples under `tests/samples/otlp` were made so.
"""

import gzip
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from refinery.model.messages import ToolCall
from refinery.model.trace import Usage
from refinery.replay.exchange import ModelReply, ModelRequest
from tests.fakes.model_server import ModelServer, StatusError

HERE = Path(__file__).parent
ANSWERING = "gpt-4o-mini-2024-07-18"


@dataclass(frozen=True, slots=True)
class Producer:
    """A program and where it runs."""

    program: str
    environment: str
    """Folder of its virtual environment, or of its `node_modules`; requirements of that name."""
    variables: dict[str, str] = field(default_factory=dict)


PRODUCERS = {
    "openinference_openai": Producer("openinference_openai.py", "openinference"),
    "openinference_agents": Producer("openinference_agents.py", "openinference"),
    "openinference_langchain": Producer("openinference_langchain.py", "openinference"),
    "genai_default": Producer(
        "genai_openai.py",
        "genai",
        {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "true"},
    ),
    "genai_experimental": Producer(
        "genai_openai.py",
        "genai",
        {
            "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "span_only",
            "OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai_latest_experimental",
        },
    ),
    "genai_experimental_events": Producer(
        "genai_openai.py",
        "genai",
        {
            "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "event_only",
            "OTEL_INSTRUMENTATION_GENAI_EMIT_EVENT": "true",
            "OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai_latest_experimental",
        },
    ),
    "openllmetry": Producer(
        "openllmetry.py",
        "openllmetry",
        {"TRACELOOP_TRACE_CONTENT": "true", "TRACELOOP_TELEMETRY": "false"},
    ),
    "pydantic_ai": Producer("pydantic_ai_logfire.py", "pydantic_ai"),
    "langfuse": Producer("langfuse_sdk.py", "langfuse"),
    "langsmith_otel": Producer("langsmith_otel.py", "langsmith"),
    "vercel": Producer("vercel.mjs", "vercel"),
}


def answer(request: ModelRequest) -> ModelReply | StatusError:
    """A tool call first, an answer once a tool was called; a refusal when asked for too many."""
    told = " ".join(message.text for message in request.messages)
    if "too many" in told:
        return StatusError(429, "Rate limit reached")
    if "as an object" in told:
        return ModelReply('{"price": 29}', usage=Usage(21, 4, 25), model=ANSWERING)
    has_called = any(message.role == "tool" for message in request.messages)
    if request.tools and not has_called:
        call = ToolCall("get_price", {"lamp": "Luna"}, "call_1")
        return ModelReply("", (call,), Usage(40, 9, 49, cache_read=16), model=ANSWERING)
    return ModelReply("Luna costs 29.", usage=Usage(61, 6, 67), model=ANSWERING)


def run(producer: Producer, environments: Path, otlp_url: str, model_url: str) -> None:
    """Run a producer to its end.

    Raises:
        RuntimeError: it failed; its words are in the message.
    """
    folder = environments / producer.environment
    program = HERE / producer.program
    if program.suffix == ".mjs":  # Node finds modules from where the program lies
        copy = folder / program.name
        copy.write_bytes(program.read_bytes())
        command = ["node", str(copy)]
    else:
        command = [str(folder / "bin" / "python"), str(program)]
    kept = {k: os.environ[k] for k in ("PATH", "HOME", "LANG", "TMPDIR") if k in os.environ}
    told = {"OTLP_URL": otlp_url, "MODEL_URL": f"{model_url}/v1", "PYTHONUTF8": "1"}
    done = subprocess.run(
        command,
        env=kept | told | producer.variables,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{producer.program}: {done.stdout[-2000:]}{done.stderr[-4000:]}")


@contextmanager
def keeping(folder: Path) -> Iterator[str]:
    """An address that keeps every body it is sent as a file; gives its URL."""
    folder.mkdir(parents=True, exist_ok=True)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

        def body(self) -> bytes:
            if self.headers.get("transfer-encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("content-length") or 0))
            pieces = []
            while size := int(self.rfile.readline(), 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(pieces)

        def do_POST(self) -> None:
            body = self.body()
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            kind = "raw.json" if "json" in self.headers.get("content-type", "") else "pb"
            signal = self.path.rpartition("/")[2]
            number = len(list(folder.iterdir())) + 1
            (folder / f"{number:03d}_{signal}.{kind}").write_bytes(body)
            self.send_response(200)
            self.send_header("content-type", self.headers.get("content-type", ""))
            answer_body = b"{}" if kind == "raw.json" else b""
            self.send_header("content-length", str(len(answer_body)))
            self.end_headers()
            self.wfile.write(answer_body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def main() -> None:
    """Keep what one producer sends."""
    environments, name, folder = sys.argv[1:4]
    with ModelServer(answer) as model, keeping(Path(folder)) as url:
        run(PRODUCERS[name], Path(environments), url, model.url)


if __name__ == "__main__":
    main()
