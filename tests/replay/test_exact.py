"""Whole recorded runs replayed from their tapes: clock, chance, turns, steps and divergences."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import replay as benchmark
from refinery.errors import InputError, NotFoundError
from refinery.model.trace import EntryPoint, RunKind, Trace
from refinery.model.verdict import Fidelity
from refinery.replay.configure import configure
from refinery.replay.program import Code
from refinery.replay.runner import Batch, replay
from refinery.replay.tape import Tape
from refinery.replay.wire import ModelReply
from refinery.workflows import turns, wiring
from refinery.workflows.record import record_inputs
from refinery.workflows.replay import ReplayRequest, replay_trace, to_document
from refinery.workflows.wiring import Workspace
from tests.fakes.model_server import ModelServer
from tests.kits.repositories import commit_all, git, make_repository
from tests.replay import kit
from tests.replay.traces import llm, trace, work

pytestmark = pytest.mark.slow

CONVERSATION = """
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, interrupt


def respond(state):
    said = ChatOpenAI(model="m", temperature=1).invoke(state["messages"])
    return {"messages": [said]}


def approve(state):
    answer = interrupt({"draft": state["messages"][-1].content})
    return {"messages": [("user", f"You said: {answer}")]}


inner = StateGraph(MessagesState)
inner.add_node("respond", respond)
inner.add_edge(START, "respond")
graph = StateGraph(MessagesState)
graph.add_node("draft", inner.compile())
graph.add_node("approve", approve)
graph.add_node("final", respond)
graph.add_edge(START, "draft")
graph.add_edge("draft", "approve")
graph.add_edge("approve", "final")
graph.add_edge("final", END)
agent = graph.compile(checkpointer=InMemorySaver())


def answer(request):
    config = {"configurable": {"thread_id": request["thread"]}}
    if "resume" in request:
        given = Command(resume=request["resume"])
    else:
        given = {"messages": [("user", request["ask"])]}
    result = agent.invoke(given, config)
    return [message.content for message in result["messages"]]
"""


@pytest.mark.parametrize("name", ["anthropic_loop", "instrumented"])
def test_an_agent_with_clock_chance_and_ids_replays_exactly(isolated: Path, name: str) -> None:
    (row,) = benchmark.replayed(name, 7, 1, isolated)

    assert row.is_exact, (row.outcome.divergence, row.outcome.result.steps)
    assert row.outcome.result.steps
    assert "exact" in row.outcome.summary


@pytest.fixture
def conversation(isolated: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """Two turns of one thread, recorded with a model that counts its answers."""
    settings = '[agent]\nentrypoint = "talk:answer"\n'
    files = {"talk.py": CONVERSATION, "refinery.toml": settings}
    root = make_repository(isolated / "agent", files)
    monkeypatch.chdir(root)
    opened = wiring.open_workspace(root)
    said = iter(range(100))
    with ModelServer(lambda request: ModelReply(f"answer {next(said)}")) as server:
        for name, value in kit.openai_env(server.url).items():
            monkeypatch.setenv(name, value)
        asked: list[dict[str, Any]] = [
            {"thread": "t-1", "ask": "hello"},
            {"thread": "t-1", "resume": "yes"},
        ]
        record_inputs(opened, asked, root)
        yield opened
    opened.store.close()


def test_a_resumed_turn_is_replayed_after_the_turns_before_it(conversation: Workspace) -> None:
    last = _latest(conversation)
    outcome = replay_trace(conversation, last)

    assert outcome.is_same, outcome.divergence
    assert outcome.result.output == ["hello", "answer 0", "You said: yes", "answer 1"]
    assert [step.fidelity for step in outcome.result.steps] == [Fidelity.EXACT]
    assert any("1 earlier turns" in text for text in outcome.warnings)

    live = replay_trace(conversation, last, ReplayRequest(from_step="final"))

    assert live.result.output == ["hello", "answer 0", "You said: yes", "answer 2"]
    assert [step.fidelity for step in live.result.steps] == [Fidelity.LIVE]
    assert live.divergence is not None
    assert "answer 2" in live.divergence.diff


def _latest(workspace: Workspace) -> Trace:
    from refinery.workflows import traces

    return traces.resolve(workspace, "latest")


CHECKED = """
import openai

from refinery import instrument


@instrument(layer="tool")
def price(item):
    raise RuntimeError("the shop must not be asked")


def answer(question):
    found = price(question)
    client = openai.OpenAI()
    reply = client.chat.completions.create(
        model="m",
        temperature=0,
        messages=[
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": f"{question}: {found}"},
        ],
    )
    return reply.choices[0].message.content


def misbehave(what):
    import os
    import pathlib
    import socket

    while what == "hang":
        pass
    if what == "fork":
        while True:
            if os.fork() == 0:
                os._exit(0)
    if what == "eat":
        return len(bytearray(1 << 40))
    if what == "write":
        pathlib.Path("/usr/refinery-was-here").write_text("x")
    if what == "connect":
        socket.create_connection(("198.51.100.7", 80), 1)
    os.write(1, bytes(range(256)) * 100)
    os.write(2, b"\\xff\\xfe\\x00")
    return "printed"
