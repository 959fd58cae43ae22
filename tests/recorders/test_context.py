"""Where runs begun by hand and runs LangChain reports hang in one tree."""

import asyncio
import contextvars
import operator
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda, RunnableParallel, RunnablePassthrough
from langchain_core.tools import tool
from langgraph.graph import START, StateGraph

from refinery import RefineryCallbackHandler, XRay, instrument, track
from refinery.recorders import _context
from refinery.recorders._book import Book
from refinery.recorders._origin import OriginReader
from tests.recorders._collect import ListSink


@pytest.fixture
def sink() -> ListSink:
    return ListSink()


@pytest.fixture
def book(sink: ListSink) -> Iterator[Book]:
    book = Book(sink, origin=OriginReader(Path.cwd()))
    token = _context.enter("outside", book)
    yield book
    _context.leave(token)
    assert sink.lost == []


@pytest.fixture
def config(book: Book) -> dict[str, Any]:
    return {"callbacks": [RefineryCallbackHandler(book=book)]}


@instrument(layer="tool")
def search(query: str) -> str:
    return query.upper()


class State(TypedDict):
    q: str
    parts: Annotated[list[Any], operator.add]


def test_an_instrumented_function_in_a_node_is_a_child_of_the_node(
    config: dict[str, Any], sink: ListSink
) -> None:
    async def wide(state: State) -> dict[str, Any]:
        with track("inside"):
            return {"parts": [search(state["q"])]}

    builder = StateGraph(State)
    builder.add_node("narrow", instrument(layer="node")(lambda s: {"parts": [search(s["q"])]}))
    builder.add_node("wide", wide)
    builder.add_edge(START, "narrow")
    builder.add_edge(START, "wide")

    asyncio.run(builder.compile().ainvoke({"q": "a", "parts": []}, config))

    tree = sink.tree()
    assert tree[("inside", "wide", "ok")] == 1
    assert tree[("search", "inside", "ok")] == 1
    assert tree[("<lambda>", "narrow", "ok")] == 1
    assert tree[("search", "<lambda>", "ok")] == 1
    assert len({run.trace_id for run in sink.runs}) == 1


def test_a_chain_inside_a_block_is_its_child(
    config: dict[str, Any], book: Book, sink: ListSink
) -> None:
    chain = RunnablePassthrough() | RunnableLambda(search).with_config(run_name="call")

    with XRay(book=book).trace("pipeline") as trace, trace.step("ask"), track("around"):
        assert chain.invoke("x", config) == "X"

    tree = sink.tree()
    assert tree[("RunnableSequence", "around", "ok")] == 1
    assert tree[("call", "RunnableSequence", "ok")] == 1
    assert tree[("search", "call", "ok")] == 1


def test_a_chain_inside_a_function_inside_a_node_hangs_below_the_function(
    config: dict[str, Any], sink: ListSink
) -> None:
    inner = RunnableParallel(a=RunnableLambda(len), b=RunnableLambda(search))

    @instrument(name="helper")
    def helper(text: str) -> Any:
        return inner.invoke(text)

    RunnableLambda(helper).with_config(run_name="outer").invoke("x", config)

    tree = sink.tree()
    assert tree[("helper", "outer", "ok")] == 1
    assert tree[("RunnableParallel<a,b>", "helper", "ok")] == 1
    assert sum(tree[(name, "RunnableParallel<a,b>", "ok")] for name in ("len", "search")) >= 1
    assert len({run.trace_id for run in sink.runs}) == 1


class Shelf(BaseRetriever):
    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        return [Document(search(query))]


def test_a_function_inside_a_retriever_or_a_tool_is_its_child(
    config: dict[str, Any], sink: ListSink
) -> None:
    @tool
    def shout(text: str) -> str:
        """Shouts."""
        return search(text)

    Shelf().invoke("x", config)
    asyncio.run(Shelf().ainvoke("y", config))
    shout.invoke({"text": "z"}, config)
    search("after")

    tree = sink.tree()
    assert tree[("search", "Shelf", "ok")] == 2
    assert tree[("search", "shout", "ok")] == 1
    assert tree[("search", None, "ok")] == 1


def test_leaving_twice_or_elsewhere_does_nothing() -> None:
    token = _context.enter("a")
    contextvars.copy_context().run(_context.leave, token)
    assert _context.own_run() == "a"

    _context.leave(token)
    _context.leave(token)

    assert _context.own_run() is None
