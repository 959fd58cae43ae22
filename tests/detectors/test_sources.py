"""The same failure is seen whatever recorded it."""

import json
from dataclasses import replace

import pytest

from refinery.detectors import diagnose
from refinery.detectors._shared.samples import asks, trace, uid
from refinery.model.trace import Json, Run, RunError, RunKind, RunStatus, Trace

QUESTION = "What does the Pro plan cost?"
STALE = "The Pro plan costs $12 per month."


def _lc(name: str, **kwargs: Json) -> Json:
    """A LangChain object as `dumpd` writes it."""
    path = ["langchain", "schema", "messages", name]
    return {"lc": 1, "type": "constructor", "id": path, "kwargs": kwargs}


def _langchain(answer: Json) -> Run:
    """A model run as LangChain's callbacks record it."""
    messages = [[_lc("SystemMessage", content="Help."), _lc("HumanMessage", content=QUESTION)]]
    generation = {"text": "", "message": answer, "generation_info": {"finish_reason": "stop"}}
    return Run(
        uid("model"), "", "ChatOpenAI", RunKind.LLM, status=RunStatus.OK,
        inputs={"messages": messages}, outputs={"generations": [[generation]]},
    )  # fmt: skip


def _wrapped(answer: Json) -> Run:
    """A model run as a wrapped OpenAI client records it."""
    given = [{"role": "system", "content": "Help."}, {"role": "user", "content": QUESTION}]
    body = {"model": "gpt-4o", "messages": given}
    choice = {"index": 0, "message": answer, "finish_reason": "stop"}
    return Run(
        uid("model"), "", "ChatOpenAI", RunKind.LLM, status=RunStatus.OK,
        inputs=body, outputs={"choices": [choice], "object": "chat.completion"},
    )  # fmt: skip


def _retriever(documents: Json) -> Run:
    return Run(
        uid("find"), "", "DocumentRetriever", RunKind.RETRIEVER, status=RunStatus.OK,
        inputs={"query": QUESTION}, outputs=documents,
    )  # fmt: skip


_OLD = ("The Pro plan is $12 per month.", {"title": "Prices", "updated": "2024-02-01"})
_NEW = ("The Pro plan is $15 per month.", {"title": "Prices", "updated": "2026-03-01"})
_PLAIN = [{"page_content": text, "metadata": about} for text, about in (_OLD, _NEW)]


@pytest.mark.parametrize(
    "documents",
    [
        {"documents": _PLAIN},
        {"output": _PLAIN},
        _PLAIN,
        {"documents": [_lc("Document", **document) for document in _PLAIN]},
        {"output": json.dumps([{"text": t, **about} for t, about in (_OLD, _NEW)])},
    ],
    ids=["named", "output", "list", "dumped", "json text"],
)
@pytest.mark.parametrize("by", ["langchain", "wrapped"])
def test_an_outdated_document_is_seen_in_every_shape(documents: Json, by: str) -> None:
    langchain = _lc("AIMessage", content=STALE)
    wrapped = {"role": "assistant", "content": STALE}
    answer = _langchain(langchain) if by == "langchain" else _wrapped(wrapped)

    best = diagnose(trace(_retriever(documents), answer, output=STALE)).findings[0]

    assert best.category == "stale_document"
    assert (best.cause_run_id, best.symptom_run_id) == (uid("find"), uid("model"))
    assert best.facts["date_key"] == "updated"
    assert (best.facts["older_index"], best.facts["newer_index"], best.facts["k"]) == (0, 1, 2)


def _call_of_unknown_tool(by: str) -> Run:
    offered = {"type": "function", "function": {"name": "look_up", "parameters": {}}}
    if by == "langchain":
        call = {"name": "lookup", "args": {}, "id": "c1", "type": "tool_call"}
        run = _langchain(_lc("AIMessage", content="", tool_calls=[call]))
    else:
        run = _wrapped(
            {"role": "assistant", "content": None, "tool_calls": [asks("lookup", "{}")]}
        )
    return replace(run, tools=[offered])


@pytest.mark.parametrize("by", ["langchain", "wrapped"])
def test_a_call_of_an_unknown_tool_is_seen_in_every_shape(by: str) -> None:
    best = diagnose(trace(_call_of_unknown_tool(by))).findings[0]

    assert (best.category, best.likelihood) == ("unknown_tool", "certain")


def test_a_tool_result_is_read_from_the_messages_when_the_tool_was_not_recorded() -> None:
    first = _wrapped(
        {"role": "assistant", "content": None, "tool_calls": [asks("find_order", "{}", "c1")]}
    )
    history = [
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": None, "tool_calls": [asks("find_order", "{}", "c1")]},
        {"role": "tool", "tool_call_id": "c1", "content": "[]"},
    ]
    answer = {"role": "assistant", "content": "Your order 4711-A arrives on May 3, 2025."}
    second = replace(_wrapped(answer), run_id=uid("answer"), inputs={"messages": history})

    best = diagnose(trace(first, second)).findings[0]

    assert best.category == "empty_result_ignored"
    assert best.cause_run_id == uid("answer")


def _failed(run: Run, message: str, kind: str = "") -> Run:
    return replace(run, status=RunStatus.ERROR, error=RunError(kind, message), outputs=None)


def test_an_error_is_traced_to_the_deepest_run_and_not_reported_above() -> None:
    node = Run(uid("node"), "", "respond", RunKind.CHAIN, parent_id=uid("root"))
    call = replace(_wrapped({"role": "assistant", "content": ""}), parent_id=uid("node"))
    whole = trace(
        _failed(node, "Connection error.", "APIConnectionError"),
        _failed(call, "Connection error.", "APIConnectionError"),
        error=RunError("APIConnectionError", "Connection error."),
    )

    found = diagnose(whole).findings

    assert [(f.category, f.cause_run_id) for f in found] == [("service_down", uid("model"))]
    assert found[0].symptom_run_id == uid("root")
    assert found[0].root_cause == "environment"


def test_a_specific_finding_takes_in_the_plain_exception() -> None:
    call = _failed(
        _wrapped({"role": "assistant", "content": ""}),
        "Error code: 429 - Rate limit reached",
        "RateLimitError",
    )

    found = diagnose(trace(call, error=call.error)).findings

    assert [f.category for f in found] == ["rate_limit"]
    assert found[0].facts["error_type"] == "RateLimitError"


def test_an_interrupt_is_no_failure() -> None:
    node = Run(uid("node"), "", "approve", RunKind.CHAIN)

    whole = trace(_failed(node, "(Interrupt(value=1),)", "GraphInterrupt"))

    assert diagnose(whole).findings == ()


def test_what_was_not_recorded_is_said() -> None:
    found = diagnose(trace(_wrapped({"role": "assistant", "content": "Hi"})))

    assert "no usage recorded: token limits not checked" in found.unanswerable
    assert any("no retrieved documents" in gap for gap in found.unanswerable)


def test_a_trace_without_a_model_says_so() -> None:
    found = diagnose(Trace("r", (Run("r", "r", "job", RunKind.CHAIN, status=RunStatus.RUNNING),)))

    assert found.unanswerable == (
        "1 run has not ended: what follows is not known",
        "no model call recorded: prompts and answers not checked",
    )
