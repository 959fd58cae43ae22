"""What is rendered must be what the vendors' own clients read, and the other way round."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refinery.errors import InputError
from refinery.model.messages import ToolCall
from refinery.model.trace import Usage
from refinery.replay.wire import (
    Api,
    ModelReply,
    ModelRequest,
    api_of,
    parse_reply,
    parse_request,
    render,
)
from tests.fakes.model_server import ModelServer, StatusError

PATHS = {
    Api.OPENAI_CHAT: "/v1/chat/completions",
    Api.OPENAI_RESPONSES: "/v1/responses",
    Api.ANTHROPIC: "/v1/messages?beta=true",
}
WEATHER = ToolCall("weather", {"city": "Zürich", "days": 3}, "call_1")
FULL = ModelReply(
    "It is sunny, with some clouds in the evening.",
    (WEATHER, ToolCall("weather", {"city": "Bern"}, "call_2")),
    Usage(input=120, output=30, total=150, cache_read=20),
    "tool_calls",
    "model-x-2",
)
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


SPOKEN = [api for api in Api if api is not Api.OPENAI_EMBEDDINGS]
"""Interfaces whose replies can be written."""


def ask(api: Api, *, stream: bool = False) -> ModelRequest:
    messages = [{"role": "user", "content": "hi"}]
    body: dict[str, Any] = {"model": "model-x", "stream": stream, "max_tokens": 10}
    body["input" if api is Api.OPENAI_RESPONSES else "messages"] = messages
    if api is Api.OPENAI_CHAT and stream:
        body["stream_options"] = {"include_usage": True}
    return parse_request(PATHS[api], body)


@pytest.mark.parametrize("api", SPOKEN)
@pytest.mark.parametrize("stream", [False, True])
def test_a_rendered_reply_reads_back_equal(api: Api, stream: bool) -> None:
    content_type, chunks = render(ask(api, stream=stream), FULL)

    read = parse_reply(api, b"".join(chunks))

    assert content_type == ("text/event-stream" if stream else "application/json")
    assert (read.text, read.tool_calls, read.model) == (FULL.text, FULL.tool_calls, "model-x-2")
    assert read.reason == "tool_calls"
    assert read.usage is not None
    assert (read.usage.input, read.usage.output, read.usage.cache_read) == (120, 30, 20)


@pytest.mark.parametrize("api", SPOKEN)
@pytest.mark.parametrize("stream", [False, True])
def test_a_reply_cut_by_the_token_limit_says_so(api: Api, stream: bool) -> None:
    _, chunks = render(ask(api, stream=stream), ModelReply("half a sen", finish_reason="length"))

    assert parse_reply(api, b"".join(chunks)).finish_reason == "length"


@pytest.mark.parametrize("stream", [False, True])
def test_malformed_arguments_stay_as_the_model_wrote_them(stream: bool) -> None:
    broken = ToolCall("weather", '{"city": "Ber', "call_9", is_malformed=True)

    _, chunks = render(ask(Api.OPENAI_CHAT, stream=stream), ModelReply(tool_calls=(broken,)))

    assert parse_reply(Api.OPENAI_CHAT, b"".join(chunks)).tool_calls == (broken,)


def test_system_prompts_become_messages_whatever_the_vendor() -> None:
    turn = {"role": "user", "content": "hi"}
    bodies = {
        Api.OPENAI_CHAT: {"messages": [{"role": "developer", "content": "Be kind."}, turn]},
        Api.OPENAI_RESPONSES: {"input": "hi", "instructions": "Be kind."},
        Api.ANTHROPIC: {"messages": [turn], "system": [{"type": "text", "text": "Be kind."}]},
    }

    for api, body in bodies.items():
        request = parse_request(PATHS[api], {"model": "m", **body})
        assert [(m.role, m.text) for m in request.messages] == [
            ("system", "Be kind."),
            ("user", "hi"),
        ], api


def test_paths_are_told_apart_by_their_ending() -> None:
    assert api_of("/proxy/v1/chat/completions?x=1") is Api.OPENAI_CHAT
    assert api_of("/v1/messages/") is Api.ANTHROPIC
    assert api_of("/v1/messages/count_tokens") is None


@pytest.mark.parametrize("body", [None, [], "x", {}, {"model": 3}, {"model": ""}])
def test_a_body_that_is_no_request_is_an_input_error(body: Any) -> None:
    with pytest.raises(InputError):
        parse_request("/v1/chat/completions", body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
KEYS = ["messages", "input", "tools", "system", "choices", "content", "output", "usage", "delta"]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=60)
@given(st.sampled_from(SPOKEN), st.dictionaries(st.sampled_from(KEYS), JSON, max_size=4))
def test_any_json_is_read_without_a_crash(api: Api, body: dict[str, Any]) -> None:
    parse_request(PATHS[api], {"model": "m", **body})
    parse_reply(api, body)
    parse_reply(api, f"event: x\ndata: {json.dumps(body)}\n\ndata: [DONE]\n\n")


def echo(request: ModelRequest) -> ModelReply | StatusError:
    """Calls a tool when one is offered, then says what it was told."""
    if request.tools and request.messages[-1].role != "tool":
        return ModelReply(
            tool_calls=(ToolCall("weather", {"city": "Bern"}, "call_7"),),
            usage=Usage(input=50, output=5),
        )
    said = f"system={request.messages[0].text} last={request.messages[-1].text}"
    return ModelReply(said, usage=Usage(input=40, output=8, cache_read=10))


@pytest.mark.slow
def test_the_openai_client_reads_plain_and_streamed_chat() -> None:
    import openai

    with ModelServer(echo) as server:
        client = openai.OpenAI(base_url=server.url + "/v1", api_key="k")
        messages: list[Any] = [{"role": "user", "content": "hi"}]
        called = client.chat.completions.create(model="m", messages=messages, tools=[TOOL])
        stream = client.chat.completions.create(
            model="m", messages=messages, stream=True, stream_options={"include_usage": True}
        )
        chunks = list(stream)

    call = called.choices[0].message.tool_calls[0]
    assert (call.function.name, json.loads(call.function.arguments)) == (
        "weather",
        {"city": "Bern"},
    )
    assert called.choices[0].finish_reason == "tool_calls"
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == "system=hi last=hi"
    assert chunks[-1].usage.prompt_tokens_details.cached_tokens == 10
    assert server.headers[0]["authorization"] == "Bearer k"


@pytest.mark.slow
def test_the_openai_client_reads_plain_and_streamed_responses() -> None:
    import openai

    with ModelServer(echo) as server:
        client = openai.OpenAI(base_url=server.url + "/v1", api_key="k")
        plain = client.responses.create(model="m", input="hi", instructions="Be kind.")
        with client.responses.stream(model="m", input="hello there") as stream:
            streamed = stream.get_final_response()
        tool: Any = {"type": "function", **TOOL["function"]}
        called = client.responses.create(model="m", input="hi", tools=[tool])

    assert plain.output_text == "system=Be kind. last=hi"
    assert plain.usage.input_tokens_details.cached_tokens == 10
    assert streamed.output_text == "system=hello there last=hello there"
    assert called.output[0].name == "weather"
    assert json.loads(called.output[0].arguments) == {"city": "Bern"}


@pytest.mark.slow
def test_the_anthropic_client_reads_plain_and_streamed_messages() -> None:
    import anthropic

    tool: Any = {
        "name": "weather",
        "description": "Weather.",
        "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
    }
    with ModelServer(echo) as server:
        client = anthropic.Anthropic(base_url=server.url, api_key="k")
        turn: Any = [{"role": "user", "content": "hi"}]
        plain = client.messages.create(model="m", max_tokens=9, system="Be kind.", messages=turn)
        with client.messages.stream(model="m", max_tokens=9, messages=turn) as stream:
            streamed = stream.get_final_message()
        called = client.messages.create(model="m", max_tokens=9, messages=turn, tools=[tool])

    assert plain.content[0].text == "system=Be kind. last=hi"
    assert (plain.usage.input_tokens, plain.usage.cache_read_input_tokens) == (30, 10)
    assert streamed.content[0].text == "system=hi last=hi"
    assert (called.content[0].name, called.content[0].input) == ("weather", {"city": "Bern"})
    assert called.stop_reason == "tool_use"


@pytest.mark.slow
def test_langchain_clients_read_both_vendors_plain_and_streamed() -> None:
    from langchain_anthropic import ChatAnthropic
    from langchain_openai import ChatOpenAI

    def weather(city: str) -> str:
        """Weather of a city."""
        return city

    with ModelServer(echo) as server:
        openai: Any = ChatOpenAI(
            model="m", base_url=server.url + "/v1", api_key="k", stream_usage=True
        )
        claude: Any = ChatAnthropic(model="m", base_url=server.url, api_key="k", max_tokens=9)
        for client in (openai, claude):
            plain = client.invoke([("system", "Be kind."), ("human", "hi")])
            streamed = None
            for chunk in client.stream([("human", "hi")]):
                streamed = chunk if streamed is None else streamed + chunk
            called = client.bind_tools([weather]).invoke("hi")

            assert plain.text == "system=Be kind. last=hi"
            assert plain.usage_metadata["input_tokens"] == 40
            assert plain.usage_metadata["input_token_details"]["cache_read"] == 10
            assert streamed.text == "system=hi last=hi"
            assert streamed.usage_metadata["output_tokens"] == 8
            assert called.tool_calls[0]["name"] == "weather"
            assert called.tool_calls[0]["args"] == {"city": "Bern"}


@pytest.mark.slow
def test_a_failing_answer_reaches_the_client_as_its_own_error() -> None:
    import anthropic
    import openai

    with ModelServer(lambda request: StatusError(424, "no answer")) as server:
        first = openai.OpenAI(base_url=server.url + "/v1", api_key="k", max_retries=2)
        second = anthropic.Anthropic(base_url=server.url, api_key="k", max_retries=2)
        with pytest.raises(openai.APIStatusError, match="no answer"):
            first.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}])
        with pytest.raises(anthropic.APIStatusError, match="no answer"):
            second.messages.create(
                model="m", max_tokens=1, messages=[{"role": "user", "content": "x"}]
            )

    assert len(server.requests) == 2
