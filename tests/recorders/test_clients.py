"""Clients of `openai` and `anthropic`: the real SDKs against a model on loopback."""

import asyncio
import gc
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from pydantic import BaseModel

from refinery import wrap_anthropic, wrap_openai
from refinery.model.messages import ToolCall, messages_in, messages_out
from refinery.model.trace import Run, RunKind, RunStatus, Usage
from refinery.recorders import _context, _vendors, switch
from refinery.recorders._book import Book
from refinery.recorders._origin import OriginReader
from refinery.replay.apis._common import pieces
from refinery.replay.wire import ModelReply, ModelRequest
from tests.fakes.byte_server import Bytes, ByteServer
from tests.fakes.model_server import ModelServer, StatusError
from tests.recorders._collect import ListSink, raising

ASKED: list[Any] = [{"role": "user", "content": "How are you?"}]
TEXT = "I am very well, thank you for asking."
FIRST_PIECE = next(pieces(TEXT))
"""What the server streams first."""
TOOL: Any = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}},
}
TOKENS = Usage(input=20, output=7, cache_read=5, cache_write=3)


def answer(request: ModelRequest) -> ModelReply | StatusError:
    asked = request.messages[-1].text
    if asked.startswith("fail "):
        return StatusError(int(asked[5:]), headers={"retry-after-ms": "1"})
    if request.tools:
        return ModelReply(tool_calls=(ToolCall("weather", {"city": "Rome"}, "c1"),), usage=TOKENS)
    if asked == "json":
        return ModelReply('{"mood": "fine"}', usage=TOKENS)
    return ModelReply(TEXT, usage=TOKENS)


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with ModelServer(answer) as running:
        yield running


@pytest.fixture
def sink(isolated: Path) -> Iterator[ListSink]:
    """Everything either vendor's clients do is recorded into this."""
    made = ListSink()
    book = Book(made, origin=OriginReader(isolated))
    _vendors.arm_openai(lambda: book)
    _vendors.arm_anthropic(lambda: book)
    yield made
    for vendor in (_vendors.OPENAI, _vendors.ANTHROPIC):
        vendor.is_armed = False
        vendor.current_book = lambda: None
    assert made.lost == []


@pytest.fixture
def chat(server: ModelServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="key", max_retries=2) as client:
        yield client


@pytest.fixture
def claude(server: ModelServer) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=server.url, api_key="key", max_retries=2) as client:
        yield client


def only(sink: ListSink) -> Run:
    (run,) = sink.runs
    return run


def said(run: Run) -> str:
    return "".join(message.text for message in messages_out(run))


def test_a_chat_completion_is_one_run_with_all_it_says(
    chat: openai.OpenAI, sink: ListSink
) -> None:
    chat.chat.completions.create(
        model="m-1", messages=ASKED, temperature=0.5, max_completion_tokens=9, user="u7"
    )

    run = only(sink)
    assert (run.name, run.kind, run.provider) == (
        "openai.chat.completions",
        RunKind.LLM,
        "openai",
    )
    assert (run.status, run.model_requested, run.model_responded) == (RunStatus.OK, "m-1", "m-1")
    assert run.inputs["messages"] == ASKED
    assert [message.text for message in messages_in(run)] == ["How are you?"]
    assert said(run) == TEXT
    assert run.params == {"temperature": 0.5, "max_completion_tokens": 9, "max_tokens": 9}
    assert run.user_id == "u7"
    assert run.usage == Usage(input=20, output=7, total=27, cache_read=5, reasoning=0)
    assert run.code is not None and run.code.qualname == (
        "test_a_chat_completion_is_one_run_with_all_it_says"
    )
    assert str((run.metadata or {})["refinery"]["endpoint"]).endswith("/v1")
    assert run.parent_id is None


def test_anthropics_tokens_include_the_cached_ones(
    claude: anthropic.Anthropic, sink: ListSink
) -> None:
    claude.messages.create(model="c", max_tokens=10, system="Be brief.", messages=ASKED)

    run = only(sink)
    assert (run.name, run.provider, run.status) == (
        "anthropic.messages",
        "anthropic",
        RunStatus.OK,
    )
    assert run.usage == Usage(input=20, output=7, total=27, cache_read=5, cache_write=3)
    assert [message.role for message in messages_in(run)] == ["system", "user"]
    assert said(run) == TEXT


