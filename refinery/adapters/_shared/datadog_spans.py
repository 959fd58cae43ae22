"""Reads spans of Datadog LLM Observability as its export API documents them.

Shapes are those of the API reference and of Datadog's own client (`datadog-api-client` 2,
`LLMObsSpanAttributes`): times and durations in nanoseconds, tags as `key:value`, and `undefined`
for the parent of a root.
"""

from collections.abc import Iterator, Mapping

from refinery.adapters._shared import plain, remote
from refinery.adapters._shared.plain import (
    as_count,
    as_list,
    as_name,
    as_object,
    as_objects,
    as_text,
)
from refinery.adapters._shared.remote import Labelled
from refinery.errors import TraceFormatError
from refinery.model.trace import Feedback, Json, Run, RunError, RunKind, RunStatus, Trace, Usage

SOURCE = "datadog"

_KINDS = {
    "workflow": RunKind.CHAIN,
    "task": RunKind.CHAIN,
    "retrieval": RunKind.RETRIEVER,
    "experiment": RunKind.CHAIN,
}
_NO_PARENT = (None, "", "undefined", "0")
_MAPPED = frozenset(
    (
        *("trace_id", "span_id", "parent_id", "name", "span_kind", "start_ns", "duration"),
        *("status", "input", "output", "metrics", "metadata", "tags", "model_name"),
        *("model_provider", "evaluation", "error", "tool_definitions", "session_id"),
    )
)
"""Attributes that fields of a run hold."""
_COUNTS = {
    "input": "input_tokens",
    "output": "output_tokens",
    "total": "total_tokens",
    "cache_read": "cache_read_input_tokens",
    "cache_write": "cache_write_input_tokens",
    "reasoning": "reasoning_output_tokens",
}
_NEVER = 2**63


def attributes_of(document: Json) -> list[dict[str, Json]]:
    """The attributes of each span in a page, a list, or a single record."""
    if isinstance(document, list):
        items = as_objects(document)
    else:
        whole = as_object(document)
        items = as_objects(whole["data"]) if isinstance(whole.get("data"), list) else [whole]
    return [as_object(item.get("attributes")) or item for item in items]


def labelled_of(spans: list[dict[str, Json]]) -> Iterator[Labelled]:
    """Traces with what was said of them, in order of their first span.

    Raises:
        TraceFormatError: a span has no ids.
    """
    for span in spans:
        if as_name(span.get("trace_id")) is None or as_name(span.get("span_id")) is None:
            raise TraceFormatError(
                "a span without `trace_id` or `span_id`", hint="export the spans again"
            )
    for native, items in remote.grouped(spans, "trace_id"):
        runs = remote.tree([_run(item, native) for item in items])
        app = next((name for item in items if (name := as_text(item.get("ml_app")))), None)
        said = [remark for item in items for remark in _feedback(item, native)]
        trace = Trace(remote.trace_id_of(SOURCE, native), runs, SOURCE, app)
        yield trace, tuple({remark.feedback_id: remark for remark in said}.values())


