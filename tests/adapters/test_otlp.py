"""OTLP files: recognised, read, and written so that reading gives equal traces."""

import base64
import gzip
import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refinery.adapters import otlp
from refinery.errors import InputError, TraceFormatError
from refinery.model.messages import messages_in
from refinery.model.trace import (
    CodeReference,
    Evaluation,
    Feedback,
    Run,
    RunError,
    RunKind,
    RunStatus,
    Trace,
    Usage,
)
from tests.adapters.otel.samples import FOLDER, PRODUCERS, body
from tests.model.strategies import runs

ROOT_ID, CHILD_ID = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"


def a_trace() -> Trace:
    root = Run(
        run_id=ROOT_ID,
        trace_id=ROOT_ID,
        name="seller",
        kind=RunKind.STEP,
        start_ns=1_700_000_000_000_000_000,
        end_ns=1_700_000_001_000_000_001,
        status=RunStatus.ERROR,
        error=RunError("ValueError", "no lamp", "Traceback …"),
        inputs="plain text",
        outputs={"a": [1, 2.5, None, True]},
        evaluations=[Evaluation("item", {"p": 1}, None, False, "too dear")],
        session_id="s",
        user_id="u",
        tags=["t"],
        metadata={"refinery": {"entry_point": {"kind": "callable"}}, "k": "v"},
        code=CodeReference(module="m", line=3),
        layer="step",
        metrics={"cpu_ms": 1.5},
        events=[{"name": "new_token", "time": "2026-01-01T00:00:00+00:00", "kwargs": {"a": 1}}],
        links=[{"odd": True}],
    )
    child = Run(
        run_id=CHILD_ID,
        trace_id=ROOT_ID,
        parent_id=ROOT_ID,
        name="model",
        kind=RunKind.LLM,
        start_ns=1_700_000_000_100_000_000,
        end_ns=1_700_000_000_900_000_000,
        status=RunStatus.OK,
        inputs={"messages": [{"role": "user", "content": "Zürich ☃"}]},
        outputs={"choices": [{"message": {"role": "assistant", "content": "29"}}]},
        provider="openai",
        model_requested="m",
        model_responded="m-1",
        params={"temperature": 0.2},
        tools=[{"type": "function"}],
        usage=Usage(1, 2, 3, 0, None, 1),
        cost_usd=Decimal("0.0000123"),
        cost_source="estimated",
    )
    return Trace(ROOT_ID, (root, child), "xray", "lamps")


def plain(document: Any) -> dict[str, Any]:
    """Attributes of a span of ours, by name."""
    return {pair["key"]: next(iter(pair["value"].values())) for pair in document["attributes"]}


@pytest.mark.parametrize("name", ["out.otlp.json", "out.jsonl"])
def test_what_is_written_is_read_back_equal(tmp_path: Path, name: str) -> None:
    trace = a_trace()
    other = replace(trace, trace_id="t2", runs=(Run("r2", "t2", name="x"),), project=None)
    said = Feedback("f", ROOT_ID, "label", CHILD_ID, 0.5, "pass", "good", created_ns=7)

    count = otlp.write([(trace, [said]), other], tmp_path / name)

    assert count == 2
    assert list(otlp.read_labelled(tmp_path / name)) == [(trace, (said,)), (other, ())]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(run=runs)
def test_any_run_survives_the_round_trip(tmp_path: Path, run: Run) -> None:
    trace = Trace("t", (run,), "xray", None)
    path = tmp_path / "out.json"

    otlp.write([trace], path)

    assert list(otlp.read(path)) == [trace]


@pytest.mark.parametrize("producer", PRODUCERS)
def test_what_producers_sent_survives_the_round_trip(tmp_path: Path, producer: str) -> None:
    (tmp_path / "in.pb").write_bytes(body(PRODUCERS[producer][0]))
    sent = list(otlp.read(tmp_path / "in.pb"))

    otlp.write(sent, tmp_path / "out.json")

    assert list(otlp.read(tmp_path / "out.json")) == sent


