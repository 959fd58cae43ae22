"""Whatever is sent, it is read or refused with a reason; what is too much is cut with a note."""

import json
import random
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refinery.adapters import otlp
from refinery.adapters._shared.otel import limits
from refinery.adapters._shared.otel.values import indexed, literal, parsed
from refinery.errors import TraceFormatError
from refinery.model.codec import encode_run
from refinery.model.trace import Json, Run
from refinery.model.walk import in_tree_order
from tests.adapters.otel.samples import FOLDER, JSON, PROTOBUF, body

NAMES = sorted(path.name for path in FOLDER.iterdir())
TRACE, SPAN = "ab" * 16, "cd" * 8


def taken(content: bytes, name: str) -> list[Run]:
    """Runs of a body; none when it is refused with a reason."""
    decode = otlp.decode_logs if "_logs." in name else otlp.decode_traces
    try:
        batches = decode(content, JSON if ".json" in name else PROTOBUF)
    except TraceFormatError as error:
        assert str(error) and error.hint
        return []
    runs = [run for batch in batches for run in batch.runs]
    for run in runs:
        json.dumps(encode_run(run), allow_nan=False).encode()
    in_tree_order(runs)
    return runs


def mutated(content: bytes, chance: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(changed))
        action = chance.randrange(4)
        if action == 0:
            changed[at] = chance.randrange(256)
        elif action == 1:
            del changed[at : at + chance.randint(1, 40)]
        elif action == 2:
            changed[at:at] = chance.randbytes(chance.randint(1, 9))
        else:
            end = at + chance.randint(1, 200)
            changed[at:at] = changed[at:end]
        if not changed:
            return b""
    return bytes(changed)


@pytest.mark.parametrize("name", NAMES)
def test_mutated_bodies_are_read_or_refused(name: str) -> None:
    chance = random.Random(name)
    whole = body(name)

    for _ in range(100):
        taken(mutated(whole, chance), name)