def _run(item: Mapping[str, Json], native: str) -> Run:
    span = as_name(item.get("span_id")) or ""
    parent = as_name(item.get("parent_id"))
    kind = remote.kind_of(item.get("span_kind"), _KINDS) or RunKind.CHAIN
    start, duration = _ns(item.get("start_ns")), _ns(item.get("duration"))
    tags = [tag for tag in as_list(item.get("tags")) if isinstance(tag, str)]
    named = dict(tag.split(":", 1) for tag in tags if ":" in tag)
    model = as_text(item.get("model_name"))
    is_model_call = kind in (RunKind.LLM, RunKind.EMBEDDING)
    rest = {k: v for k, v in item.items() if k not in _MAPPED and v not in (None, "", {}, [])}
    metrics = as_object(item.get("metrics"))
    metadata = as_object(item.get("metadata"))
    return Run(
        run_id=remote.run_id_of(SOURCE, native, span),
        trace_id=remote.trace_id_of(SOURCE, native),
        name=as_text(item.get("name")),
        kind=kind,
        parent_id=(
            None
            if parent in (*_NO_PARENT, span)
            else remote.run_id_of(SOURCE, native, str(parent))
        ),
        native_kind=as_text(item.get("span_kind")),
        start_ns=start,
        end_ns=start + duration if start is not None and duration is not None else None,
        status=_status(item, duration),
        error=_error(item, metadata),
        inputs=_content(item.get("input")),
        outputs=_content(item.get("output")),
        provider=as_text(item.get("model_provider")),
        model_requested=model,
        model_responded=model if is_model_call else None,
        params=_params(metadata) if is_model_call else None,
        tools=as_list(item.get("tool_definitions")) or None,
        usage=_usage(metrics) if is_model_call else None,
        session_id=as_name(item.get("session_id")) or named.get("session_id"),
        user_id=named.get("user_id") or named.get("usr.id"),
        tags=tags or None,
        metadata={
            **metadata,
            SOURCE: {"span_id": span, "trace_id": native, "metrics": metrics, **rest},
        },
    )


def _ns(value: Json) -> int | None:
    """Nanoseconds; the documented duration is a floating-point number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value < _NEVER else None


def _status(item: Mapping[str, Json], duration_ns: int | None) -> RunStatus:
    if str(item.get("status") or "").lower() == "error":
        return RunStatus.ERROR
    return RunStatus.OK if duration_ns is not None else RunStatus.RUNNING


def _error(item: Mapping[str, Json], metadata: Mapping[str, Json]) -> RunError | None:
    """What went wrong, as far as the span says: the documents name no place for it."""
    if str(item.get("status") or "").lower() != "error":
        return None
    told = as_object(item.get("error")) or as_object(metadata.get("error"))
    if told:
        kind, stack = as_text(told.get("type")) or "", as_text(told.get("stack")) or ""
        return RunError(kind.rpartition(".")[2], as_text(told.get("message")) or kind, stack)
    names = ("error.type", "error.message", "error.stack")
    kind, message, stack = (as_text(metadata.get(name)) or "" for name in names)
    if kind or message:
        return RunError(kind.rpartition(".")[2], message or kind, stack)
    return remote.error_of(as_text(item.get("error")) or "")


def _content(value: Json) -> Json:
    """What went in or out: a text, JSON in a text, or messages and documents as an object."""
    told = as_object(value)
    if not told:
        return plain.unpacked(value)
    kept = {name: entry for name, entry in told.items() if entry not in (None, "", [])}
    return plain.unpacked(kept["value"]) if set(kept) == {"value"} else kept or None


def _params(metadata: Mapping[str, Json]) -> dict[str, Json] | None:
    names = ("temperature", "max_tokens", "top_p", "stop", "tool_choice")
    return {name: metadata[name] for name in names if metadata.get(name) is not None} or None


def _usage(metrics: Mapping[str, Json]) -> Usage | None:
    counts = {name: as_count(metrics.get(key)) for name, key in _COUNTS.items()}
    usage = Usage(**counts)
    return usage if usage != Usage() else None


def _feedback(item: Mapping[str, Json], native: str) -> Iterator[Feedback]:
    """The evaluations of a span, by name."""
    span = as_name(item.get("span_id")) or ""
    for name, given in as_object(item.get("evaluation")).items():
        told = given if isinstance(given, Mapping) else {"value": given}
        value = told.get("value")
        yield Feedback(
            feedback_id=remote.feedback_id_of(SOURCE, native, span, name),
            trace_id=remote.trace_id_of(SOURCE, native),
            run_id=remote.run_id_of(SOURCE, native, span),
            key=name,
            score=plain.as_score(value),
            value=as_text(told.get("assessment")) or value,
            comment=as_text(told.get("reasoning")),
            source="api",
            created_ns=_ns(item.get("start_ns")) or 0,
        )