def test_tools_are_recorded_as_offered_and_as_called(
    chat: openai.OpenAI, claude: anthropic.Anthropic, sink: ListSink
) -> None:
    offered: Any = [{"name": "weather", "input_schema": {"type": "object"}}]
    chat.chat.completions.create(model="m", messages=ASKED, tools=[TOOL])
    claude.messages.create(model="m", max_tokens=9, messages=ASKED, tools=offered)

    first, second = sink.runs
    assert (first.tools, second.tools) == ([TOOL], offered)
    for run in (first, second):
        (message,) = messages_out(run)
        assert message.tool_calls == (ToolCall("weather", {"city": "Rome"}, "c1"),)


class Mood(BaseModel):
    mood: str


def test_parsed_answers_are_the_hosts_own_and_recorded(
    chat: openai.OpenAI, sink: ListSink
) -> None:
    asked: list[Any] = [{"role": "user", "content": "json"}]
    parsed = chat.chat.completions.parse(model="m", messages=asked, response_format=Mood)
    responded = chat.responses.parse(model="m", input="json", text_format=Mood)

    assert parsed.choices[0].message.parsed == Mood(mood="fine")
    assert responded.output_parsed == Mood(mood="fine")
    assert [run.name for run in sink.runs] == ["openai.chat.completions", "openai.responses"]
    assert [said(run) for run in sink.runs] == ['{"mood": "fine"}'] * 2


def drained(stream: Any) -> None:
    for _ in stream:
        pass


