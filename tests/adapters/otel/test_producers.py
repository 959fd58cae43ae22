"""What real producers sent, kept as samples, becomes the right trees, messages and tokens."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from refinery.adapters._shared.otel import bodies
from refinery.adapters._shared.otel.spans import run_uuid
from refinery.model.codec import encode_run
from refinery.model.messages import messages_in, messages_out
from refinery.model.trace import RunStatus
from tests.adapters.otel.samples import JSON, PRODUCERS, PROTOBUF, body, named, runs_of, tokens

KINDS = {
    "genai_experimental": {"chain": 1, "llm": 4},
    "genai_experimental_events": {"chain": 1, "llm": 4},
    "genai_default": {"chain": 1, "llm": 4},
    "langfuse": {"agent": 1, "tool": 1, "retriever": 1, "chain": 1, "llm": 2},
    "langsmith_otel": {"chain": 4, "llm": 2, "tool": 2},
    "openinference_agents": {"agent": 2, "chain": 3, "llm": 2, "tool": 1},
    "openinference_langchain": {"chain": 7, "llm": 3, "tool": 2},
    "openinference_openai": {"llm": 4},
    "openllmetry": {"agent": 3, "chain": 5, "llm": 3, "tool": 2},
    "pydantic_ai": {"agent": 2, "llm": 3, "tool": 2},
    "vercel": {"chain": 5, "llm": 6, "tool": 2},
}
TOKENS = {
    "genai_experimental": 116,
    "genai_experimental_events": 116,
    "genai_default": 116,
    "langfuse": 82,
    "langsmith_otel": 116,
    "openinference_agents": 116,
    "openinference_langchain": 165,
    "openinference_openai": 116,
    "openllmetry": 183,
    "pydantic_ai": 165,
    "vercel": 257,
}
CALLED = {
    "genai_experimental": "chat gpt-4o-mini",
    "genai_experimental_events": "chat gpt-4o-mini",
    "genai_default": "chat gpt-4o-mini",
    "langsmith_otel": "ChatOpenAI",
    "openinference_agents": "generation",
    "openinference_langchain": "ChatOpenAI",
    "openinference_openai": "ChatCompletion",
    "openllmetry": "ChatOpenAI.chat",
    "pydantic_ai": "chat gpt-4o-mini",
    "vercel": "ai.generateText.doGenerate",
}


def strings(value: Any) -> Iterator[str]:
    """Every string inside a value, JSON in strings read."""
    if isinstance(value, dict):
        for item in value.values():
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
    elif isinstance(value, str):
        try:
            read = json.loads(value) if value[:1] in ("{", "[", '"') else value
        except ValueError:
            read = value
        if isinstance(read, str):
            yield read
        else:
            yield from strings(read)


@pytest.mark.parametrize("producer", PRODUCERS)
def test_kinds_follow_the_first_rule_that_matches(producer: str) -> None:
    kinds = Counter(str(run.kind) for run in runs_of(producer))

    assert kinds == KINDS[producer]


@pytest.mark.parametrize("producer", PRODUCERS)
def test_tokens_are_counted_once(producer: str) -> None:
    assert tokens(runs_of(producer)) == TOKENS[producer]


@pytest.mark.parametrize("producer", CALLED)
def test_messages_of_a_call_are_readable(producer: str) -> None:
    runs = sorted(runs_of(producer), key=lambda run: run.start_ns or 0)

    call = named(runs, CALLED[producer])

    assert [message.role for message in messages_in(call)] == ["system", "user"]
    assert messages_in(call)[0].text == "You sell lamps."
    assert messages_in(call)[1].text.startswith("Price of Luna")
    (answer,) = messages_out(call)
    assert [(asked.name, asked.arguments) for asked in answer.tool_calls] == [
        ("get_price", {"lamp": "Luna"})
    ]


@pytest.mark.parametrize("producer", CALLED)
def test_models_are_told_apart(producer: str) -> None:
    runs = sorted(runs_of(producer), key=lambda run: run.start_ns or 0)

    call = named(runs, CALLED[producer])

    assert call.model_requested == "gpt-4o-mini"
    assert call.model_responded in ("gpt-4o-mini-2024-07-18", "gpt-4o-mini", None)
    assert str(call.provider).startswith("openai")


@pytest.mark.parametrize("producer", PRODUCERS)
def test_nothing_a_producer_said_is_lost(producer: str) -> None:
    documents = {run.run_id: encode_run(run) for run in runs_of(producer)}
    told = {run_id: set(strings(document)) for run_id, document in documents.items()}

    for name in PRODUCERS[producer]:
        kind = JSON if ".json" in name else PROTOBUF
        if "_logs." in name:
            for log in bodies.logs_of(body(name), kind):
                said = [log.body, log.attributes, log.name, log.resource]
                assert set(strings(said)) <= told[run_uuid(log.trace_id, log.span_id)]
        else:
            for span in bodies.spans_of(body(name), kind):
                said = [span.attributes, span.events, span.links, span.resource, span.name]
                missing = set(strings(said)) - told[run_uuid(span.trace_id, span.span_id)]
                assert missing == set()


@pytest.mark.parametrize("producer", PRODUCERS)
def test_parents_are_runs_of_the_same_trace(producer: str) -> None:
    runs = {run.run_id: run for run in runs_of(producer)}

    for run in runs.values():
        if run.parent_id:
            assert runs[run.parent_id].trace_id == run.trace_id


@pytest.mark.parametrize(
    ("producer", "name", "kind", "message"),
    [
        ("genai_default", "chat gpt-4o-mini", "RateLimitError", "Rate limit reached"),
        ("langfuse", "fail", "", "no such lamp"),
        ("langsmith_otel", "fail", "ValueError", "no Luna"),
        ("openinference_langchain", "get_price", "ValueError", "no price for Luna"),
        ("openinference_openai", "ChatCompletion", "RateLimitError", "Rate limit reached"),
        ("openllmetry", "fail.task", "ValueError", "no such lamp"),
        ("pydantic_ai", "execute_tool get_price", "ValueError", "no price for Luna"),
        ("vercel", "ai.toolCall", "Error", "no such lamp"),
    ],
)
def test_errors_say_what_was_thrown(producer: str, name: str, kind: str, message: str) -> None:
    failed = [run for run in runs_of(producer) if run.is_failed]

    error = named(failed, name).error

    assert error is not None
    assert error.type == kind
    assert message in error.message
    assert "Traceback" not in error.message


def test_an_unset_status_of_an_ended_span_is_success() -> None:
    runs = runs_of("langfuse")

    assert named(runs, "seller").status is RunStatus.OK


def test_sessions_users_and_tags_are_found() -> None:
    for producer, name in (("openinference_openai", "ChatCompletion"), ("langfuse", "seller")):
        run = named(runs_of(producer), name)
        assert (run.session_id, run.user_id, run.tags) == ("session-7", "user-7", ["spring"])
        assert (run.metadata or {})["shop"] == "north"
    workflow = named(runs_of("openllmetry"), "sell.workflow")
    assert (workflow.session_id, workflow.user_id) == ("session-7", "user-7")
    assert named(runs_of("vercel"), "ai.toolCall").session_id == "session-7"
    traced = named(runs_of("langsmith_otel"), "fail")
    assert (traced.session_id, traced.tags) == ("session-7", ["spring", "lamp"])


def test_arguments_written_by_python_are_read() -> None:
    tool = named(runs_of("openllmetry"), "execute_tool get_price")

    assert tool.inputs == {"lamp": "Luna"}


def test_an_agent_is_asked_up_to_its_first_answer() -> None:
    agent = named(runs_of("pydantic_ai"), "invoke_agent seller")

    assert [message.role for message in messages_in(agent)] == ["system", "user"]
    assert agent.outputs == "Luna costs 29."


def test_sums_around_calls_stay_out_of_the_usage() -> None:
    around = named(runs_of("vercel"), "ai.generateText")

    assert around.usage is None
    assert (around.metadata or {})["ai.usage.totalTokens"] == 116


def test_cost_and_first_token_are_read() -> None:
    draft = named(runs_of("langfuse"), "draft")
    stream = named(runs_of("vercel"), "ai.streamText.doStream")

    assert str(draft.cost_usd) == "0.003"
    assert draft.cost_source == "reported"
    assert stream.start_ns is not None and stream.first_token_ns is not None
    assert stream.start_ns < stream.first_token_ns < (stream.end_ns or 0)
