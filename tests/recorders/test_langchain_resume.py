"""A resumed graph links to the run that was interrupted."""

import operator
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt

from refinery.model.trace import Run
from tests.recorders._collect import ListSink, recorder


class State(TypedDict):
    q: str
    parts: Annotated[list[Any], operator.add]


def ask(state: State) -> dict[str, Any]:
    return {"parts": [interrupt({"question": "sure?"})]}


def then(state: State) -> dict[str, Any]:
    return {"parts": ["done"]}


def builder() -> Any:
    made = StateGraph(State)
    made.add_node("ask", ask)
    made.add_node("then", then)
    made.add_edge(START, "ask")
    made.add_edge("ask", "then")
    return made


@pytest.fixture
def recorded() -> Any:
    handler, sink = recorder()
    yield {"callbacks": [handler]}, sink
    assert sink.lost == []


def config_of(config: Any, thread: str) -> Any:
    return {**config, "configurable": {"thread_id": thread}}


def resumes(run: Run) -> list[Any]:
    return [link for link in run.links or [] if link["kind"] == "resumes"]


def named(sink: ListSink, name: str) -> list[Run]:
    return [run for run in sink.runs if run.name == name]


def test_the_resuming_graph_and_its_node_link_to_the_interrupted_node(recorded: Any) -> None:
    config, sink = recorded
    app = builder().compile(checkpointer=InMemorySaver())

    for thread in ("T1", "T2"):
        app.invoke({"q": "x", "parts": []}, config_of(config, thread))
    app.invoke(Command(resume="yes"), config_of(config, "T1"))

    first, other, second = named(sink, "ask")
    graphs = named(sink, "LangGraph")
    link = {
        "kind": "resumes",
        "thread_id": "T1",
        "run_id": first.run_id,
        "trace_id": first.trace_id,
    }
    assert first.session_id == "T1" and other.session_id == "T2"
    assert resumes(graphs[-1]) == [link]
    assert resumes(second) == [link]
    assert not any(resumes(run) for run in (*graphs[:2], first, other, *named(sink, "then")))


def test_the_innermost_run_is_the_one_that_was_interrupted(recorded: Any) -> None:
    config, sink = recorded
    outer = StateGraph(State)
    outer.add_node("sub", builder().compile())
    outer.add_edge(START, "sub")
    app = outer.compile(checkpointer=InMemorySaver())

    app.invoke({"q": "x", "parts": []}, config_of(config, "T"))
    list(app.stream(Command(resume="yes"), config_of(config, "T")))

    first, second = named(sink, "ask")
    root = next(
        run for run in sink.runs if run.parent_id is None and run.trace_id != first.trace_id
    )
    assert [link["run_id"] for link in resumes(root)] == [first.run_id]
    assert [link["run_id"] for link in resumes(second)] == [first.run_id]


def test_each_of_several_interrupts_is_linked(recorded: Any) -> None:
    config, sink = recorded
    made = StateGraph(State)
    made.add_node("left", ask)
    made.add_node("right", ask)
    made.add_edge(START, "left")
    made.add_edge(START, "right")
    app = made.compile(checkpointer=InMemorySaver())

    paused = app.invoke({"q": "x", "parts": []}, config_of(config, "T"))
    answers = {item.id: "yes" for item in paused["__interrupt__"]}
    app.invoke(Command(resume=answers), config_of(config, "T"))

    interrupted = {run.run_id for run in sink.runs if str(run.status) == "cancelled"}
    last = named(sink, "LangGraph")[-1]
    assert len(interrupted) == 2
    assert {link["run_id"] for link in resumes(last)} == interrupted


def test_a_graph_that_stopped_before_a_node_is_linked_when_it_goes_on(recorded: Any) -> None:
    config, sink = recorded
    made = StateGraph(State)
    made.add_node("then", then)
    made.add_edge(START, "then")
    app = made.compile(checkpointer=InMemorySaver(), interrupt_before=["then"])

    app.invoke({"q": "x", "parts": []}, config_of(config, "T"))
    app.invoke(None, config_of(config, "T"))

    first, second = named(sink, "LangGraph")
    assert [link["run_id"] for link in resumes(second)] == [first.run_id]


def test_an_interrupt_of_another_process_is_named_by_its_thread(recorded: Any) -> None:
    config, sink = recorded
    app = builder().compile(checkpointer=InMemorySaver())
    app.invoke({"q": "x", "parts": []}, {"configurable": {"thread_id": "T"}})

    app.invoke(Command(resume="yes"), config_of(config, "T"))

    assert resumes(sink.runs[0]) == [{"kind": "resumes", "thread_id": "T"}]


def test_new_input_on_a_thread_resumes_nothing(recorded: Any) -> None:
    config, sink = recorded
    app = builder().compile(checkpointer=InMemorySaver())

    app.invoke({"q": "x", "parts": []}, config_of(config, "T"))
    app.invoke({"q": "y", "parts": []}, config_of(config, "T"))
    RunnableLambda(lambda x: x).invoke(None, {**config, "metadata": {"thread_id": "T"}})

    assert not any(resumes(run) for run in sink.runs)


def test_links_stand_in_the_stored_trace(recorded: Any, tmp_path: Path) -> None:
    config, sink = recorded
    app = builder().compile(checkpointer=InMemorySaver())

    app.invoke({"q": "x", "parts": []}, config_of(config, "T"))
    app.invoke(Command(resume="yes"), config_of(config, "T"))

    documents = [d["run"] for d in sink.documents if (d["run"].get("links") or [])]
    assert {d["name"] for d in documents} == {"LangGraph", "ask"}