STREAMS: dict[str, Callable[[openai.OpenAI, anthropic.Anthropic], None]] = {
    "chat": lambda o, a: drained(
        o.chat.completions.create(
            model="m", messages=ASKED, stream=True, stream_options={"include_usage": True}
        )
    ),
    "responses": lambda o, a: drained(o.responses.create(model="m", input="hi", stream=True)),
    "messages": lambda o, a: drained(
        a.messages.create(model="m", max_tokens=9, messages=ASKED, stream=True)
    ),
    "raw": lambda o, a: drained(
        o.chat.completions.with_raw_response.create(
            model="m", messages=ASKED, stream=True, stream_options={"include_usage": True}
        ).parse()
    ),
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_that_was_read_is_recorded_as_the_whole_answer(
    name: str, chat: openai.OpenAI, claude: anthropic.Anthropic, sink: ListSink
) -> None:
    STREAMS[name](chat, claude)

    run = only(sink)
    assert (run.status, said(run)) == (RunStatus.OK, TEXT)
    assert run.usage is not None and (run.usage.input, run.usage.output) == (20, 7)
    assert run.first_token_ns is not None and run.start_ns is not None and run.end_ns is not None
    assert run.start_ns < run.first_token_ns <= run.end_ns


def managed_chat(o: openai.OpenAI, a: anthropic.Anthropic) -> str:
    with o.chat.completions.stream(model="m", messages=ASKED) as stream:
        return str(stream.get_final_completion().choices[0].message.content)


def managed_response(o: openai.OpenAI, a: anthropic.Anthropic) -> str:
    with o.responses.stream(model="m", input="hi") as stream:
        return stream.get_final_response().output_text


def managed_message(o: openai.OpenAI, a: anthropic.Anthropic) -> str:
    with a.messages.stream(model="m", max_tokens=9, messages=ASKED) as stream:
        return "".join(stream.text_stream)


def managed_beta(o: openai.OpenAI, a: anthropic.Anthropic) -> str:
    with a.beta.messages.stream(model="m", max_tokens=9, messages=ASKED) as stream:
        return stream.get_final_text()


@pytest.mark.parametrize("use", [managed_chat, managed_response, managed_message, managed_beta])
def test_the_sdks_stream_helpers_are_recorded_once(
    use: Callable[[openai.OpenAI, anthropic.Anthropic], str],
    chat: openai.OpenAI,
    claude: anthropic.Anthropic,
    sink: ListSink,
) -> None:
    assert use(chat, claude) == TEXT

    run = only(sink)
    assert (run.status, said(run)) == (RunStatus.OK, TEXT)


def by_close(o: openai.OpenAI, a: anthropic.Anthropic) -> None:
    stream = o.chat.completions.create(model="m", messages=ASKED, stream=True)
    next(stream)
    next(stream)
    stream.close()


def by_with(o: openai.OpenAI, a: anthropic.Anthropic) -> None:
    with o.chat.completions.create(model="m", messages=ASKED, stream=True) as stream:
        next(stream)
        next(stream)


def by_dropping(o: openai.OpenAI, a: anthropic.Anthropic) -> None:
    stream = o.chat.completions.create(model="m", messages=ASKED, stream=True)
    next(stream)
    next(stream)
    del stream
    gc.collect()


def by_helper(o: openai.OpenAI, a: anthropic.Anthropic) -> None:
    with o.chat.completions.stream(model="m", messages=ASKED) as stream:
        for event in stream:
            if event.type == "content.delta" and event.delta:
                break


def by_text_stream(o: openai.OpenAI, a: anthropic.Anthropic) -> None:
    with a.messages.stream(model="m", max_tokens=9, messages=ASKED) as stream:
        next(stream.text_stream)


def by_dropping_messages(o: openai.OpenAI, a: anthropic.Anthropic) -> None:
    stream = a.messages.create(model="m", max_tokens=9, messages=ASKED, stream=True)
    for event in stream:
        if event.type == "content_block_delta":
            break


@pytest.mark.parametrize(
    "leave", [by_close, by_with, by_dropping, by_helper, by_text_stream, by_dropping_messages]
)
def test_an_abandoned_stream_is_cancelled_and_keeps_what_had_come(
    leave: Callable[[openai.OpenAI, anthropic.Anthropic], None],
    chat: openai.OpenAI,
    claude: anthropic.Anthropic,
    sink: ListSink,
) -> None:
    leave(chat, claude)

    run = only(sink)
    assert run.status is RunStatus.CANCELLED
    assert (run.metadata or {})["refinery"]["cancelled"] == "abandoned stream"
    assert said(run) == FIRST_PIECE
    assert run.error is None


def test_a_stream_left_after_its_last_word_is_complete(
    chat: openai.OpenAI, sink: ListSink
) -> None:
    stream = chat.chat.completions.create(model="m", messages=ASKED, stream=True)
    for chunk in stream:
        if chunk.choices[0].finish_reason:
            break
    stream.close()

    assert (only(sink).status, said(only(sink))) == (RunStatus.OK, TEXT)


def test_chunks_are_the_sdks_own_and_come_as_the_server_sends_them(sink: ListSink) -> None:
    seen: list[str] = []

    def pieces() -> Iterator[bytes]:
        for word in ("a", "b"):
            seen.append(f"sent {word}")
            choice = {"index": 0, "delta": {"content": word}}
            yield b"data: " + json.dumps({"id": "1", "choices": [choice]}).encode() + b"\n\n"
        yield b"data: [DONE]\n\n"

    events = {"content-type": "text/event-stream"}
    with (
        ByteServer(lambda asked: Bytes(pieces(), headers=events)) as server,
        openai.OpenAI(base_url=server.url, api_key="k") as client,
    ):
        stream = client.chat.completions.create(model="m", messages=ASKED, stream=True)
        kinds = [type(chunk).__name__ for chunk in stream]

    assert type(stream) is openai.Stream
    assert kinds == ["ChatCompletionChunk"] * 2
    assert said(only(sink)) == "ab"
    assert not {"close", "aclose"} & set(vars(stream.response))


def test_a_stream_that_breaks_off_is_an_error_with_the_partial_answer(sink: ListSink) -> None:
    chunk = {"id": "1", "choices": [{"index": 0, "delta": {"content": "half"}}]}
    told = [
        b"data: " + json.dumps(chunk).encode() + b"\n\n",
        b'data: {"error": {"message": "m"}}\n\n',
    ]
    events = {"content-type": "text/event-stream"}
    with (
        ByteServer(lambda asked: Bytes(told, headers=events)) as server,
        openai.OpenAI(base_url=server.url, api_key="k") as client,
        pytest.raises(openai.APIError),
    ):
        drained(client.chat.completions.create(model="m", messages=ASKED, stream=True))

    run = only(sink)
    assert (run.status, said(run)) == (RunStatus.ERROR, "half")
    assert run.error is not None and run.error.type == "APIError"


@pytest.mark.parametrize(
    ("status", "kind"), [(429, openai.RateLimitError), (500, openai.InternalServerError)]
)
def test_an_error_is_recorded_with_its_retries_and_raised_unchanged(
    status: int, kind: type[openai.APIStatusError], chat: openai.OpenAI, sink: ListSink
) -> None:
    asked: list[Any] = [{"role": "user", "content": f"fail {status}"}]
    with pytest.raises(kind) as caught:
        chat.chat.completions.create(model="m", messages=asked)

    run = only(sink)
    assert caught.value.status_code == status
    assert run.status is RunStatus.ERROR
    assert run.error is not None and run.error.type == kind.__name__
    assert "refused by the test" in run.error.message
    assert (run.metadata or {})["refinery"]["http_status"] == status
    assert [event["name"] for event in run.events or []] == ["retry", "retry"]
    assert run.events is not None and run.events[0]["kwargs"] == {
        "attempt": 1,
        "http_status": status,
    }


def test_anthropics_errors_are_recorded_too(claude: anthropic.Anthropic, sink: ListSink) -> None:
    asked: list[Any] = [{"role": "user", "content": "fail 529"}]
    with pytest.raises(anthropic.APIStatusError):
        claude.messages.create(model="m", max_tokens=9, messages=asked)

    run = only(sink)
    assert (run.metadata or {})["refinery"]["http_status"] == 529
    assert len(run.events or []) == 2


def test_a_server_that_is_not_there_is_an_error(sink: ListSink) -> None:
    with (
        openai.OpenAI(base_url="http://127.0.0.1:9", api_key="k", max_retries=0) as client,
        pytest.raises(openai.APIConnectionError),
    ):
        client.chat.completions.create(model="m", messages=ASKED)

    assert only(sink).error is not None


async def async_work(server: ModelServer) -> None:
    async with (
        openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="k") as o,
        anthropic.AsyncAnthropic(base_url=server.url, api_key="k") as a,
    ):
        await o.chat.completions.create(model="m", messages=ASKED)
        async for _ in await o.chat.completions.create(model="m", messages=ASKED, stream=True):
            pass
        async with o.responses.stream(model="m", input="hi") as stream:
            await stream.get_final_response()
        async with a.messages.stream(model="m", max_tokens=9, messages=ASKED) as told:
            await told.get_final_text()
        await a.beta.messages.create(model="m", max_tokens=9, messages=ASKED)
        raw = await o.chat.completions.with_raw_response.create(model="m", messages=ASKED)
        raw.parse()
        async with a.messages.with_streaming_response.create(
            model="m", max_tokens=9, messages=ASKED
        ) as response:
            await response.parse()


