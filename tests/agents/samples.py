"""A support agent's failed run and its repository, small enough to reason about."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from refinery.llm.router import Model, ModelChoice, connect
from refinery.model.failure import Evidence, Likelihood, RootCause, Signal
from refinery.model.messages import ToolCall
from refinery.model.trace import Trace, Usage
from refinery.replay.wire import ModelReply, ModelRequest
from tests.fakes.model_server import ModelServer
from tests.kits.traces import llm, run, trace

USAGE = Usage(input=1_000, output=200, total=1_200)
OLD = "The Pro plan costs 20 euros per month."
NEW = "The Pro plan costs 30 euros per month."
Script = Callable[[ModelRequest], ModelReply]


def stale_price() -> Trace:
    """The retriever puts the older of two price lists first, and the answer repeats it."""
    documents = [
        {"page_content": OLD, "metadata": {"source": "prices-2023.md", "updated": "2023-01-10"}},
        {"page_content": NEW, "metadata": {"source": "prices-2025.md", "updated": "2025-03-01"}},
    ]
    return trace(
        run(
            "t",
            "chain",
            name="support",
            inputs={"question": "What does Pro cost?"},
            outputs={"answer": "Pro costs 20 euros per month."},
        ),
        run(
            "t/1",
            "retriever",
            "t",
            name="search_docs",
            at_ms=1,
            inputs={"query": "What does Pro cost?"},
            outputs={"documents": documents},
        ),
        llm(
            "t/2",
            "t",
            f"Context: {OLD}\nWhat does Pro cost?",
            "Pro costs 20 euros per month.",
            at_ms=2,
        ),
    )


def signal() -> Signal:
    """What a detector would say of it."""
    return Signal(
        detector="stale_document",
        title="An older document was retrieved before a newer one",
        explanation="Two documents on one subject; the answer agrees with the older.",
        cause_run_id="t/1",
        symptom_run_id="t/2",
        evidence=(Evidence("t/1", OLD),),
        likelihood=Likelihood.LIKELY,
        root_cause=RootCause.CONTEXT,
    )


def finding(**changes: Any) -> dict[str, Any]:
    """A finding as a model would report it, right unless changed."""
    right = {
        "category": "stale_document",
        "title": "The answer repeats an outdated price",
        "explanation": "The retriever ranks the list of 2023 above that of 2025.",
        "likelihood": "likely",
        "confidence": 0.8,
        "level": "context",
        "root_cause": "context",
        "cause_run": "R2",
        "symptom_run": "R3",
        "quotes": [{"run": "R2", "quote": OLD}],
    }
    return right | changes


def in_the_vendors_form(request: ModelRequest, value: object) -> ModelReply:
    """A structured answer: the forced tool's call, or the JSON text."""
    choice = request.params.get("tool_choice")
    if isinstance(choice, dict):
        return ModelReply(tool_calls=(ToolCall(choice["name"], value, "call"),), usage=USAGE)
    return ModelReply(json.dumps(value), usage=USAGE)


def wants_structure(request: ModelRequest) -> bool:
    """Whether a request asks for an answer by a schema."""
    return "response_format" in request.params or isinstance(
        request.params.get("tool_choice"), dict
    )


def answers(*values: object, wishes: tuple[ToolCall, ...] = ()) -> Script:
    """Structured answers in order; before the first, one call of each wished tool."""
    left: Iterator[object] = iter(values)
    calls = iter(wishes)

    def answer(request: ModelRequest) -> ModelReply:
        if wants_structure(request):
            return in_the_vendors_form(request, next(left))
        wish = next(calls, None)
        if wish is None:
            return ModelReply("I have seen enough.", usage=USAGE)
        return ModelReply(tool_calls=(wish,), usage=USAGE)

    return answer


def connected(server: ModelServer, vendor: str, **options: Any) -> Model:
    """A model of a vendor's kind, served by the loopback server."""
    if vendor == "openai":
        return connect(ModelChoice("openai:gpt-4o-mini", f"{server.url}/v1", **options))
    return connect(ModelChoice("anthropic:claude-haiku-4-5", server.url, **options))
