"""The handler against real LangChain and LangGraph, beside LangChain's own tracer."""

import asyncio
import operator
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.callbacks import CallbackManagerForRetrieverRun, adispatch_custom_event
from langchain_core.documents import Document
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda, RunnableParallel, RunnablePassthrough
from langchain_core.tools import tool
from langchain_core.tracers.base import BaseTracer
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt

from refinery.model import messages
from refinery.model.trace import RunKind, RunStatus
from tests.recorders._collect import ListSink, raising, recorder


class Reference(BaseTracer):
    """LangChain's own tracer, the base of LangSmith's: what the tree must equal."""

    def __init__(self) -> None:
        super().__init__(_schema_format="original+chat")
        self.rows: list[tuple[str, str, str | None, str]] = []

    def _persist_run(self, run: Any) -> None:
        pass

    def _end_trace(self, run: Any) -> None:
        parent = str(run.parent_run_id) if run.parent_run_id else None
        self.rows.append((str(run.id), run.name, parent, "error" if run.error else "ok"))
        super()._end_trace(run)

    def tree(self) -> Counter[tuple[str | None, str | None, str]]:
        names = {run_id: name for run_id, name, _, _ in self.rows}
        return Counter((name, names.get(parent or ""), s) for _, name, parent, s in self.rows)


class Shelf(BaseRetriever):
    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        return [Document("about " + query, metadata={"source": "a.md", "day": 1}, id="d1")]


@tool
def weather(city: str, days: int = 1) -> str:
    """Weather of a city."""
    if city == "nowhere":
        raise ValueError("no such city")
    return f"sunny in {city}"


def scripted(*texts: str) -> GenericFakeChatModel:
    return GenericFakeChatModel(messages=cycle([AIMessage(text) for text in texts]))


def rag() -> Any:
    return (
        {"context": Shelf(), "q": RunnablePassthrough()}
        | ChatPromptTemplate.from_template("Use {context}. Answer {q}")
        | scripted("alpha beta")
        | StrOutputParser()
    )


class State(TypedDict):
    q: str
    parts: Annotated[list[Any], operator.add]


async def with_rag(state: State) -> dict[str, Any]:
    return {"parts": [await rag().ainvoke(state["q"])]}


def shout(state: State) -> dict[str, Any]:
    return {"parts": [RunnableLambda(str.upper).with_config(run_name="upper").invoke(state["q"])]}


def graph() -> Any:
    inner = StateGraph(State)
    inner.add_node("inner", shout)
    inner.add_edge(START, "inner")
    outer = StateGraph(State)
    outer.add_node("rag", with_rag)
    outer.add_node("sub", inner.compile())
    outer.add_edge(START, "rag")
    outer.add_edge(START, "sub")
    outer.add_edge(["rag", "sub"], END)
    return outer.compile()


@pytest.fixture
def pair() -> Iterator[tuple[dict[str, Any], ListSink, Reference]]:
    handler, sink = recorder()
    reference = Reference()
    yield {"callbacks": [handler, reference]}, sink, reference
    assert sink.lost == []


def test_a_chain_has_the_tree_langchain_draws(pair: Any) -> None:
    config, sink, reference = pair

    assert rag().invoke("x", config) == "alpha beta"

    assert sink.tree() == reference.tree()
    assert sink.named("RunnableSequence").parent_id is None
    assert sink.named("ChatPromptTemplate").kind is RunKind.PROMPT
    assert sink.named("StrOutputParser").kind is RunKind.PARSER
    assert sink.named("Shelf").kind is RunKind.RETRIEVER
    assert sink.named("GenericFakeChatModel").kind is RunKind.LLM


def test_an_async_graph_with_a_subgraph_has_the_tree_langchain_draws(pair: Any) -> None:
    config, sink, reference = pair

    asyncio.run(graph().ainvoke({"q": "hi", "parts": []}, {**config, "run_name": "whole"}))

    assert sink.tree() == reference.tree()
    assert sink.tree()[("upper", "inner", "ok")] == 1
    assert len({run.trace_id for run in sink.runs}) == 1


def test_streams_are_recorded_to_their_end(pair: Any) -> None:
    config, sink, reference = pair

    chunks = list(rag().stream("x", config))

    assert "".join(chunks) == "alpha beta"
    assert sink.tree() == reference.tree()
    assert sink.named("RunnableSequence").inputs == {"input": "x"}
    assert sink.named("RunnableSequence").outputs == {"output": "alpha beta"}
    model = sink.named("GenericFakeChatModel")
    assert model.first_token_ns and model.start_ns and model.end_ns
    assert model.start_ns <= model.first_token_ns <= model.end_ns


