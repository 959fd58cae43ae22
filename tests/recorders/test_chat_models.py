"""Real OpenAI and Anthropic clients, tools and agents, against a model on loopback."""

from collections.abc import Iterator
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_anthropic import ChatAnthropic
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from refinery.model import messages
from refinery.model.messages import ToolCall
from refinery.model.trace import RunKind, RunStatus, Usage
from refinery.replay.wire import ModelReply, ModelRequest
from tests.fakes.model_server import ModelServer, StatusError
from tests.recorders._collect import ListSink, recorder

pytestmark = pytest.mark.slow


@tool
def weather(city: str) -> str:
    """Weather of a city."""
    return f"sunny in {city}"


def answer(request: ModelRequest) -> ModelReply | StatusError:
    text = str(request.messages)
    if "FAIL" in text:
        return StatusError(400, "refused")
    if request.tools and "sunny" not in text:
        call = ToolCall("weather", {"city": "Rome"}, "call_1")
        return ModelReply("", (call,), Usage(11, 2, 13), "tool_calls", "m-1-2026")
    return ModelReply("It is sunny.", (), Usage(20, 5, 25), "stop", "m-1-2026")


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with ModelServer(answer) as running:
        yield running


@pytest.fixture
def recorded() -> Iterator[tuple[dict[str, Any], ListSink]]:
    handler, sink = recorder()
    yield {"callbacks": [handler]}, sink
    assert sink.lost == []


def openai(server: ModelServer, **options: Any) -> ChatOpenAI:
    return ChatOpenAI(
        model="m-1", base_url=server.url + "/v1", api_key="x", max_retries=0, **options
    )


def test_a_call_keeps_model_parameters_usage_and_finish_reason(
    server: ModelServer, recorded: Any
) -> None:
    config, sink = recorded

    openai(server, temperature=0.3, max_tokens=50, stop=["END"]).invoke("hi", config)

    (run,) = sink.runs
    assert (run.provider, run.model_requested, run.model_responded) == (
        "openai",
        "m-1",
        "m-1-2026",
    )
    assert run.params and run.params["temperature"] == 0.3
    assert run.params["max_tokens"] == 50
    assert run.params["stop"] == ["END"]
    assert run.usage and (run.usage.input, run.usage.output) == (20, 5)
    assert run.outputs["generations"][0][0]["generation_info"]["finish_reason"] == "stop"
    assert "api_key" not in str(run.params)


def test_a_streamed_call_is_recorded_like_one_that_is_not(
    server: ModelServer, recorded: Any
) -> None:
    config, sink = recorded

    list(openai(server, stream_usage=True).stream("hi", config))

    (run,) = sink.runs
    assert [m.text for m in messages.messages_out(run)] == ["It is sunny."]
    assert run.first_token_ns is not None
    assert run.usage and run.usage.output == 5
    assert run.outputs["generations"][0][0]["generation_info"]["finish_reason"] == "stop"


def test_an_anthropic_call_reads_the_same(server: ModelServer, recorded: Any) -> None:
    config, sink = recorded
    model = ChatAnthropic(  # type: ignore[call-arg]
        model_name="m-1", base_url=server.url, api_key="x", max_retries=0, max_tokens_to_sample=64
    )

    model.bind_tools([weather]).invoke("hi", config)

    (run,) = sink.runs
    assert run.provider == "anthropic"
    assert run.params and run.params["max_tokens"] == 64
    assert run.tools and run.tools[0]["name"] == "weather"
    assert messages.tool_calls(run)[0].arguments == {"city": "Rome"}
    assert run.usage and run.usage.input == 11


def test_a_refused_call_is_an_error_of_the_model_run(server: ModelServer, recorded: Any) -> None:
    config, sink = recorded

    with pytest.raises(Exception, match="refused"):
        openai(server).invoke("FAIL", config)

    (run,) = sink.runs
    assert run.status is RunStatus.ERROR
    assert run.error and run.error.type.endswith("Error")


def test_an_agent_is_an_agent_whose_tools_have_schemas_and_sources(
    server: ModelServer, recorded: Any
) -> None:
    config, sink = recorded
    agent = create_agent(openai(server), [weather], system_prompt="Be brief.", name="helper")

    agent.invoke({"messages": [("user", "Rome?")]}, config)

    root = sink.runs[0]
    assert (root.name, root.kind) == ("helper", RunKind.AGENT)
    names = [(run.name, str(run.kind)) for run in sink.runs[1:]]
    assert names == [
        ("model", "chain"),
        ("ChatOpenAI", "llm"),
        ("tools", "chain"),
        ("weather", "tool"),
        ("model", "chain"),
        ("ChatOpenAI", "llm"),
    ]
    call = sink.runs[2]
    assert call.tools and call.tools[0]["function"]["name"] == "weather"
    assert messages.messages_in(call)[0].text == "Be brief."
    used = sink.named("weather")
    assert used.metadata and used.metadata["tool_call_id"] == "call_1"
    assert used.code and used.code.qualname == "weather"
