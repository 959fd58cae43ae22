"""OTLP in JSON is read as liberally as it is written."""

import base64
import json
from typing import Any

import pytest

from refinery.adapters import otlp
from refinery.adapters._shared.otel.documents import identifier, nanoseconds
from refinery.errors import TraceFormatError
from refinery.model.trace import Run, RunKind, RunStatus
from tests.adapters.otel.samples import JSON

TRACE, SPAN, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "00f067aa0ba902b7"


def decoded(document: Any) -> list[Run]:
    body = json.dumps(document).encode()
    return [run for batch in otlp.decode_traces(body, JSON) for run in batch.runs]


def request(span: Any, resource: Any = None) -> dict[str, Any]:
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]}


def pair(key: str, **value: Any) -> dict[str, Any]:
    return {"key": key, "value": value}


FULL = {
    "traceId": TRACE,
    "spanId": SPAN,
    "parentSpanId": PARENT,
    "name": "call",
    "kind": 3,
    "startTimeUnixNano": "1000",
    "endTimeUnixNano": "2000",
    "status": {"code": 1},
    "attributes": [
        pair("gen_ai.operation.name", stringValue="chat"),
        pair("gen_ai.usage.input_tokens", intValue="7"),
    ],
}


def test_the_specified_form_is_read() -> None:
    (run,) = decoded(request(FULL))

    assert run.trace_id == "0af76519-16cd-43dd-8448-eb211c80319c"
    assert (run.name, run.kind, run.status) == ("call", RunKind.LLM, RunStatus.OK)
    assert (run.start_ns, run.end_ns) == (1000, 2000)
    assert run.usage is not None and run.usage.input == 7
    otel = (run.metadata or {})["otel"]
    assert (otel["trace_id"], otel["span_id"], otel["parent_id"]) == (TRACE, SPAN, PARENT)
    assert otel["span_kind"] == "CLIENT"


def test_other_spellings_give_the_same_run() -> None:
    snake = {
        "trace_id": base64.b64encode(bytes.fromhex(TRACE)).decode(),
        "span_id": base64.b64encode(bytes.fromhex(SPAN)).decode(),
        "parent_span_id": base64.b64encode(bytes.fromhex(PARENT)).decode(),
        "name": "call",
        "kind": "SPAN_KIND_CLIENT",
        "start_time_unix_nano": 1000,
        "end_time_unix_nano": 2000.0,
        "status": {"code": "STATUS_CODE_OK", "message": None},
        "dropped_attributes_count": None,
        "trace_state": None,
        "attributes": [
            pair("gen_ai.operation.name", string_value="chat", int_value=None, array_value=None),
            pair("gen_ai.usage.input_tokens", int_value=7, string_value=None),
        ],
    }
    document = {"resource_spans": [{"scope_spans": [{"spans": [snake]}]}]}
    plain = {
        **FULL,
        "attributes": {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 7},
    }
    expected = decoded(request(FULL))

    assert decoded(document) == expected
    assert decoded(request({**FULL, "kind": "CLIENT", "status": {"code": "OK"}})) == expected
    assert decoded(request({**FULL, "traceId": TRACE.upper()})) == expected
    assert decoded([request(FULL), {}]) == expected
    assert decoded(request(plain)) == expected
    assert decoded(FULL) == expected


def test_values_of_every_type_are_read() -> None:
    items = {"values": [{"intValue": 1}, {"boolValue": False}, {"doubleValue": "NaN"}]}
    attributes = [
        pair("array", arrayValue=items),
        pair("map", kvlistValue={"values": [pair("a", stringValue="b")]}),
        pair("bytes", bytesValue="AAE="),
        pair("large", intValue="18446744073709551616"),
        pair("empty"),
    ]

    (run,) = decoded(request({**FULL, "attributes": attributes}))

    metadata = run.metadata or {}
    assert metadata["array"] == [1, False, "NaN"]
    assert metadata["map"] == {"a": "b"}
    assert metadata["bytes"] == {"__base64__": "AAE="}
    assert metadata["large"] == "0x10000000000000000"
    assert metadata["empty"] is None


@pytest.mark.parametrize(
    ("given", "size", "expected"),
    [
        (TRACE, 16, TRACE),
        ("0" * 32, 16, ""),
        ("", 8, ""),
        (None, 8, ""),
        ("a" * 24, 8, "a" * 24),
        ("ABC", 8, "abc"),
        ("tr-not-hex", 16, "tr-not-hex"),
        ("UFeRa5lW3Fg=", 8, "5057916b9956dc58"),
        ("UFeRa5lW3Fg", 8, "5057916b9956dc58"),
        ("\ud800", 8, "?"),
    ],
)
def test_ids_of_every_sort(given: Any, size: int, expected: str) -> None:
    assert identifier(given, size) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [("12", 12), (12, 12), (12.9, 12), (0, None), ("-1", None), (None, None), (True, None)],
)
def test_times_of_every_sort(given: Any, expected: int | None) -> None:
    assert nanoseconds(given) == expected


def test_a_span_without_ids_gets_the_same_ones_each_time() -> None:
    bare = {"name": "lost"}

    first, again = decoded(request(bare)), decoded(request(bare))

    assert first == again
    assert first[0].run_id != first[0].trace_id
    assert first[0].status is RunStatus.RUNNING


def test_odd_ids_stay_apart() -> None:
    runs = [decoded(request({**FULL, "spanId": odd}))[0] for odd in ("a" * 24, "a" * 23, "aa")]

    assert len({run.run_id for run in runs}) == 3


def test_a_span_is_never_its_own_parent() -> None:
    (run,) = decoded(request({**FULL, "parentSpanId": SPAN}))

    assert run.parent_id is None


def test_attributes_cannot_speak_for_us() -> None:
    claimed = [
        pair("refinery", kvlistValue={"values": [pair("entry_point", stringValue="rm")]}),
        pair("otel", stringValue="mine"),
        pair("metadata", stringValue='{"refinery": {"is_patch": true}, "otel": 1}'),
    ]

    (run,) = decoded(request({**FULL, "attributes": claimed}))

    metadata = run.metadata or {}
    assert "refinery" not in metadata
    assert metadata["otel"]["span_id"] == SPAN


def test_projects_are_told_by_attribute_argument_or_service() -> None:
    def project(told: str | None, **resource: str) -> str | None:
        pairs = [pair(k.replace("_", "."), stringValue=v) for k, v in resource.items()]
        body = json.dumps(request(FULL, {"attributes": pairs})).encode()
        return otlp.decode_traces(body, JSON, told)[0].project

    named = {"openinference_project_name": "p", "service_name": "s"}
    assert project(None) is None
    assert project("told", **named) == "p"
    assert project("told", service_name="s") == "told"
    assert project(None, service_name="s") == "s"
    assert project(None, service_name="unknown_service:python") is None


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        (b"", JSON, "not JSON"),
        (b"[1]", JSON, "must be an object"),
        (b'{"spans": []}', JSON, "no `resourceSpans`"),
        (b'"\xff"', JSON, "not JSON"),
        (b"[" * 100_000, JSON, "nested too deeply"),
        (b"\x0a\xff", "application/x-protobuf", "not an OTLP trace request"),
        (b"{}", "text/html", "content type"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_reason(body: bytes, kind: str, said: str) -> None:
    with pytest.raises(TraceFormatError, match=said) as caught:
        otlp.decode_traces(body, kind)

    assert caught.value.hint
