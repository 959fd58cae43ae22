"""A request on the wire is found again in what a real recorder kept of it."""

import base64
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage

from refinery.model import codec
from refinery.model.merge import merge
from refinery.model.messages import ToolCall
from refinery.model.trace import Run, RunKind, Usage
from refinery.recorders.langchain import RefineryCallbackHandler
from refinery.replay.canonical import Fresh, differing, normalise, of_request, of_run
from refinery.replay.wire import ModelReply, ModelRequest, parse_request
from tests.fakes.model_server import ModelServer
from tests.replay.traces import llm

NOW_NS = 1_790_000_000_000_000_000  # 2026-09-21
FRESH = Fresh(NOW_NS)
PIXEL = base64.b64encode(b"\x89PNG not really, but long enough to be the longest string").decode()


class ListSink:
    """Keeps recorded views in a list."""

    def __init__(self) -> None:
        self.records: list[Any] = []

    def put(self, record: Any) -> bool:
        self.records.append(record)
        return True

    def lose(self, reason: str) -> None:
        raise AssertionError(reason)

    def runs(self) -> list[Run]:
        found: dict[str, Run] = {}
        for record in self.records:
            run = codec.decode_run(codec.encode(record.document()["run"]))
            found[run.run_id] = merge(found[run.run_id], run) if run.run_id in found else run
        return [run for run in found.values() if run.kind is RunKind.LLM]


def weather(city: str, days: int = 1) -> str:
    """Weather of a city."""
    return city


def reply(request: ModelRequest) -> ModelReply:
    if request.params.get("tool_choice") or (request.tools and len(request.messages) < 3):
        call = ToolCall("weather", {"city": "Bern", "days": 2}, "call_1")
        return ModelReply("Let me look.", (call,), Usage(10, 5))
    return ModelReply('{"x": "done"}', usage=Usage(10, 5))


def openai(url: str, **more: Any) -> Any:
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(model="m", base_url=url + "/v1", api_key="k", **more)


def claude(url: str, **more: Any) -> Any:
    from langchain_anthropic import ChatAnthropic

    return ChatAnthropic(model="m", base_url=url, api_key="k", **{"max_tokens": 99, **more})


def plain(model: Any, config: Any) -> None:
    model.invoke([SystemMessage("Be kind."), HumanMessage("hi")], config)


def streamed(model: Any, config: Any) -> None:
    list(model.stream([("system", "Be kind."), ("human", "hi")], config))


def tools(model: Any, config: Any) -> None:
    model.bind_tools([weather]).invoke([("system", "Use tools."), ("human", "weather?")], config)


def forced(model: Any, config: Any) -> None:
    model.bind_tools([weather], tool_choice="weather").invoke("weather?", config)


def conversation(model: Any, config: Any) -> None:
    bound = model.bind_tools([weather])
    turns: list[Any] = [SystemMessage("Use tools."), HumanMessage("weather?")]
    answer = bound.invoke(turns, config)
    done = [ToolMessage("rain", tool_call_id=call["id"]) for call in answer.tool_calls]
    bound.invoke([*turns, answer, *done, HumanMessage("and then?")], config)


def streamed_conversation(model: Any, config: Any) -> None:
    bound = model.bind_tools([weather])
    turns: list[Any] = [SystemMessage("Use tools."), HumanMessage("weather?")]
    whole = None
    for chunk in bound.stream(turns, config):
        whole = chunk if whole is None else whole + chunk
    assert whole is not None
    done = [ToolMessage("rain", tool_call_id=call["id"]) for call in whole.tool_calls]
    list(bound.stream([*turns, whole, *done], config))


def picture(model: Any, config: Any) -> None:
    image = {"type": "image", "base64": PIXEL, "mime_type": "image/png"}
    model.invoke([HumanMessage([{"type": "text", "text": "what is it?"}, image])], config)


def schema(model: Any, config: Any) -> None:
    wanted = {
        "title": "Ans",
        "type": "object",
        "properties": {"x": {"type": "string"}},
        "required": ["x"],
        "additionalProperties": False,
    }
    model.with_structured_output(wanted, method="json_schema").invoke("fill it", config)