def test_batches_and_parallel_branches_keep_their_parents(pair: Any) -> None:
    config, sink, reference = pair
    both = RunnableParallel(one=RunnableLambda(len), two=RunnableLambda(str.title))

    both.batch(["ab", "cd", "ef"], config)

    assert sink.tree() == reference.tree()
    assert len([run for run in sink.runs if run.parent_id is None]) == 3


def test_runs_of_other_threads_are_recorded(pair: Any) -> None:
    config, sink, reference = pair
    thread = threading.Thread(target=lambda: rag().invoke("x", config))

    thread.start()
    thread.join()

    assert sink.tree() == reference.tree()


def test_many_threads_do_not_mix_their_traces(pair: Any) -> None:
    config, sink, reference = pair

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: rag().invoke(str(n), config), range(24)))

    assert sink.tree() == reference.tree()
    assert Counter(Counter(run.trace_id for run in sink.runs).values()) == Counter({7: 24})


def test_errors_carry_type_message_and_traceback(pair: Any) -> None:
    config, sink, reference = pair
    failing = RunnableLambda(raising(RuntimeError("broken"))).with_config(run_name="bad")

    with pytest.raises(RuntimeError):
        (RunnablePassthrough() | failing).invoke("x", config)

    assert sink.tree() == reference.tree()
    error = sink.named("bad").error
    assert error and (error.type, error.message) == ("RuntimeError", "broken")
    assert "Traceback" in error.stack and "_collect.py" in error.stack


def test_the_exception_the_host_sees_is_the_one_it_raised(pair: Any) -> None:
    config, _, _ = pair
    raised = RuntimeError("mine")

    with pytest.raises(RuntimeError) as caught:
        RunnableLambda(raising(raised)).invoke("x", config)

    assert caught.value is raised
    assert caught.value.__cause__ is None


def test_a_tool_has_structured_inputs_its_call_id_and_its_source(pair: Any) -> None:
    config, sink, reference = pair
    call = {"name": "weather", "args": {"city": "Rome"}, "id": "call_7", "type": "tool_call"}

    weather.invoke(call, config)
    with pytest.raises(ValueError, match="no such city"):
        weather.invoke({"city": "nowhere", "days": 2}, config)

    assert sink.tree() == reference.tree()
    ok, failed = sink.runs
    assert ok.kind is RunKind.TOOL
    assert ok.inputs == {"city": "Rome"}
    assert ok.outputs["output"]["content"] == "sunny in Rome"
    assert ok.metadata and ok.metadata["tool_call_id"] == "call_7"
    assert ok.code and ok.code.qualname == "weather"
    assert ok.code.file == str(Path(__file__).resolve())
    assert failed.status is RunStatus.ERROR
    assert failed.inputs == {"city": "nowhere", "days": 2}


def test_a_retriever_gives_its_documents_and_its_source(pair: Any) -> None:
    config, sink, _ = pair

    asyncio.run(Shelf().ainvoke("q", config))

    run = sink.named("Shelf")
    assert run.inputs == {"query": "q"}
    document = {
        "page_content": "about q",
        "metadata": {"source": "a.md", "day": 1},
        "id": "d1",
    }
    assert run.outputs == {"documents": [document]}
    assert run.code and run.code.qualname == "Shelf._get_relevant_documents"


def test_nodes_and_lambdas_know_their_source(pair: Any) -> None:
    config, sink, _ = pair

    asyncio.run(graph().ainvoke({"q": "hi", "parts": []}, config))
    RunnableLambda(lambda x: x).with_config(run_name="anonymous").invoke(1, config)

    assert sink.named("rag").code and sink.named("rag").code.qualname == "with_rag"  # type: ignore[union-attr]
    inner = sink.named("inner").code
    assert inner and inner.line == shout.__code__.co_firstlineno
    anonymous = sink.named("anonymous").code
    assert anonymous and "<lambda>" in (anonymous.qualname or "")
    assert sink.named("StrOutputParser").code is None


def test_a_model_call_keeps_messages_in_langsmiths_shape(pair: Any) -> None:
    config, sink, _ = pair

    scripted("pong").invoke([("system", "be brief"), ("user", "ping")], config)

    run = sink.runs[0]
    assert [m.role for m in messages.messages_in(run)] == ["system", "user"]
    assert [m.text for m in messages.messages_out(run)] == ["pong"]
    assert run.inputs["messages"][0][1]["id"][-1] == "HumanMessage"
    assert run.usage is None


