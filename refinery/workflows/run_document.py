"""One run as a document for looking at: everything it holds, large values cut out."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields

import orjson

from refinery.detectors._shared import documents as retrieved
from refinery.model import messages
from refinery.model.codec import encode
from refinery.model.trace import Feedback, Json, Run, RunKind
from refinery.ports import StoredRun
from refinery.workflows import overview
from refinery.workflows.what_if_outcome import cost_of

MAX_VALUE_BYTES = 256 * 1024
"""Size as JSON above which a value is cut out of the document; chosen by us."""
MAX_MESSAGES = 500
MAX_TEXT = 64 * 1024
"""Characters of a message or a document that are shown."""
_SCORES = ("score", "relevance_score", "relevance", "similarity", "distance", "rank")
_RENAMED = {"usage", "cost_usd", "start_ns", "end_ns", "first_token_ns"}
"""Fields of a run the document has in another form."""
PAYLOADS = tuple(field.name for field in fields(Run) if field.name not in _RENAMED)
"""What of a run can be read whole."""


def to_document(stored: StoredRun, said: Sequence[Feedback], *, link: str = "") -> dict[str, Json]:
    """The run with messages, tool calls, documents and feedback read out of it.

    Args:
        stored: the run.
        said: feedback of its trace.
        link: address of the run; `/payload/<field>` behind it leads to a value that was cut out.
    """
    run = stored.run
    given, answered = messages.messages_in(run), messages.messages_out(run)
    whole = {
        **{name: encode(getattr(run, name)) for name in PAYLOADS},
        **overview.times(run.start_ns, run.end_ns),
        "source": stored.source,
        "project": stored.project,
        "name": run.name,
        "status": run.status.value if run.status else "unknown",
        "model": run.model_responded or run.model_requested,
        "first_token_ms": _latency(run),
        "tokens": overview.tokens(run.usage),
        "usage": encode(run.usage),
        "cost_usd": overview.money(run.cost_usd),
        "estimated_cost_usd": _estimated(run),
        "messages_in": [_message(one) for one in given[-MAX_MESSAGES:]],
        "messages_out": [_message(one) for one in answered[-MAX_MESSAGES:]],
        "tool_calls": [encode(call) for call in messages.tool_calls(run)[:MAX_MESSAGES]],
        "documents": [_document(one) for one in _documents(run)],
        "feedback": [_said(one) for one in said if one.run_id == run.run_id],
        "finish_reason": _finish_reason(run.outputs),
    }
    return {name: _bounded(name, value, link) for name, value in whole.items()}


def _bounded(name: str, value: Json, link: str) -> Json:
    """The value, or where to read it when it is large."""
    if value is None or isinstance(value, bool | int | float):
        return value
    size = size_bytes(value)
    if size <= MAX_VALUE_BYTES:
        return value
    href = f"{link}/payload/{name}" if name in PAYLOADS else None
    return {"$cut": {"bytes": size, "href": href}}


def size_bytes(value: Json) -> int:
    """Size as compact JSON; counted, not guessed."""
    try:
        return len(orjson.dumps(value))
    except (TypeError, ValueError, RecursionError):  # integers beyond 64 bits
        return len(json.dumps(value, separators=(",", ":")))


def _latency(run: Run) -> float | None:
    """Milliseconds from the start to the first token."""
    if run.first_token_ns is None or run.start_ns is None:
        return None
    return (run.first_token_ns - run.start_ns) / 1e6


def _estimated(run: Run) -> float | None:
    """What the price table says, where the source said nothing."""
    if run.cost_usd is not None or run.kind not in (RunKind.LLM, RunKind.EMBEDDING):
        return None
    return overview.money(cost_of(run)[0])


def _message(message: messages.Message) -> dict[str, Json]:
    return {
        "role": overview.cut(message.role),
        "text": overview.cut(message.text, MAX_TEXT),
        "name": message.name,
        "tool_calls": [encode(call) for call in message.tool_calls[:MAX_MESSAGES]],
        "tool_call_id": message.tool_call_id,
        "is_error": message.is_error,
        "is_cut": len(message.text) > MAX_TEXT,
    }


def _documents(run: Run) -> list[retrieved.Document]:
    if run.kind not in (RunKind.RETRIEVER, RunKind.RERANKER, RunKind.TOOL):
        return []
    return retrieved.of_run(run)


def _document(document: retrieved.Document) -> dict[str, Json]:
    lowered = {str(key).lower(): value for key, value in document.fields.items()}
    scores = (lowered.get(name) for name in _SCORES)
    score = next((one for one in scores if _is_number(one)), None)
    dates = {key or "text": date for key, date in document.dates().items()}
    return {
        "index": document.index,
        "title": overview.cut(document.label),
        "text": overview.cut(document.text, MAX_TEXT),
        "score": score,
        "dates": encode(dates),
        "is_current": document.is_current,
        "metadata": encode(dict(document.fields)),
    }


def _is_number(value: Json) -> bool:
    is_real = isinstance(value, int | float) and not isinstance(value, bool)
    return is_real and math.isfinite(value)


def _said(feedback: Feedback) -> dict[str, Json]:
    return {**encode(feedback), "created_ms": overview.milliseconds(feedback.created_ns)}


def _finish_reason(outputs: Json) -> str | None:
    """Why the model ended, wherever the vendor writes it."""
    for place in _places(outputs, 0):
        for key in ("finish_reason", "stop_reason", "finishReason", "done_reason"):
            if isinstance(reason := place.get(key), str):
                return overview.cut(reason)
    return None


def _places(value: Json, depth: int) -> Iterator[Mapping[str, Json]]:
    if depth > 6:
        return
    if isinstance(value, Mapping):
        yield value
        for key in _HOLDERS:
            yield from _places(value.get(key), depth + 1)
    elif isinstance(value, list):
        for item in value[:3]:
            yield from _places(item, depth + 1)


_HOLDERS = (
    *("choices", "generations", "message", "messages", "candidates", "kwargs", "llm_output"),
    *("response_metadata", "generation_info", "output"),
)