USES: list[Callable[[Any, Any], None]] = [
    plain, streamed, tools, forced, conversation, streamed_conversation, picture, schema,
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("make", [openai, claude], ids=["openai", "anthropic"])
def test_what_langchain_recorded_is_what_it_sent(make: Any) -> None:
    with ModelServer(reply) as server:
        for more in ({}, {"temperature": 0.3, "max_tokens": 55, "top_p": 0.9}):
            for use in USES:
                sink = ListSink()
                server.requests.clear()
                use(make(server.url, **more), {"callbacks": [RefineryCallbackHandler(sink)]})
                assert sink.runs(), use.__name__
                _assert_found(sink.runs(), server.requests, f"{use.__name__} {more}")


@pytest.mark.slow
def test_the_responses_interface_is_found_too() -> None:
    with ModelServer(reply) as server:
        for use in (plain, streamed, tools, conversation, schema):
            sink = ListSink()
            server.requests.clear()
            model = openai(server.url, use_responses_api=True, max_tokens=7)
            use(model, {"callbacks": [RefineryCallbackHandler(sink)]})
            _assert_found(sink.runs(), server.requests, use.__name__)


def _assert_found(runs: list[Run], requests: list[ModelRequest], label: str) -> None:
    assert len(runs) == len(requests), label
    for run, request in zip(runs, requests, strict=True):
        recorded, asked = of_run(run, FRESH), of_request(request, FRESH)
        assert recorded.exact == asked.exact, label
        assert differing(recorded, asked.fields) == [], label


def request(messages: list[dict[str, Any]], **more: Any) -> ModelRequest:
    return parse_request("/v1/chat/completions", {"model": "m", "messages": messages, **more})


def user(text: str, **more: Any) -> ModelRequest:
    return request([{"role": "user", "content": text}], **more)


@pytest.mark.parametrize(
    "other",
    [
        user("hi there"),
        user("hi", model="m2"),
        user("hi", temperature=0.5),
        user("hi", stop=["END"]),
        user("hi", tools=[{"type": "function", "function": {"name": "t", "parameters": {}}}]),
        user("hi", response_format={"type": "json_object"}),
        request([{"role": "system", "content": "Be kind."}, {"role": "user", "content": "hi"}]),
        request([{"role": "assistant", "content": "hi"}]),
        request(
            [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": PIXEL}}]}]
        ),
    ],
)
def test_whatever_can_change_the_answer_makes_another_request(other: ModelRequest) -> None:
    one, two = of_request(user("hi"), FRESH), of_request(other, FRESH)

    assert (one.exact, one.fields) != (two.exact, two.fields)
    assert (one.normalised, one.fields) != (two.normalised, two.fields)


@pytest.mark.parametrize(
    "same",
    [
        user("hi", stream=True, user="u-1", metadata={"a": 1}, stream_options={"x": 1}),
        user("hi", n=1, tool_choice="auto"),
        user(" hi\n"),
        request([{"role": "user", "content": [{"type": "text", "text": "hi"}], "name": "Ann"}]),
    ],
)
def test_what_cannot_change_the_answer_is_left_out(same: ModelRequest) -> None:
    one, two = of_request(user("hi"), FRESH), of_request(same, FRESH)

    assert (one.exact, one.fields) == (two.exact, two.fields)


def call_of(identifier: str, result: str) -> ModelRequest:
    call = {"id": identifier, "type": "function", "function": {"name": "t", "arguments": "{}"}}
    return request(
        [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": identifier, "content": result},
        ]
    )


def test_identifiers_of_tool_calls_are_renumbered() -> None:
    one, two = (
        of_request(call_of("call_a", "x"), FRESH),
        of_request(call_of("toolu_b", "x"), FRESH),
    )

    assert one.exact != two.exact
    assert one.normalised == two.normalised


UUIDS = ("0b0e3c5e-95a4-4d0f-9b5c-0a4d5a0c3a01", "7c9e6679-7425-40de-944b-e07fc1f90ae7")


def test_fresh_identifiers_are_equal_only_where_they_stand_for_the_same() -> None:
    one, two = UUIDS

    assert normalise(f"{one} {one}", FRESH) == normalise(f"{two} {two}", FRESH)
    assert normalise(f"{one} {one}", FRESH) != normalise(f"{one} {two}", FRESH)


def test_identifiers_that_are_data_are_kept() -> None:
    known = Fresh(NOW_NS, frozenset(UUIDS))

    assert normalise(UUIDS[0], known) != normalise(UUIDS[1], known)


def test_only_times_near_the_run_are_the_clock() -> None:
    now, later = "It is 2026-09-21T14:13:20Z.", "It is 2026-09-21 15:59:01.123+02:00."

    assert normalise(now, FRESH) == normalise(later, FRESH)
    assert normalise("on 2026-09-21", FRESH) == normalise("on 2026-09-20", FRESH)
    assert normalise("on 2026-09-21", FRESH) != normalise(now, FRESH)
    assert normalise("valid from 2024-01-01", FRESH) == "valid from 2024-01-01"
    assert normalise("2024-99-99", FRESH) == "2024-99-99"


def test_redacted_secrets_match_the_secrets_themselves() -> None:
    secret = "sk-proj-abcdefghijklmnopqrstuvwxyz123456"
    recorded = Run("r", "r", inputs={"messages": [["user", "key [redacted openai_key 1f0c9a2b]"]]})

    asked = of_request(user(f"key {secret}"), FRESH)

    assert of_run(recorded, FRESH).exact == asked.exact


def test_a_value_the_recording_could_not_keep_is_unknown_not_different() -> None:
    params = {"response_format": {"__repr__": "<class 'app.Answer'>"}, "temperature": 0.0}
    recorded = Run("r", "r", inputs={"messages": []}, params=params, model_requested="m")

    found = of_run(recorded, FRESH)
    asked = of_request(user("hi", temperature=0, response_format={"type": "json_object"}), FRESH)

    assert found.unknown == ("response_format",)
    assert differing(found, asked.fields) == []


def test_a_wrapped_sdk_call_is_recorded_as_the_body_it_sent() -> None:
    body = {"model": "m", "temperature": 1, "messages": [{"role": "user", "content": "hi"}]}
    recorded = of_run(Run("r", "r", inputs=body), FRESH)

    asked = of_request(user("hi", temperature=1.0), FRESH)

    assert (recorded.exact, recorded.fields) == (asked.exact, asked.fields)


def test_a_time_of_day_is_loose_unless_it_came_in_from_outside() -> None:
    early, late = (
        llm(1, f"It is {clock}, open from 9:00", "x") for clock in ("16:59:58", "17:00:01")
    )
    fresh = FRESH

    assert of_run(early, fresh).normalised != of_run(late, fresh).normalised
    assert of_run(early, fresh).loose == of_run(late, fresh).loose
    known = Fresh(NOW_NS, frozenset({"16:59:58"}))
    assert of_run(early, known).loose != of_run(late, known).loose