def test_async_clients_are_recorded_alike(server: ModelServer, sink: ListSink) -> None:
    asyncio.run(async_work(server))

    assert [run.name for run in sink.runs] == [
        "openai.chat.completions",
        "openai.chat.completions",
        "openai.responses",
        "anthropic.messages",
        "anthropic.messages",
        "openai.chat.completions",
        "anthropic.messages",
    ]
    assert {(run.status, said(run)) for run in sink.runs} == {(RunStatus.OK, TEXT)}


def test_abandoned_async_streams_are_cancelled(server: ModelServer, sink: ListSink) -> None:
    async def work() -> None:
        async with (
            openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="k") as o,
            anthropic.AsyncAnthropic(base_url=server.url, api_key="k") as a,
        ):
            stream = await o.chat.completions.create(model="m", messages=ASKED, stream=True)
            await anext(stream)
            await anext(stream)
            await stream.close()
            async with a.messages.stream(model="m", max_tokens=9, messages=ASKED) as told:
                await anext(told.text_stream)

    asyncio.run(work())

    assert [(run.status, said(run)) for run in sink.runs] == [
        (RunStatus.CANCELLED, FIRST_PIECE)
    ] * 2


def test_a_cancelled_task_leaves_a_cancelled_run(sink: ListSink) -> None:
    begun, gate = threading.Event(), threading.Event()

    async def work(url: str) -> None:
        async with openai.AsyncOpenAI(base_url=url, api_key="k") as client:
            asked = client.chat.completions.create(model="m", messages=ASKED)
            task = asyncio.ensure_future(asked)
            await asyncio.to_thread(begun.wait, 60)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    def slowly() -> Iterator[bytes]:
        begun.set()
        yield b"{"
        gate.wait(60)

    with ByteServer(lambda asked: Bytes(slowly())) as server:
        asyncio.run(work(server.url))
        gate.set()

    run = only(sink)
    assert run.status is RunStatus.CANCELLED
    assert (run.metadata or {})["refinery"]["cancelled"] == "cancelled task"


def test_raw_responses_stay_raw_and_are_recorded(
    chat: openai.OpenAI, claude: anthropic.Anthropic, sink: ListSink
) -> None:
    raw = chat.chat.completions.with_raw_response.create(model="m", messages=ASKED)
    told = claude.messages.with_raw_response.create(model="m", max_tokens=9, messages=ASKED)
    with chat.chat.completions.with_streaming_response.create(
        model="m", messages=ASKED, stream=True
    ) as response:
        lines = list(response.iter_lines())
    with chat.chat.completions.with_streaming_response.create(
        model="m", messages=ASKED
    ) as response:
        whole = response.json()

    assert raw.parse().choices[0].message.content == TEXT
    assert told.parse().content[0].type == "text"
    assert lines[-2] == "data: [DONE]"
    assert isinstance(whole, dict)
    assert [(run.status, said(run)) for run in sink.runs] == [(RunStatus.OK, TEXT)] * 4


