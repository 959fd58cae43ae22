"""Spans a second from the client until they can be read back: ours beside Phoenix and MLflow.

`python -m benchmarks.ingest` sends the same OTLP requests (protobuf, spans of about 1.2 KB, traces
of ten) to a real Phoenix, a real MLflow and `refinery serve`, by two connections, in batches of
100 and one span a request. The clock stops when the last traces can be read through each server's
own API. Ours is also measured with LangSmith's multipart bodies. Environments of the peers are
made with uv, or taken from the folder that `REFINERY_PEERS` names.
"""

import http.client
import itertools
import json
import os
import random
import statistics
import tempfile
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import zstandard

from refinery.adapters._shared.otel.spans import trace_uuid
from tests.peers.services.environments import free_port, python_of
from tests.peers.services.environments import serving as peer_serving
from tests.server.collector import collector

TRACE_SPANS = 10
CONNECTIONS = 2
ROUNDS = 3
Plan = tuple[int, int]
WORDS = (
    *("order", "refund", "parcel", "invoice", "customer", "shipping", "address", "please"),
    *("could", "kindly", "the", "a", "and", "for", "with", "status", "late", "broken", "return"),
    *("money", "back", "today"),
)
PLANS = (("mlflow", (20, 40)), ("phoenix", (10, 60)), ("refinery", (60, 400)))
"""Servers in order, and the requests of a round: in batches of 100 spans, and of one."""


@dataclass(frozen=True)
class Request:
    """One request and the traces it brings, as (hexadecimal id, spans)."""

    path: str
    headers: dict[str, str]
    body: bytes
    traces: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Target:
    """A server under test."""

    name: str
    url: str
    headers: dict[str, str]
    count: Callable[[str], int]
    """Spans of a trace that can be read."""


def text() -> str:
    """A text of 60 words, different each time."""
    return " ".join(random.choice(WORDS) for _ in range(60))


def otlp(spans: int) -> Request:
    """A request as an OpenInference instrumentation exports it."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = "bench"
    scope = group.scope_spans.add()
    scope.scope.name = "bench"
    traces = []
    for start in range(0, spans, TRACE_SPANS):
        trace_id, root = os.urandom(16), os.urandom(8)
        traces.append((trace_id.hex(), min(TRACE_SPANS, spans - start)))
        for index in range(traces[-1][1]):
            _add_span(scope, trace_id, root, index)
    headers = {"content-type": "application/x-protobuf"}
    return Request("/v1/traces", headers, request.SerializeToString(), tuple(traces))


def _add_span(scope: Any, trace_id: bytes, root: bytes, index: int) -> None:
    now = time.time_ns()
    span = scope.spans.add(trace_id=trace_id, name=f"chat {index % 5}", kind=3)
    span.span_id = os.urandom(8) if index else root
    span.parent_span_id = root if index else b""
    span.start_time_unix_nano, span.end_time_unix_nano = now, now + 1_000_000
    span.status.code = 1
    texts = {
        "openinference.span.kind": "LLM",
        "input.value": json.dumps({"messages": [{"role": "user", "content": text()}]}),
        "input.mime_type": "application/json",
        "output.value": json.dumps({"content": text()}),
        "output.mime_type": "application/json",
        "llm.model_name": "some-model",
        "session.id": "s-1",
    }
    for key, value in texts.items():
        span.attributes.add(key=key).value.string_value = value
    for key, count in (("prompt", 70), ("completion", 60), ("total", 130)):
        span.attributes.add(key=f"llm.token_count.{key}").value.int_value = count


def langsmith(spans: int) -> Request:
    """The same runs as LangSmith's client sends them: multipart, compressed."""
    parts: list[bytes] = []
    traces = []
    for start in range(0, spans, TRACE_SPANS):
        root = str(uuid.uuid4())
        traces.append((uuid.UUID(root).hex, min(TRACE_SPANS, spans - start)))
        for index in range(traces[-1][1]):
            run_id = str(uuid.uuid4()) if index else root
            for suffix, value in _fields(run_id, root):
                encoded = orjson.dumps(value)
                head = f'--b\r\nContent-Disposition: form-data; name="post.{run_id}{suffix}"\r\n'
                kind = f"Content-Type: application/json\r\nContent-Length: {len(encoded)}\r\n\r\n"
                parts += [head.encode(), kind.encode(), encoded, b"\r\n"]
    body = zstandard.ZstdCompressor().compress(b"".join((*parts, b"--b--\r\n")))
    headers = {"content-type": "multipart/form-data; boundary=b", "content-encoding": "zstd"}
    return Request("/runs/multipart", headers, body, tuple(traces))


def _fields(run_id: str, root: str) -> Iterator[tuple[str, Any]]:
    order = f"20261121T064950561133Z{root}"
    yield (
        "",
        {
            "id": run_id,
            "trace_id": root,
            "parent_run_id": None if run_id == root else root,
            "dotted_order": order if run_id == root else f"{order}.20261121T064950571133Z{run_id}",
            "name": "chat",
            "run_type": "llm",
            "session_name": "bench",
            "start_time": "2026-11-21T06:49:50.561133+00:00",
            "end_time": "2026-11-21T06:49:51.561133+00:00",
            "tags": [],
        },
    )
    usage = {"input_tokens": 70, "output_tokens": 60, "total_tokens": 130}
    yield ".inputs", {"messages": [{"role": "user", "content": text()}]}
    yield ".outputs", {"content": text(), "usage_metadata": usage}
    metadata = {"ls_model_name": "some-model", "thread_id": "s-1"}
    yield ".extra", {"metadata": metadata, "runtime": {"sdk": "langsmith-py"}}


