"""Damaged and hostile bodies for every endpoint that takes traces in."""

import gzip
import http.client
import json
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson
import zstandard

HOSTILE: tuple[Any, ...] = (
    None,
    True,
    "",
    "\ud800",
    "\x00",
    "9999-12-31T23:59:59.999999+00:00",
    "0001-01-01T00:00:00-23:59",
    "not a time",
    -1,
    2**63,
    -(2**70),
    1e308,
    [],
    {},
    [[]],
    {"a": None},
    [None, 1, "x"],
    {"metadata": "x"},
    {"metadata": {"usage_metadata": {"input_tokens": "x", "total_cost": []}}},
    {"generations": [[{"message": {"kwargs": 5}}]]},
    "x" * 5000,
)
TRACE = "5b8efff7-98f2-4f2a-8c3b-0123456789ab"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a kind of body goes, and a good example of it."""

    name: str
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


def endpoints(multipart: bytes, multipart_type: str) -> list[Endpoint]:
    """Every endpoint, given a multipart body the real client sent (not compressed)."""
    as_json = {"content-type": "application/json"}
    protobuf = {"content-type": "application/x-protobuf"}
    parts = {"content-type": multipart_type}
    run = _run()
    batch = orjson.dumps({"post": [run, _run()], "patch": [{**run, "end_time": 1795243201000}]})
    spans, logs = _otlp()
    feedback = {"id": str(uuid.uuid4()), "run_id": TRACE, "key": "ok", "score": 0.5}
    return [
        Endpoint("multipart", "POST", "/runs/multipart", parts, multipart),
        Endpoint("batch", "POST", "/runs/batch", as_json, batch),
        Endpoint("post", "POST", "/runs", as_json, orjson.dumps(run)),
        Endpoint("patch", "PATCH", f"/runs/{run['id']}", as_json, orjson.dumps(run)),
        Endpoint("feedback", "POST", "/feedback", as_json, orjson.dumps(feedback)),
        Endpoint("traces-json", "POST", "/v1/traces", as_json, orjson.dumps(spans)),
        Endpoint("logs-json", "POST", "/v1/logs", as_json, orjson.dumps(logs)),
        Endpoint("traces", "POST", "/otel/v1/traces", protobuf, _encoded(spans, "trace")),
        Endpoint("logs", "POST", "/v1/logs", protobuf, _encoded(logs, "logs")),
    ]


def mutated(endpoint: Endpoint, seed: int, count: int) -> Iterator[tuple[dict[str, str], bytes]]:
    """Headers and bodies, each damaged in one to four ways and packed in any encoding."""
    chance = random.Random(f"{endpoint.name} {seed}")
    for _ in range(count):
        body = endpoint.body
        if chance.random() < 0.5:
            body = _changed_values(body, chance)
        for _ in range(chance.choice((0, 1, 1, 2, 3))):
            body = _damaged(body, chance)
        yield _packed(endpoint.headers, body, chance)


def send(url: str, endpoint: Endpoint, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
    """Status and text of the answer; a connection of its own, so that none hides another."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    try:
        connection.request(endpoint.method, endpoint.path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _run() -> dict[str, Any]:
    run_id = str(uuid.uuid4())
    return {
        "id": run_id,
        "trace_id": TRACE,
        "dotted_order": f"20261121T064950561133Z{TRACE}.20261121T064950570012Z{run_id}",
        "parent_run_id": TRACE,
        "name": "ask",
        "run_type": "llm",
        "start_time": "2026-11-21T06:49:50.561133+00:00",
        "end_time": "2026-11-21T06:49:51",
        "session_name": "shop",
        "inputs": {"messages": [[{"kwargs": {"content": "hi"}}]]},
        "outputs": {"usage_metadata": {"input_tokens": 3, "output_tokens": 4}},
        "extra": {"metadata": {"thread_id": "t"}, "runtime": {"sdk": "x"}},
        "error": "ValueError('x')\n\nTraceback (most recent call last):\n  File \"a.py\"",
        "events": [{"name": "new_token", "time": "2026-11-21T06:49:50.7+00:00"}],
        "tags": ["a"],
    }


def _otlp() -> tuple[dict[str, Any], dict[str, Any]]:
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
    ids = {"traceId": "5b8efff798f24f2a8c3b0123456789ab", "spanId": "eee19b7ec3c1b174"}
    attributes = [
        {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
        {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "7"}},
        {"key": "input.value", "value": {"stringValue": '{"a": [1, 2]}'}},
        {"key": "list", "value": {"arrayValue": {"values": [{"doubleValue": 1.5}]}}},
    ]
    event = {"name": "exception", "timeUnixNano": "1795243200500000000", "attributes": attributes}
    span = {
        **ids,
        "parentSpanId": "eee19b7ec3c1b173",
        "name": "chat m",
        "kind": 3,
        "startTimeUnixNano": "1795243200000000000",
        "endTimeUnixNano": "1795243201000000000",
        "attributes": attributes,
        "events": [event],
        "status": {"code": 2, "message": "no"},
    }
    record = {
        **ids,
        "timeUnixNano": "1795243200100000000",
        "eventName": "gen_ai.user.message",
        "body": {"kvlistValue": {"values": attributes}},
        "attributes": attributes,
    }
    spans = {"resource": resource, "scopeSpans": [{"scope": {"name": "s"}, "spans": [span, span]}]}
    logs = {"resource": resource, "scopeLogs": [{"scope": {"name": "s"}, "logRecords": [record]}]}
    return {"resourceSpans": [spans]}, {"resourceLogs": [logs]}


def _encoded(document: dict[str, Any], kind: str) -> bytes:
    """The document in protobuf; ids are hexadecimal in OTLP's JSON, base64 in protobuf's."""
    import base64

    from google.protobuf import json_format
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    def ids(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: base64.b64encode(bytes.fromhex(item)).decode()
                if key in ("traceId", "spanId", "parentSpanId")
                else ids(item)
                for key, item in value.items()
            }
        return [ids(item) for item in value] if isinstance(value, list) else value

    message = ExportTraceServiceRequest() if kind == "trace" else ExportLogsServiceRequest()
    json_format.ParseDict(ids(document), message)
    return bytes(message.SerializeToString())


def _changed_values(body: bytes, chance: random.Random) -> bytes:
    """Put a hostile value somewhere into the JSON; other bodies stay as they are."""
    try:
        document = json.loads(body)
    except ValueError:
        return body
    for _ in range(chance.choice((1, 1, 2, 5))):
        document = _changed(document, chance, depth=chance.randrange(1, 6))
    return json.dumps(document).encode()


def _changed(value: Any, chance: random.Random, depth: int) -> Any:
    if depth == 0 or not value or not isinstance(value, dict | list):
        return chance.choice(HOSTILE)
    keys: list[Any] = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = chance.choice(keys)
    copy = value.copy()
    copy[key] = _changed(value[key], chance, depth - 1)
    return copy


def _damaged(body: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(body) + 1)
    until = min(len(body), at + chance.choice((1, 2, 8, 64, 512)))
    return chance.choice(
        (
            lambda: body[:at],
            lambda: body[at:],
            lambda: body[:at] + body[until:],
            lambda: body[:at] + chance.randbytes(until - at) + body[until:],
            lambda: body[:until] + body[at:],
            lambda: body[:at] + b"\xff\xfe\xed\xa0\x80" + body[at:],
            lambda: body[:at] + b"[" * chance.choice((1, 300, 3000, 100_000)) + body[at:],
            lambda: body[:at] + chance.choice((b"\r\n", b"\r\n\r\n", b"--", b"NaN", b"1e999")),
            lambda: body + body,
        )
    )()


def _packed(
    headers: dict[str, str], body: bytes, chance: random.Random
) -> tuple[dict[str, str], bytes]:
    coding = chance.choice(("", "", "zstd", "gzip"))
    if coding == "zstd":
        body = zstandard.ZstdCompressor(level=1).compress(body)
    elif coding == "gzip":
        body = gzip.compress(body, 1)
    if coding and chance.random() < 0.2:
        body = _damaged(body, chance)
    return ({**headers, "content-encoding": coding} if coding else dict(headers)), body