def vectors(request: Any) -> Bytes:
    count = len(json.loads(request.body)["input"])
    rows = [{"object": "embedding", "index": i, "embedding": [0.5] * 3000} for i in range(count)]
    told = {
        "object": "list",
        "model": "e",
        "data": rows,
        "usage": {"prompt_tokens": 4, "total_tokens": 4},
    }
    return Bytes([json.dumps(told).encode()])


def test_embeddings_are_embedding_runs_and_many_long_vectors_are_left_out(sink: ListSink) -> None:
    with ByteServer(vectors) as server, openai.OpenAI(base_url=server.url, api_key="k") as client:
        few = client.embeddings.create(model="e", input=["a"])
        many = client.embeddings.create(model="e", input=["a"] * 10)

    first, second = sink.runs
    assert (first.kind, first.name) == (RunKind.EMBEDDING, "openai.embeddings")
    assert first.usage == Usage(input=4, total=4)
    assert first.outputs["data"][0]["embedding"] == few.data[0].embedding
    assert second.outputs["data"][9]["embedding"] == {"dimensions": 3000}
    assert (second.metadata or {})["refinery"]["vectors_omitted"] is True
    assert len(many.data[9].embedding) == 3000


def test_a_call_is_a_child_of_the_run_around_it(chat: openai.OpenAI, sink: ListSink) -> None:
    book = _vendors.OPENAI.current_book()
    assert book is not None
    book.start("00000000-0000-4000-8000-000000000001", None, {"name": "outer"})
    mark = _context.enter("00000000-0000-4000-8000-000000000001")
    chat.chat.completions.create(model="m", messages=ASKED)
    _context.leave(mark)
    chat.chat.completions.create(model="m", messages=ASKED)

    inside, outside = (run for run in sink.runs if run.name != "outer")
    assert inside.parent_id == "00000000-0000-4000-8000-000000000001"
    assert outside.parent_id is None


def test_calls_that_are_no_model_calls_are_left_alone(chat: openai.OpenAI, sink: ListSink) -> None:
    assert [model.id for model in chat.models.list()] == ["scripted"]

    assert sink.runs == []


def test_nothing_is_recorded_while_recording_is_off(
    chat: openai.OpenAI, sink: ListSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    _vendors.OPENAI.current_book = lambda: None

    assert chat.chat.completions.create(model="m", messages=ASKED).choices
    assert sink.runs == []


def test_a_broken_recorder_changes_nothing_for_the_host(
    chat: openai.OpenAI, sink: ListSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = _vendors.OPENAI.current_book()
    assert book is not None
    asked: list[Any] = [{"role": "user", "content": "fail 400"}]
    for name in ("start", "finish", "get", "add_event"):
        with monkeypatch.context() as patch:
            patch.setattr(book, name, raising(ZeroDivisionError("ours")))
            told = chat.chat.completions.create(model="m", messages=ASKED)
            assert told.choices[0].message.content == TEXT
            stream = chat.chat.completions.create(model="m", messages=ASKED, stream=True)
            text = "".join(str(chunk.choices[0].delta.content or "") for chunk in stream)
            assert text == TEXT
            with pytest.raises(openai.BadRequestError):
                chat.chat.completions.create(model="m", messages=asked)

    assert all("ZeroDivisionError" in reason for reason in sink.lost)
    sink.lost.clear()


def test_a_wrapped_client_and_its_copies_are_recorded_and_others_are_not(
    server: ModelServer, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = ListSink()
    book = Book(sink, origin=OriginReader(isolated))
    monkeypatch.setattr(switch._state, "target", (isolated / "spool", "p"))
    monkeypatch.setattr(switch._state, "is_on", True)
    monkeypatch.setattr(switch._state, "book", book)
    with (
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="k") as mine,
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="k") as other,
        anthropic.Anthropic(base_url=server.url, api_key="k") as claude,
    ):
        assert wrap_openai(mine) is mine
        assert wrap_openai(wrap_openai(mine)) is mine
        assert wrap_anthropic(claude) is claude
        mine.chat.completions.create(model="m", messages=ASKED)
        mine.with_options(timeout=5).chat.completions.create(model="m", messages=ASKED)
        other.chat.completions.create(model="m", messages=ASKED)
        claude.messages.create(model="m", max_tokens=9, messages=ASKED)

    assert [run.name for run in sink.runs] == [
        "openai.chat.completions",
        "openai.chat.completions",
        "anthropic.messages",
    ]


def test_wrapping_what_is_no_client_does_no_harm() -> None:
    assert wrap_openai(7) == 7
    assert wrap_anthropic(None) is None
