"""LangChain's models over the vendors' clients: recorded once, by LangChain's own recorder."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableLambda
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

from refinery.model.trace import RunKind
from refinery.recorders import _vendors
from refinery.recorders.langchain import RefineryCallbackHandler
from refinery.replay.wire import ModelReply
from tests.fakes.byte_server import Bytes, ByteServer
from tests.fakes.model_server import ModelServer
from tests.recorders._collect import ListSink, recorder

pytestmark = pytest.mark.slow

VECTORS = b'{"object": "list", "model": "e", "data": [{"index": 0, "embedding": [0.5, 1.0]}]}'


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with ModelServer(lambda asked: ModelReply("well")) as running:
        yield running


@pytest.fixture
def armed(isolated: Path) -> Iterator[tuple[RefineryCallbackHandler, ListSink]]:
    handler, sink = recorder(isolated)
    _vendors.arm_openai(lambda: handler.book)
    _vendors.arm_anthropic(lambda: handler.book)
    yield handler, sink
    for vendor in (_vendors.OPENAI, _vendors.ANTHROPIC):
        vendor.is_armed = False
        vendor.current_book = lambda: None
    assert sink.lost == []


def models(server: ModelServer) -> list[Any]:
    url = f"{server.url}/v1"
    return [
        ChatOpenAI(model="m", base_url=url, api_key="k"),
        ChatOpenAI(model="m", base_url=url, api_key="k", use_responses_api=True),
        ChatAnthropic(model_name="m", base_url=server.url, api_key="k"),  # type: ignore[call-arg]
    ]


def test_langchains_models_are_recorded_once(
    server: ModelServer, armed: tuple[RefineryCallbackHandler, ListSink]
) -> None:
    handler, sink = armed
    config: Any = {"callbacks": [handler]}

    async def later(asked: list[Any]) -> None:
        for model in asked:
            await model.ainvoke("hi", config)
            async for _ in model.astream("hi", config):
                pass
            await model.abatch(["a", "b"], config)

    asked = models(server)
    for model in asked:
        model.invoke("hi", config)
        for _ in model.stream("hi", config):
            pass
        model.batch(["a", "b"], config)
    asyncio.run(later(asked))

    names = [run.name for run in sink.runs]
    assert sorted(set(names)) == ["ChatAnthropic", "ChatOpenAI"]
    assert len(names) == 3 * 8
    assert {run.kind for run in sink.runs} == {RunKind.LLM}


class Mine(BaseChatModel):
    """A user's own model over the vendor's client, without async methods."""

    url: str

    @property
    def _llm_type(self) -> str:
        return "mine"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        with openai.OpenAI(base_url=self.url, api_key="k") as client:
            asked: list[Any] = [{"role": "user", "content": str(messages[-1].content)}]
            told = client.chat.completions.create(model="m", messages=asked)
        text = told.choices[0].message.content or ""
        return ChatResult(generations=[ChatGeneration(message=AIMessage(text))])


def test_a_users_own_model_is_recorded_once_on_any_thread(
    server: ModelServer, armed: tuple[RefineryCallbackHandler, ListSink]
) -> None:
    handler, sink = armed
    model = Mine(url=f"{server.url}/v1")

    model.invoke("hi", {"callbacks": [handler]})
    asyncio.run(model.ainvoke("hi", {"callbacks": [handler]}))

    assert [run.name for run in sink.runs] == ["Mine", "Mine"]


def test_a_client_called_in_a_step_of_a_chain_is_a_child_of_the_step(
    server: ModelServer, armed: tuple[RefineryCallbackHandler, ListSink]
) -> None:
    handler, sink = armed

    def step(text: str) -> str:
        with openai.OpenAI(base_url=f"{server.url}/v1", api_key="k") as client:
            told = client.responses.create(model="m", input=text)
        return told.output_text

    chain = RunnableLambda(str.strip) | RunnableLambda(step)
    assert chain.invoke("hi", {"callbacks": [handler]}) == "well"

    by_id = {run.run_id: run for run in sink.runs}
    called = next(run for run in sink.runs if run.name == "openai.responses")
    assert by_id[str(called.parent_id)].name == "step"
    assert called.code is not None and called.code.qualname is not None
    assert called.code.qualname.endswith("<locals>.step")


def test_embeddings_which_langchain_does_not_report_are_recorded(
    armed: tuple[RefineryCallbackHandler, ListSink],
) -> None:
    _, sink = armed
    with ByteServer(lambda asked: Bytes([VECTORS])) as server:
        embedder = OpenAIEmbeddings(
            model="e", base_url=server.url, api_key="k", check_embedding_ctx_length=False
        )
        assert embedder.embed_query("hi") == [0.5, 1.0]

    assert [(run.name, run.kind) for run in sink.runs] == [
        ("openai.embeddings", RunKind.EMBEDDING)
    ]
