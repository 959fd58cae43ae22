"""Bodies and streams of model APIs: joined as sent, and never an exception on anything else."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from refinery.model import bodies, streams
from refinery.model.messages import ToolCall
from refinery.model.trace import RunKind, Usage
from refinery.replay import wire
from refinery.replay.wire import ModelReply

INTERFACES = [
    bodies.CHAT,
    bodies.COMPLETIONS,
    bodies.RESPONSES,
    bodies.EMBEDDINGS,
    bodies.MESSAGES,
]
PATHS = {
    bodies.CHAT: "/v1/chat/completions",
    bodies.RESPONSES: "/v1/responses",
    bodies.MESSAGES: "/v1/messages",
}
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=20,
)
WORDS = st.sampled_from(
    [
        *("choices", "delta", "index", "message", "tool_calls", "function", "arguments", "name"),
        *("type", "content_block", "content_block_start", "content_block_delta", "usage", "item"),
        *("response", "output_index", "response.output_item.added", "response.output_text.delta"),
        *("response.completed", "message_start", "message_delta", "partial_json", "text", "error"),
        *("input_json_delta", "text_delta", "content", "finish_reason", "data", "model", "tools"),
    ]
)
LIKELY = st.recursive(
    WORDS | st.none() | st.integers(-1, 3) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=5),
    max_leaves=25,
)


def events_of(interface: str, reply: ModelReply) -> list[Any]:
    """What a server streams for a reply."""
    path = PATHS[interface]
    asked = {"model": "m", "messages": [], "stream": True, "input": "x"}
    asked["stream_options"] = {"include_usage": True}
    _, chunks = wire.render(wire.parse_request(path, asked), reply)
    return streams.read_events(b"".join(chunks).decode())


@given(
    interface=st.sampled_from(sorted(PATHS)),
    text=st.text(st.characters(codec="utf-8"), max_size=200),
    city=st.text(st.characters(codec="utf-8"), max_size=50),
    has_call=st.booleans(),
)
def test_a_joined_stream_says_what_the_whole_body_says(
    interface: str, text: str, city: str, has_call: bool
) -> None:
    calls = (ToolCall("weather", {"city": city}, "c1"),) if has_call else ()
    reply = ModelReply(text, calls, Usage(input=9, output=3, cache_read=2))
    path = PATHS[interface]
    _, chunks = wire.render(wire.parse_request(path, {"model": "m"}), reply)
    whole = wire.parse_reply(api := wire.parse_request(path, {"model": "m"}).api, b"".join(chunks))

    events = events_of(interface, reply)
    body = streams.joined(interface, events)

    assert wire.parse_reply(api, body) == whole
    usage = bodies.usage_of(interface, body)
    assert usage is not None and (usage.input, usage.output, usage.cache_read) == (9, 3, 2)
    assert streams.has_ended(interface, events[-1]) or interface == bodies.CHAT
    assert any(streams.has_ended(interface, event) for event in events)


@example(interface=bodies.RESPONSES, events=[{"type": [], "response": {}}])
@given(events=st.lists(ANY_JSON | LIKELY, max_size=8), interface=st.sampled_from(INTERFACES))
def test_events_of_any_shape_are_joined_without_an_exception(
    events: list[Any], interface: str
) -> None:
    assert isinstance(streams.joined(interface, events), dict)
    for event in events:
        streams.has_ended(interface, event)
        streams.says_something(event)
        bodies.asked(event)
        bodies.answered(interface, event)


@given(st.text(max_size=200))
def test_any_text_can_be_read_as_events(text: str) -> None:
    assert all(isinstance(event, dict) for event in streams.read_events(text))


def test_several_choices_names_repeated_and_indexes_out_of_order() -> None:
    def call(index: int, arguments: str) -> dict[str, Any]:
        function = {"name": "look", "arguments": arguments}
        return {"index": index, "id": f"c{index}", "type": "function", "function": function}

    chunks: list[Any] = [
        {"choices": [{"index": 1, "delta": {"role": "assistant", "content": "b"}}]},
        {"choices": [{"index": 0, "delta": {"tool_calls": [call(1, "{"), call(0, '{"a"')]}}]},
        {"choices": [{"index": 0, "delta": {"tool_calls": [call(0, ": 1}"), call(1, "}")]}}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
    ]

    first, second = streams.joined(bodies.CHAT, chunks)["choices"]

    assert second["message"]["content"] == "b"
    assert first["finish_reason"] == "tool_calls"
    calls = first["message"]["tool_calls"]
    assert [(item["id"], item["function"]["arguments"]) for item in calls] == [
        ("c1", "{}"),
        ("c0", '{"a": 1}'),
    ]
    assert {item["function"]["name"] for item in calls} == {"look"}


def test_thinking_signatures_and_citations_of_anthropic_are_kept() -> None:
    def delta(index: int, **fields: Any) -> dict[str, Any]:
        return {"type": "content_block_delta", "index": index, "delta": fields}

    def start(index: int, kind: str) -> dict[str, Any]:
        return {"type": "content_block_start", "index": index, "content_block": {"type": kind}}

    told = streams.joined(
        bodies.MESSAGES,
        [
            {"type": "message_start", "message": {"id": "m1", "usage": {"input_tokens": 3}}},
            start(0, "thinking"),
            delta(0, type="thinking_delta", thinking="Hm"),
            delta(0, type="thinking_delta", thinking="m."),
            delta(0, type="signature_delta", signature="sig"),
            start(1, "text"),
            delta(1, type="text_delta", text="Yes."),
            delta(1, type="citations_delta", citation={"cited_text": "yes"}),
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {}},
        ],
    )

    assert told["content"] == [
        {"type": "thinking", "thinking": "Hmm.", "signature": "sig"},
        {"type": "text", "text": "Yes.", "citations": [{"cited_text": "yes"}]},
    ]
    assert (told["stop_reason"], told["usage"]) == ("end_turn", {"input_tokens": 3})


def test_a_response_that_broke_off_keeps_what_had_come() -> None:
    message = {"type": "message", "role": "assistant", "status": "in_progress", "content": []}
    told = streams.joined(
        bodies.RESPONSES,
        [
            {"type": "response.created", "response": {"id": "r", "output": []}},
            {"type": "response.output_item.added", "output_index": 0, "item": message},
            {"type": "response.output_text.delta", "output_index": 0, "delta": "half"},
        ],
    )

    assert told["output"][0]["content"] == [{"type": "output_text", "text": "half"}]


@pytest.mark.parametrize(
    ("path", "interface", "kind"),
    [
        ("/v1/chat/completions", bodies.CHAT, RunKind.LLM),
        ("/openai/deployments/d/chat/completions?api-version=1", bodies.CHAT, RunKind.LLM),
        ("/v1/completions", bodies.COMPLETIONS, RunKind.LLM),
        ("/v1/responses/", bodies.RESPONSES, RunKind.LLM),
        ("/v1/embeddings", bodies.EMBEDDINGS, RunKind.EMBEDDING),
        ("/v1/messages?beta=true", bodies.MESSAGES, RunKind.LLM),
    ],
)
def test_paths_tell_the_interface(path: str, interface: str, kind: RunKind) -> None:
    assert bodies.interface_of(path) == interface
    assert bodies.kind_of(interface) is kind


@pytest.mark.parametrize(
    "path", ["/v1/threads/t/messages", "/v1/messages/count_tokens", "/v1/models", "", "?x"]
)
def test_other_paths_are_no_model_calls(path: str) -> None:
    assert bodies.interface_of(path) is None