@pytest.mark.parametrize("name", NAMES)
def test_cut_bodies_are_read_or_refused(name: str) -> None:
    whole = body(name)

    for cut in range(0, len(whole), max(len(whole) // 60, 1)):
        taken(whole[:cut], name)


_KEYS = st.sampled_from(
    [
        *("resourceSpans", "scopeSpans", "spans", "attributes", "key", "value", "stringValue"),
        *("kvlistValue", "values", "arrayValue", "intValue", "traceId", "spanId", "events"),
        *("parentSpanId", "status", "code", "startTimeUnixNano", "links", "name", "kind"),
        *("resourceLogs", "scopeLogs", "logRecords", "body", "resource", "scope", "message"),
    ]
)
_LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just("9")
)
_DOCUMENTS = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=30,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(document=_DOCUMENTS)
def test_documents_of_the_right_words_in_the_wrong_places_are_survived(document: Json) -> None:
    content = json.dumps(document).encode()

    taken(content, "x.json")
    taken(content, "x_logs.json")


_ATTRIBUTES = st.sampled_from(
    [
        *("openinference.span.kind", "input.value", "output.value", "input.mime_type"),
        *("llm.input_messages.0.message.role", "llm.input_messages.x", "llm.input_messages.1"),
        *("llm.output_messages.0.message.contents.0.message_content", "llm.tools.0.tool"),
        *("llm.invocation_parameters", "metadata", "tag.tags", "llm.token_count.prompt"),
        *("retrieval.documents.0.document.metadata", "retrieval.documents.7", "llm.cost.total"),
        *("gen_ai.prompt.0.content", "gen_ai.prompt", "gen_ai.input.messages", "session.id"),
        *("gen_ai.system_instructions", "gen_ai.tool.definitions", "gen_ai.operation.name"),
        *("gen_ai.tool.call.arguments", "gen_ai.usage.input_tokens", "operation.cost"),
        *("ai.operationId", "ai.prompt", "ai.response.toolCalls", "ai.toolCall.args"),
        *("ai.response.msToFirstChunk", "ai.prompt.tools", "ai.embeddings", "ai.usage.tokens"),
        *("langfuse.observation.type", "langfuse.observation.usage_details", "llm.request.type"),
        *("langfuse.observation.cost_details", "langfuse.observation.completion_start_time"),
        *("langsmith.span.kind", "langsmith.metadata.usage_metadata", "langsmith.span.tags"),
        *("mlflow.spanType", "mlflow.chat.tokenUsage", "mlflow.llm.cost", "mlflow.spanInputs"),
        *("traceloop.entity.input", "traceloop.span.kind", "pydantic_ai.all_messages"),
        *("refinery.run", "refinery", "otel", "langfuse.observation.level"),
    ]
)
_VALUES = st.one_of(
    st.sampled_from(
        [
            *("LLM", "TOOL", "chat", "execute_tool", "generation", "ai.embed", "llm", "ERROR"),
            *("application/json", '{"a": {"b": 1}}', '[{"role": "user", "parts": 7}]', "[[]]"),
            *('{"input_str": "{1: (2,)}", "kwargs": 3}', '[1, "x", null]', '"text"', "null"),
            *('{"total": "1e999", "input": true}', "1e999", "Infinity", '{"a": 1, "a": 2}'),
            *('[{"message": {"tool_calls": {}}}]', "9" * 400, "[" * 300, "{'a': 1}"),
        ]
    ),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.none(),
    st.text(max_size=5),
    st.lists(st.one_of(st.text(max_size=4), st.integers(), st.none()), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(attributes=st.dictionaries(_ATTRIBUTES, _VALUES, max_size=10))
def test_attributes_of_unexpected_types_are_survived(attributes: dict[str, Json]) -> None:
    span = {"traceId": TRACE, "spanId": SPAN, "attributes": attributes}
    event = {"name": "gen_ai.choice", "attributes": attributes}

    runs = taken(json.dumps({**span, "events": [event]}).encode(), "x.json")

    assert len(runs) == 1


@pytest.mark.slow
def test_a_huge_attribute_is_cut_with_a_note() -> None:
    attributes = {"input.value": "x" * (100 * 2**20), "small": "kept"}
    content = json.dumps({"traceId": TRACE, "spanId": SPAN, "attributes": attributes}).encode()

    (run,) = taken(content, "x.json")

    assert len(str(run.inputs)) < limits.MAX_ATTRIBUTE_CHARS + 100
    assert str(run.inputs).endswith("… [cut: 104857600 characters in all]")
    assert (run.metadata or {})["small"] == "kept"


def test_the_note_names_the_attribute() -> None:
    pairs = [{"key": "a", "value": {"stringValue": "x" * (limits.MAX_ATTRIBUTE_CHARS + 1)}}]
    content = json.dumps({"traceId": TRACE, "spanId": SPAN, "attributes": pairs}).encode()

    (run,) = taken(content, "x.json")

    assert (run.metadata or {})["otel"]["cut"] == ["a"]


def test_too_many_entries_are_left_out_with_a_note() -> None:
    events = [{"name": "e", "timeUnixNano": str(at + 1)} for at in range(limits.MAX_ENTRIES + 5)]
    content = json.dumps({"traceId": TRACE, "spanId": SPAN, "events": events}).encode()

    (run,) = taken(content, "x.json")

    assert len(run.events or []) == limits.MAX_ENTRIES
    assert (run.metadata or {})["otel"]["left_out"] == {"events": 5}


@pytest.mark.slow
def test_too_many_spans_are_refused() -> None:
    spans: list[Any] = [{}] * (limits.MAX_ITEMS + 1)
    content = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode()

    with pytest.raises(TraceFormatError, match="more than"):
        otlp.decode_traces(content, JSON)


def test_deep_values_are_cut() -> None:
    deep: Json = "x"
    for _ in range(150):
        deep = {"arrayValue": {"values": [deep]}}
    pairs = [{"key": "a", "value": deep}, {"key": "b", "value": {"stringValue": "[" * 500}}]
    content = json.dumps({"traceId": TRACE, "spanId": SPAN, "attributes": pairs}).encode()

    (run,) = taken(content, "x.json")

    assert "…" in str((run.metadata or {})["a"])
    assert (run.metadata or {})["b"] == "[" * 500


def test_parents_in_a_circle_are_survived() -> None:
    ids = ["01" * 8, "02" * 8, "03" * 8]
    spans = [
        {"traceId": TRACE, "spanId": ids[at], "parentSpanId": ids[at - 1], "name": str(at)}
        for at in range(3)
    ]
    content = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode()

    assert len(in_tree_order(taken(content, "x.json"))) == 3


def test_a_span_sent_twice_in_one_request_is_one_run() -> None:
    span = {"traceId": TRACE, "spanId": SPAN, "name": "a", "endTimeUnixNano": "5"}
    spans = [span, {**span, "endTimeUnixNano": "1", "startTimeUnixNano": "9"}]
    content = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode()

    (run,) = taken(content, "x.json")

    assert (run.start_ns, run.end_ns) == (9, 1)


def test_secrets_are_taken_out() -> None:
    key = "sk-" + "a1B2" * 10
    attributes = {
        "input.value": json.dumps({"api_key": "hunter22", "text": f"use {key}"}),
        "http.request.header.authorization": "letmein99",
        "note": f"Bearer {key}",
    }
    event = {"name": "exception", "attributes": {"exception.message": f"bad {key}"}}
    span = {"traceId": TRACE, "spanId": SPAN, "attributes": attributes, "status": {"code": 2}}

    (run,) = taken(json.dumps({**span, "events": [event]}).encode(), "x.json")

    told = json.dumps(encode_run(run))
    assert key not in told
    assert "hunter22" not in told
    assert "letmein99" not in told
    assert run.error is not None and run.error.message.startswith("bad [redacted")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{'city': 'Paris', 'n': (1, None, True)}", {"city": "Paris", "n": [1, None, True]}),
        ("{'a': __import__('os')}", "{'a': __import__('os')}"),
        ("[" * 50 + "]" * 50, "[" * 50 + "]" * 50),
        ("{1, 2}", "{1, 2}"),
        (r"{'a': '\d'}", r"{'a': '\d'}"),
        ("{'a': 1e999}", "{'a': 1e999}"),
        ("Paris", "Paris"),
    ],
)
def test_python_literals_are_read_and_nothing_is_run(text: str, expected: Json) -> None:
    assert literal(text) == expected


def test_literals_too_long_stay_text() -> None:
    text = "['" + "x" * 70_000 + "']"

    assert literal(text) == text


@pytest.mark.parametrize(
    "text", ['{"a": 1, "a": 2}', '{"a": ', "[" * 200, "plain", '"open', "[1, 2"]
)
def test_texts_whose_json_would_not_be_whole_stay_texts(text: str) -> None:
    assert parsed(text) == text


def test_names_with_numbers_make_lists() -> None:
    attributes = {"m.10.a": "k", "m.2.a.1": "y", "m.2.a.0": "x", "m.2.b": 1, "m.x": 2, "m.": 3}

    assert indexed(attributes, "m") == [{"a": ["x", "y"], "b": 1}, {"a": "k"}]


def test_many_attributes_are_read_in_time() -> None:
    attributes = {f"llm.input_messages.{at}.message.content": "x" for at in range(10_000)}
    content = json.dumps({"traceId": TRACE, "spanId": SPAN, "attributes": attributes}).encode()

    started = time.thread_time()
    (run,) = taken(content, "x.json")

    assert len(run.inputs["messages"]) == 10_000
    assert time.thread_time() - started < 5