class OwnModel(GenericFakeChatModel):
    def _generate(self, *args: Any, **kwargs: Any) -> Any:
        return super()._generate(*args, **kwargs)


def test_a_model_of_the_users_own_knows_its_source(pair: Any) -> None:
    config, sink, _ = pair

    OwnModel(messages=iter([AIMessage("x")])).invoke("hi", config)
    scripted("x").invoke("hi", config)

    own, library = sink.runs
    assert own.code and own.code.qualname == "OwnModel._generate"
    assert library.code is None


def test_thread_user_tags_and_metadata_are_kept(pair: Any) -> None:
    config, sink, _ = pair
    about = {"thread_id": "T9", "user_id": "u1", "team": "billing"}

    RunnableLambda(len).invoke("x", {**config, "metadata": about, "tags": ["prod"]})

    run = sink.runs[0]
    assert (run.session_id, run.user_id, run.tags) == ("T9", "u1", ["prod"])
    assert run.metadata and run.metadata["team"] == "billing"


def ask(state: State) -> dict[str, Any]:
    return {"parts": [interrupt({"question": "sure?"})]}


def approval() -> Any:
    builder = StateGraph(State)
    builder.add_node("ask", ask)
    builder.add_edge(START, "ask")
    return builder.compile(checkpointer=InMemorySaver())


def test_an_interrupt_is_no_failure_and_the_resumed_run_shares_the_session(pair: Any) -> None:
    config, sink, _ = pair
    config = {**config, "configurable": {"thread_id": "T1"}}
    app = approval()

    app.invoke({"q": "x", "parts": []}, config)
    app.invoke(Command(resume="yes"), config)

    first, second = [run for run in sink.runs if run.name == "ask"]
    assert first.status is RunStatus.CANCELLED
    assert first.error is None
    noted = (first.metadata or {})["refinery"]
    assert noted["cancelled"] == "interrupt"
    assert noted["interrupts"][0]["value"] == {"question": "sure?"}
    assert second.status is RunStatus.OK
    assert {run.session_id for run in sink.runs} == {"T1"}
    assert not any(run.is_failed for run in sink.runs)


def test_a_hand_off_to_the_graph_above_is_no_failure(pair: Any) -> None:
    config, sink, _ = pair

    def leave(state: State) -> Command[Any]:
        return Command(graph=Command.PARENT, goto="end", update={"parts": [1]})

    inner = StateGraph(State)
    inner.add_node("leave", leave)
    inner.add_edge(START, "leave")
    outer = StateGraph(State)
    outer.add_node("sub", inner.compile())
    outer.add_node("end", lambda s: {"parts": [2]})
    outer.add_edge(START, "sub")

    result = outer.compile().invoke({"q": "x", "parts": []}, config)

    assert result["parts"] == [1, 2]
    assert not any(run.is_failed for run in sink.runs)


def test_an_abandoned_stream_is_cancelled_not_failed(pair: Any) -> None:
    config, sink, _ = pair
    stream = graph_of_steps().stream({"q": "x", "parts": []}, config)

    next(stream)
    stream.close()

    root = sink.runs[0]
    assert root.status is RunStatus.CANCELLED
    assert (root.metadata or {})["refinery"]["cancelled"] == "abandoned stream"
    assert not any(run.is_failed for run in sink.runs)


def graph_of_steps() -> Any:
    builder = StateGraph(State)
    builder.add_node("one", lambda s: {"parts": [1]})
    builder.add_node("two", lambda s: {"parts": [2]})
    builder.add_edge(START, "one")
    builder.add_edge("one", "two")
    return builder.compile()


def test_a_cancelled_task_is_cancelled_not_failed(pair: Any) -> None:
    config, sink, _ = pair

    async def main() -> None:
        begun = asyncio.Event()

        async def slow(x: str) -> str:
            begun.set()
            await asyncio.sleep(100)
            return x

        task = asyncio.create_task(RunnableLambda(slow).ainvoke("x", config))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())

    assert sink.runs[0].status is RunStatus.CANCELLED


def test_each_retry_is_a_run_and_custom_events_are_kept(pair: Any) -> None:
    config, sink, reference = pair
    attempts = []

    async def flaky(x: str) -> str:
        attempts.append(x)
        await adispatch_custom_event("progress", {"attempt": len(attempts)})
        if len(attempts) == 1:
            raise ConnectionError("try again")
        return x

    runnable = RunnableLambda(flaky).with_retry(
        stop_after_attempt=2, wait_exponential_jitter=False
    )
    asyncio.run(runnable.ainvoke("x", config))

    assert sink.tree() == reference.tree()
    failed, passed = [run for run in sink.runs if run.parent_id]
    assert failed.status is RunStatus.ERROR
    assert "retry:attempt:2" in (passed.tags or [])
    assert passed.events and passed.events[0]["name"] == "progress"
    assert passed.events[0]["kwargs"] == {"attempt": 2}


