from dataclasses import replace
from typing import Any

import pytest

from refinery.model.codec import encode
from refinery.model.failure import Answerable
from refinery.model.trace import CodeReference, EntryPoint, RunKind, RunStatus, Trace, Usage
from refinery.workflows.capabilities import capabilities_of, questions
from tests.kits.traces import llm, run, trace


def whole() -> Trace:
    entry = EntryPoint("callable", "agent:answer", {"q": 1}, "/repo", "c" * 40)
    root = run("r", session_id="s", user_id="u", outputs={"answer": "ok"})
    root = replace(
        root,
        metadata={"refinery": {"entry_point": encode(entry)}},
        code=CodeReference(file="agent.py", line=3),
    )
    asked = {"messages": [{"role": "system", "content": "Be brief."},
                          {"role": "user", "content": "How much?"}]}  # fmt: skip
    model = replace(
        llm("m", "r", "How much?", "12"),
        inputs=asked,
        params={"temperature": 0},
        usage=Usage(3, 4, 7),
        model_requested="m",
    )
    tool = run("t", "tool", "r", inputs={"q": 1}, outputs={"output": 2})
    found = run("d", "retriever", "r", outputs={"documents": [{"page_content": "x"}]})
    return trace(root, model, tool, found)


def answers(of: Trace) -> dict[str, Answerable]:
    return {item.question: item.answerable for item in capabilities_of(of)}


def changed(run_id: str, **fields: Any) -> Trace:
    base = whole()
    runs = tuple(replace(r, **fields) if r.run_id == run_id else r for r in base.runs)
    return replace(base, runs=runs)


def without(run_id: str) -> Trace:
    base = whole()
    return replace(base, runs=tuple(r for r in base.runs if r.run_id != run_id))


def test_a_whole_recording_answers_every_question() -> None:
    assert answers(whole()) == dict.fromkeys(questions(), Answerable.YES)


@pytest.mark.parametrize(
    ("poorer", "question", "expected"),
    [
        (without("m"), "prompt", "no"),
        (without("m"), "answer", "no"),
        (without("m"), "cost", "no"),
        (changed("m", inputs=None), "prompt", "no"),
        (
            changed("m", inputs={"messages": [{"role": "user", "content": "x"}]}),
            "prompt",
            "partly",
        ),
        (changed("m", params=None), "parameters", "no"),
        (changed("m", usage=None), "cost", "no"),
        (changed("m", model_requested=None), "cost", "partly"),
        (changed("t", outputs=None), "tools", "no"),
        (without("d"), "retrieval", "no"),
        (changed("r", metadata=None), "replay", "no"),
        (changed("r", code=None), "code", "partly"),
        (changed("r", session_id=None), "people", "partly"),
        (changed("r", end_ns=None, status=RunStatus.RUNNING), "outcome", "partly"),
        (without("r"), "outcome", "no"),
        (changed("r", metadata={"synthetic_times": True}), "timing", "no"),
        (changed("m", kind=RunKind.CHAIN), "prompt", "no"),
    ],
)
def test_what_was_not_recorded_is_said(poorer: Trace, question: str, expected: str) -> None:
    found = next(item for item in capabilities_of(poorer) if item.question == question)

    assert found.answerable == expected
    assert found.why


def test_a_command_cannot_be_replayed() -> None:
    entry = EntryPoint("command", "python app.py")
    poorer = changed("r", metadata={"refinery": {"entry_point": encode(entry)}})

    assert answers(poorer)["replay"] is Answerable.NO


def test_asked_tools_without_runs_are_missed() -> None:
    calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    said = {"choices": [{"message": {"role": "assistant", "content": "", "tool_calls": calls}}]}
    base = changed("m", outputs=said)
    poorer = replace(base, runs=tuple(r for r in base.runs if r.run_id != "t"))

    assert answers(poorer)["tools"] is Answerable.NO


def test_an_empty_trace_has_answers_too() -> None:
    assert len(capabilities_of(Trace("t", ()))) == len(list(questions()))
