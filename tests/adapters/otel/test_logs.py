"""Messages in log records become inputs and outputs, in any order of arrival."""

import random

import pytest

from refinery.adapters import otlp
from refinery.adapters._shared.otel.requests import batches_of_logs
from refinery.adapters._shared.otel.spans import LogData
from refinery.model.merge import merge
from refinery.model.messages import messages_in, messages_out
from refinery.model.trace import Run, RunKind
from tests.adapters.otel.samples import PROTOBUF, body


def sent(name: str) -> list[Run]:
    decode = otlp.decode_logs if "_logs." in name else otlp.decode_traces
    return [run for batch in decode(body(name), PROTOBUF) for run in batch.runs]


def joined(views: list[Run]) -> dict[str, Run]:
    found: dict[str, Run] = {}
    for view in views:
        known = found.get(view.run_id)
        found[view.run_id] = merge(known, view) if known else view
    return found


@pytest.mark.parametrize("producer", ["genai_default", "genai_experimental_events"])
def test_order_and_repetition_of_spans_and_logs_do_not_matter(producer: str) -> None:
    views = [*sent(f"{producer}.pb"), *sent(f"{producer}_logs.pb")]
    expected = joined(views)

    for seed in range(20):
        shuffled = views * 2
        random.Random(seed).shuffle(shuffled)
        assert joined(shuffled) == expected


def test_records_of_one_span_may_come_in_several_requests() -> None:
    whole = joined([*sent("genai_default.pb"), *sent("genai_default_logs.pb")])
    first = LogData("gen_ai.user.message", {"content": "Hi"}, {}, 10, "ab" * 16, "cd" * 8)
    second = LogData("gen_ai.choice", {"message": {"content": "Ho"}}, {}, 20, "ab" * 16, "cd" * 8)
    (asked,) = batches_of_logs([first])[0].runs
    (answered,) = batches_of_logs([second])[0].runs

    for run in (merge(asked, answered), merge(answered, asked)):
        assert [(m.role, m.text) for m in messages_in(run)] == [("user", "Hi")]
        assert [(m.role, m.text) for m in messages_out(run)] == [("assistant", "Ho")]
    assert any(run.kind is RunKind.LLM and run.inputs for run in whole.values())


def test_a_conversation_is_in_order_of_time_then_of_arrival() -> None:
    records = [
        LogData("gen_ai.assistant.message", {"content": "two"}, {}, 20, "ab" * 16, "cd" * 8),
        LogData("gen_ai.user.message", {"content": "one"}, {}, 10, "ab" * 16, "cd" * 8),
        LogData("gen_ai.user.message", {"content": "one"}, {}, 10, "ab" * 16, "cd" * 8),
        LogData("gen_ai.tool.message", {"content": "3", "id": "c"}, {}, 20, "ab" * 16, "cd" * 8),
    ]

    (run,) = batches_of_logs(records)[0].runs

    assert [m.text for m in messages_in(run)] == ["one", "one", "two", "3"]
    assert messages_in(run)[3].tool_call_id == "c"


def test_a_record_outside_any_span_is_an_event_of_its_session() -> None:
    attributes = {"session.id": "s-1", "event.name": "api_request"}
    records = [
        LogData("api_request", "asked", attributes, 10),
        LogData("api_error", "failed", attributes, 20),
    ]

    first, again = (batches_of_logs(records)[0].runs for _ in range(2))

    assert first == again
    assert [run.kind for run in first] == [RunKind.EVENT, RunKind.EVENT]
    assert len({run.trace_id for run in first}) == 1
    assert [run.outputs for run in first] == ["asked", "failed"]


def test_secrets_in_records_are_taken_out_and_stay_out() -> None:
    key = "sk-" + "a1B2" * 10
    given = {"gen_ai.input.messages": '[{"role": "user", "parts": [], "api_key": "hunter22"}]'}
    name = "gen_ai.client.inference.operation.details"
    records = [
        LogData(name, None, given, 10, "ab" * 16, "cd" * 8),
        LogData("gen_ai.user.message", {"content": f"use {key}"}, {}, 20, "ab" * 16, "cd" * 8),
    ]

    (view,) = batches_of_logs(records)[0].runs
    run = merge(Run(view.run_id, view.trace_id, end_ns=30), view)

    assert key not in str(run)
    assert "hunter22" not in str(run)