"""


@pytest.fixture
def project(isolated: Path) -> Path:
    settings = '[agent]\nentrypoint = "plain:answer"\n'
    root = make_repository(isolated / "agent", {"plain.py": CHECKED, "refinery.toml": settings})
    os.chdir(root)
    return root


@pytest.fixture
def workspace(project: Path) -> Iterator[Workspace]:
    opened = wiring.open_workspace(project)
    yield opened
    opened.store.close()


def recorded(project: Path, target: str = "plain:answer", said: str = "tea: 4") -> Trace:
    """A trace as the recorder would have left it."""
    commit = git(project, "rev-parse", "HEAD").strip()
    entry = EntryPoint("callable", target, "tea", str(project), commit)
    call = llm(2, said, "cheap", native_kind="openai.chat.completions")
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": said}]
    call = replace(call, inputs={"model": "m", "temperature": 0, "messages": messages})
    tool = work(1, RunKind.TOOL, "price", {"item": "tea"}, {"output": 4})
    return trace(tool, call, entry=entry, output={"output": "cheap"})


def test_the_first_divergence_names_the_run_that_was_next_and_shows_a_diff(
    workspace: Workspace, project: Path
) -> None:
    outcome = replay_trace(workspace, recorded(project, said="tea: 5"))

    told = json.loads(json.dumps(to_document(outcome)))["divergence"]
    assert (told["run_id"], told["name"]) == ("llm-2", "ask")
    assert told["expected"]["messages"][1]["text"] == "tea: 5"
    assert told["got"]["messages"][1]["text"] == "tea: 4"
    assert '-      "text": "tea: 5"' in told["diff"]
    assert '+      "text": "tea: 4"' in told["diff"]
    assert "--- recorded" in told["diff"]


def test_another_system_prompt_is_another_request(workspace: Workspace, project: Path) -> None:
    found = recorded(project)
    source = (project / "plain.py").read_text()
    (project / "plain.py").write_text(source.replace("Be kind.", "Be rude."))
    commit = commit_all(project, "be rude")
    root = found.runs[0]
    entry = EntryPoint("callable", "plain:answer", "tea", str(project), commit)
    changed = trace(*found.runs[1:], entry=entry, output=root.outputs)

    outcome = replay_trace(workspace, changed)

    assert outcome.result.status == "unanswered"
    assert outcome.divergence is not None
    assert "Be rude." in outcome.divergence.diff


def test_a_tape_that_misses_a_tool_says_which_call_came(
    workspace: Workspace, project: Path
) -> None:
    whole = recorded(project)
    outcome = replay_trace(workspace, replace(whole, runs=(whole.runs[0], whole.runs[2])))

    assert outcome.divergence is not None
    assert "tool price was not recorded like this" in outcome.divergence.message
    assert outcome.divergence.got == {"name": "price", "arguments": {"item": "tea"}}


@pytest.mark.parametrize(
    ("target", "told"),
    [("plain:gone", "has no 'gone'"), ("missing:answer", "No module named 'missing'")],
)
def test_an_entry_point_that_is_gone_is_named(
    workspace: Workspace, project: Path, target: str, told: str
) -> None:
    outcome = replay_trace(workspace, recorded(project, target))

    assert outcome.divergence is not None
    assert told in outcome.divergence.message


def test_every_misbehaviour_has_a_clear_verdict_of_its_own(
    workspace: Workspace, project: Path
) -> None:
    wanted = {
        "hang": ("timeout", "longer than 6"),
        "fork": ("error|timeout", "BlockingIOError|longer than 6|process ended"),
        "eat": ("error", "MemoryError"),
        "write": ("error", "OSError|PermissionError"),
        "connect": ("unanswered", "198.51.100.7 was not reached"),
        "print": ("ok", "None"),
    }
    found = Tape.from_trace(recorded(project, "plain:misbehave"))
    assert found.entry is not None
    tapes = tuple(replace(found, entry=replace(found.entry, argument=what)) for what in wanted)
    configured = configure(workspace.settings, project, live_requests=0)
    agent = replace(configured.agent, timeout_s=6.0)

    done = replay(Batch(agent, Code(found.entry.commit or ""), tapes))

    for (what, (status, told)), one in zip(wanted.items(), done, strict=True):
        assert one.result.status in status.split("|"), (what, one.result)
        assert any(part in str(one.result.error) for part in told.split("|")), one.result.error
    assert done[-1].result.output == "printed"
    assert not Path("/usr/refinery-was-here").exists()


def test_an_interpreter_that_is_gone_is_told(workspace: Workspace, project: Path) -> None:
    from refinery.workflows.replay import differing_interpreter

    entry = EntryPoint("callable", "plain:answer", python="/opt/gone/bin/python")

    (told,) = differing_interpreter(entry, None)

    assert told.startswith("recorded with /opt/gone/bin/python, which is gone; replayed with")


def test_a_step_is_found_by_id_beginning_or_name() -> None:
    found = trace(llm(1, "a", "b"), llm(2, "c", "d", name="other"))

    assert turns.step(found, "llm-2").run_id == "llm-2"
    assert turns.step(found, "other").run_id == "llm-2"
    assert turns.step(found, "ask").run_id == "llm-1"
    with pytest.raises(InputError, match="2 steps begin with 'llm-'"):
        turns.step(found, "llm-")
    with pytest.raises(NotFoundError, match="no step 'nowhere'"):
        turns.step(found, "nowhere")