def measure(target: Target, requests: list[Request]) -> float:
    """Spans a second until all can be read.

    Raises:
        AssertionError: a request was refused, or spans are missing.
    """
    waiting = iter(requests)
    lock = threading.Lock()
    refused: list[int] = []

    def send() -> None:
        parts = urlsplit(target.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        while True:
            with lock:
                request = next(waiting, None)
            if request is None:
                return
            headers = {**request.headers, **target.headers}
            connection.request("POST", request.path, request.body, headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status not in (200, 202):
                refused.append(answer.status)

    senders = [threading.Thread(target=send) for _ in range(CONNECTIONS)]
    start = time.perf_counter()
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    for request in requests[-CONNECTIONS:]:
        while target.count(request.traces[-1][0]) < request.traces[-1][1]:
            assert time.perf_counter() - start < 300, f"{target.name} never showed the last spans"
            time.sleep(0.002)
    elapsed_s = time.perf_counter() - start
    assert not refused, f"{target.name} refused requests: {refused[:5]}"
    traces = [trace for request in requests for trace in request.traces]
    for trace_id, spans in traces[:: max(1, len(traces) // 20)]:
        assert target.count(trace_id) == spans, f"{target.name} lost spans"
    return sum(spans for _, spans in traces) / elapsed_s


def ask(url: str, body: Any = None) -> Any:
    """The JSON answer of a server; None when it answers with an error."""
    content = None if body is None else json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, content, headers), timeout=30
        ) as r:
            return json.loads(r.read())
    except urllib.error.HTTPError:
        return None


@contextmanager
def refinery(folder: Path) -> Iterator[Target]:
    """Ours, with its default store."""
    with collector(folder / "refinery") as url:

        def count(trace_id: str) -> int:
            found = ask(f"{url}/runs/query", {"trace": trace_uuid(trace_id), "select": ["id"]})
            return len(found["runs"]) if found else 0

        yield Target("refinery", url, {}, count)


@contextmanager
def phoenix(folder: Path) -> Iterator[Target]:
    """Phoenix with its default store, SQLite."""
    python = python_of("phoenix", folder)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    variables = {
        "PHOENIX_WORKING_DIR": str(folder),
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(free_port()),
        "PHOENIX_TELEMETRY_ENABLED": "false",
    }

    def count(trace_id: str) -> int:
        found = ask(f"{url}/v1/projects/default/spans?trace_id={trace_id}&limit=100")
        return len(found["data"]) if found else 0

    command = [str(python), "-m", "phoenix.server.main", "serve"]
    with peer_serving(command, f"{url}/v1/projects", folder, **variables):
        yield Target("phoenix", url, {}, count)


@contextmanager
def mlflow(folder: Path) -> Iterator[Target]:
    """MLflow with SQLite and one worker, as the others have one process."""
    python = python_of("mlflow", folder)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [
        *(str(python), "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
        *("--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--workers", "1"),
    ]

    def count(trace_id: str) -> int:
        found = ask(f"{url}/api/3.0/mlflow/traces/get?trace_id=tr-{trace_id}")
        return len(found["trace"].get("spans", ())) if found else 0

    with peer_serving(command, f"{url}/health", folder):
        yield Target("mlflow", url, {"x-mlflow-experiment-id": "0"}, count)


SERVERS = {"mlflow": mlflow, "phoenix": phoenix, "refinery": refinery}


def measured(target: Target, figures: dict[tuple[str, str], list[float]], plan: Plan) -> None:
    """One round of a server, of each kind and size."""
    for size, number in zip((100, 1), plan, strict=True):
        for kind, make in (("otlp", otlp), ("langsmith", langsmith)):
            if kind == "otlp" or target.name == "refinery":
                rate = measure(target, [make(size) for _ in range(number)])
                figures.setdefault((target.name, f"{kind} x{size}"), []).append(rate)


def main() -> None:
    """Measure all in turns, and print a line each with the ratio to ours."""
    rounds: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        targets = []
        for name, plan in PLANS:
            folder = Path(scratch) / name
            folder.mkdir()
            target = stack.enter_context(SERVERS[name](folder))
            targets.append((target, plan))
            measured(target, {}, (CONNECTIONS * 2, CONNECTIONS * 2))
        for _ in range(ROUNDS):  # in turns: what else the machine does hits all of them
            for target, plan in targets:
                measured(target, rounds, plan)
    figures = {key: statistics.median(rates) for key, rates in rounds.items()}
    print("spans a second until they can be read")
    for (name, what), rate in figures.items():
        told = f"{name:9} {what:15} {rate:9,.0f}"
        for peer, size in itertools.product(("mlflow", "phoenix"), ("x100", "x1")):
            if name == "refinery" and what.endswith(f" {size}"):
                told += f"   {rate / figures[peer, f'otlp {size}']:5.1f} x {peer}"
        print(told)


if __name__ == "__main__":
    main()