def test_order_is_tree_order_and_times_are_nested(pair: Any) -> None:
    config, sink, _ = pair

    asyncio.run(graph().ainvoke({"q": "hi", "parts": []}, config))

    by_id = {run.run_id: run for run in sink.runs}
    for run in sink.runs:
        assert run.dotted_order and run.dotted_order.endswith(f"Z{run.run_id}")
        if run.parent_id:
            parent = by_id[run.parent_id]
            assert run.dotted_order.startswith(f"{parent.dotted_order}.")
            assert parent.start_ns <= run.start_ns  # type: ignore[operator]
            assert run.end_ns <= parent.end_ns  # type: ignore[operator]


def test_a_run_is_sent_when_it_starts_and_whole_when_it_ends(pair: Any) -> None:
    config, sink, _ = pair

    RunnableLambda(len).with_config(run_name="count").invoke("abc", config)

    first, last = (document["run"] for document in sink.documents)
    assert first["status"] == "running" and "end_ns" not in first
    assert last["status"] == "ok"
    assert last["inputs"] == {"input": "abc"}
    assert last["outputs"] == {"output": 3}


def test_the_root_says_how_the_program_was_started(pair: Any) -> None:
    config, sink, _ = pair

    (RunnablePassthrough() | RunnableLambda(len)).invoke("abc", config)

    root, *children = sink.runs
    point = (root.metadata or {})["refinery"]["entry_point"]
    assert point["kind"] == "command"
    assert point["python"]
    assert all("refinery" not in (child.metadata or {}) for child in children)


def test_secrets_are_replaced_before_anything_is_written(
    pair: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, sink, _ = pair
    key = "sk-proj-" + "a1B2c3D4e5" * 5

    RunnableLambda(lambda x: x).invoke({"text": f"use {key}", "password": "hunter22"}, config)
    assert key not in str(sink.documents)
    assert "hunter22" not in str(sink.documents)
    assert (sink.runs[0].metadata or {})["refinery"]["redacted"]

    monkeypatch.setenv("REFINERY_REDACT", "0")
    handler, plain = recorder()
    RunnableLambda(lambda x: x).invoke({"text": key}, {"callbacks": [handler]})
    assert key in str(plain.documents)


class Bomb:
    """Raises from everything the recorder may touch."""

    def __repr__(self) -> str:
        raise RuntimeError("no")

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError("no")


def test_hostile_values_and_exceptions_do_not_reach_the_host(pair: Any) -> None:
    config, sink, _ = pair

    class UnprintableError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    assert RunnableLambda(lambda x: 1).invoke({"bomb": Bomb()}, config) == 1
    handler, own = recorder()
    raised = UnprintableError()
    with pytest.raises(UnprintableError) as caught:
        RunnableLambda(raising(raised)).invoke("x", {"callbacks": [handler]})

    assert caught.value is raised
    assert "repr raised" in str(sink.runs[0].inputs)
    assert own.runs[0].error and own.runs[0].error.type == "UnprintableError"


class BrokenSink(ListSink):
    """A sink in which everything fails."""

    def put(self, record: Any) -> bool:
        raise OSError("disk on fire")

    def lose(self, reason: str) -> None:
        super().lose(reason)
        raise OSError("still on fire")


def test_a_broken_sink_never_reaches_the_host() -> None:
    handler, _ = recorder()
    handler.book.sink = broken = BrokenSink()

    assert rag().invoke("x", {"callbacks": [handler]}) == "alpha beta"
    with pytest.raises(KeyError):
        RunnableLambda(raising(KeyError("own"))).invoke("x", {"callbacks": [handler]})

    assert any("OSError in on_chain_start" in reason for reason in broken.lost)


def test_callbacks_called_with_nonsense_never_raise() -> None:
    handler, sink = recorder()

    for name in dir(handler):
        if name.startswith("on_"):
            for arguments in ((), (None,), (Bomb(), Bomb()), (1, 2, 3)):
                if name in vars(type(handler)):
                    getattr(handler, name)(*arguments, run_id=Bomb(), tags=3, metadata=[])

    assert sink.lost


def test_an_inactive_handler_is_not_even_called() -> None:
    handler, sink = recorder()
    handler.active = False

    rag().invoke("x", {"callbacks": [handler]})

    assert sink.documents == []