def test_the_export_is_otlp_for_other_readers(tmp_path: Path) -> None:
    from google.protobuf import json_format
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    otlp.write([a_trace()], tmp_path / "out.json")
    document = json.loads((tmp_path / "out.json").read_text())
    spans = document["resourceSpans"][0]["scopeSpans"][0]["spans"]
    root, child = spans
    for span in spans:
        for name in ("traceId", "spanId", "parentSpanId"):
            if name in span:  # protobuf's own JSON has ids in base64 where OTLP has hexadecimal
                span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()

    request = json_format.ParseDict(document, ExportTraceServiceRequest())

    assert len(request.resource_spans[0].scope_spans[0].spans[1].span_id) == 8
    assert child["parentSpanId"] == root["spanId"]
    assert root["startTimeUnixNano"] == "1700000000000000000"
    assert root["status"] == {"code": 2, "message": "no lamp"}
    assert {event["name"] for event in root["events"]} == {"new_token", "exception"}
    told = plain(child)
    assert told["openinference.span.kind"] == "LLM"
    assert told["gen_ai.operation.name"] == "chat"
    assert told["gen_ai.usage.input_tokens"] == "1"
    assert json.loads(told["gen_ai.input.messages"])[0]["parts"][0]["content"] == "Zürich ☃"


def test_without_our_own_attribute_the_export_is_still_a_trace(tmp_path: Path) -> None:
    otlp.write([a_trace()], tmp_path / "out.json")
    text = (tmp_path / "out.json").read_text().replace("refinery.run", "other.run")
    (tmp_path / "other.json").write_text(text)

    (trace,) = otlp.read(tmp_path / "other.json")

    child = next(run for run in trace.runs if run.name == "model")
    assert (child.kind, child.usage) == (RunKind.LLM, Usage(1, 2, 3))
    assert [message.text for message in messages_in(child)] == ["Zürich ☃"]
    assert trace.root is not None and trace.root.error == a_trace().runs[0].error


def test_a_request_over_the_network_cannot_claim_to_be_our_export(tmp_path: Path) -> None:
    otlp.write([a_trace()], tmp_path / "out.json")

    (batch,) = otlp.decode_traces((tmp_path / "out.json").read_bytes(), "application/json")

    assert batch.source == "otlp"
    assert ROOT_ID not in {run.run_id for run in batch.runs}
    assert all("refinery" not in (run.metadata or {}) for run in batch.runs)


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.iterdir()))
def test_files_of_producers_are_recognised(name: str) -> None:
    assert otlp.recognise(body(name), FOLDER / name)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b'{"resourceSpans":[', True),
        (b' [ {"resourceLogs" : [', True),
        (b'{"resource_spans": [', True),
        (b'{"traceId": "ab", "spanId": "cd", "startTimeUnixNano": "1"}', True),
        (b'{"messages": [{"role": "user"}]}', False),
        (b'{"run": {"run_id": "a", "inputs": "resourceSpans"}}', False),
        (b"\n\n{}", False),
        (b"", False),
        (b"SQLite format 3\0", False),
    ],
)
def test_files_are_recognised_by_their_beginning(head: bytes, expected: bool) -> None:
    assert otlp.recognise(head, Path("x")) is expected


def test_requests_may_stand_one_a_line_packed_and_beside_logs(tmp_path: Path) -> None:
    span = {"traceId": "ab" * 16, "spanId": "cd" * 8, "name": "call", "endTimeUnixNano": "9"}
    log = {
        "traceId": "ab" * 16,
        "spanId": "cd" * 8,
        "eventName": "gen_ai.user.message",
        "body": {"kvlistValue": {"values": [{"key": "content", "value": {"stringValue": "Hi"}}]}},
    }
    lines = [
        {"resourceLogs": [{"scopeLogs": [{"logRecords": [log]}]}]},
        {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]},
    ]
    text = "\n".join(json.dumps(line) for line in lines) + "\n\n"
    (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "list.json").write_text(json.dumps(lines))

    (trace,) = otlp.read(tmp_path / "x.jsonl.gz")

    assert [message.text for message in messages_in(trace.runs[0])] == ["Hi"]
    assert list(otlp.read(tmp_path / "list.json")) == [trace]


def test_logs_in_protobuf_are_told_from_traces(tmp_path: Path) -> None:
    (tmp_path / "x.pb").write_bytes(body("genai_default_logs.pb"))

    (trace,) = otlp.read(tmp_path / "x.pb")

    assert len(trace.runs) == 4
    assert all(messages_in(run) for run in trace.runs)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"resourceSpans": []}\nnonsense\n', "line 2"),
        (b'{"resourceSpans": [', "not JSON"),
        (b"\x0a\x80", "x.json"),
        (b'{"a": 1}', "no `resourceSpans`"),
    ],
)
def test_a_broken_file_says_where(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "x.json").write_bytes(content)

    with pytest.raises(TraceFormatError, match=said):
        list(otlp.read(tmp_path / "x.json"))


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        list(otlp.read(tmp_path / "none.pb"))


@given(content=st.binary(max_size=300))
def test_any_bytes_are_recognised_or_not(content: bytes) -> None:
    assert otlp.recognise(content, Path("x")) in (True, False)
