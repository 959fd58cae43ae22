"""Spans and log records of a request become runs, filed by project, without secrets."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Any

from refinery.adapters._shared.otel.mapping import OTEL, project_of, read_messages, run_of_span
from refinery.adapters._shared.otel.spans import LogData, SpanData, run_uuid, trace_uuid
from refinery.errors import TraceFormatError
from refinery.model.logged import with_logged_content
from refinery.model.merge import merge
from refinery.model.trace import Json, Run, RunError, RunKind
from refinery.ports import RunBatch
from refinery.safety.redact import redact

SOURCE = "otlp"
"""What traces that came by OTLP are marked with."""

_REDACTED = (
    "name",
    "inputs",
    "outputs",
    "provider",
    "model_requested",
    "model_responded",
    "params",
    "tools",
    "reasoning",
    "session_id",
    "user_id",
    "tags",
    "metadata",
    "events",
    "links",
)
_SESSIONS = ("session.id", "gen_ai.conversation.id", "conversation.id")


def batches_of_spans(
    spans: Iterable[SpanData], project: str | None = None, *, is_clean: bool = False
) -> list[RunBatch]:
    """Runs of spans, a batch a project, without secrets; a span sent twice is one run.

    Args:
        spans: in any order.
        project: as `project_of` takes it.
        is_clean: the bytes they were read from were found to hold no secret.
    """
    filed: dict[str | None, dict[str, Run]] = {}
    for span in map(_identified, spans):
        _file(filed.setdefault(project_of(span, project), {}), run_of_span(span))
    if is_clean:
        return [RunBatch(list(runs.values()), SOURCE, name) for name, runs in filed.items()]
    return _batches(filed)


def batches_of_logs(records: Iterable[LogData], project: str | None = None) -> list[RunBatch]:
    """Partial runs of log records, a batch a project, without secrets.

    A record becomes an event of its span's run, under the id the span's run has or will have;
    one that names no span becomes a run of kind `event`.
    """
    filed: dict[str | None, dict[str, Run]] = {}
    seen: dict[str, int] = {}
    for record in records:
        place = f"{record.trace_id}:{record.span_id}"
        seen[place] = seen.get(place, -1) + 1
        run = _run_of_record(record, seen[place])
        named = SpanData("", "", None, "", resource=record.resource)
        _file(filed.setdefault(project_of(named, project), {}), run)
    return _batches(filed)


def without_secrets(runs: list[Run]) -> list[Run]:
    """The runs with secrets replaced, the same one by the same token in all of them."""
    cleaned, counts = redact([_held(run) for run in runs])
    if not counts:
        return runs
    if not isinstance(cleaned, list):
        raise TraceFormatError("nested too deeply", hint="send smaller values")
    return [_with(run, fields) for run, fields in zip(runs, cleaned, strict=True)]


def _file(runs: dict[str, Run], run: Run) -> None:
    known = runs.get(run.run_id)
    runs[run.run_id] = merge(known, run) if known else run


def _batches(filed: dict[str | None, dict[str, Run]]) -> list[RunBatch]:
    return [
        RunBatch(without_secrets(list(runs.values())), SOURCE, project)
        for project, runs in filed.items()
    ]


def _held(run: Run) -> dict[str, Json]:
    fields = {name: getattr(run, name) for name in _REDACTED}
    error = [run.error.message, run.error.stack] if run.error else None
    return {"error": error, **{name: value for name, value in fields.items() if value}}


def _with(run: Run, fields: dict[str, Any]) -> Run:
    message = fields.pop("error", None)
    error = RunError(run.error.type, *message) if run.error and message else run.error
    return replace(run, error=error, **fields)


def _identified(span: SpanData) -> SpanData:
    """The span with ids of its own where it came without, and never its own parent."""
    if span.parent_id == span.span_id:
        span = replace(span, parent_id=None)
    if span.trace_id and span.span_id:
        return span
    digest = _digest(asdict(span))
    return replace(
        span, trace_id=span.trace_id or digest[:32], span_id=span.span_id or digest[32:48]
    )


def _digest(value: Json) -> str:
    told = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()


def _run_of_record(record: LogData, index: int) -> Run:
    """A partial view of the run the record belongs to.

    Args:
        record: the record.
        index: its place among the records of its span in the request, which keeps records of
            one moment in order and apart.
    """
    told: dict[str, Json] = {
        "name": record.name,
        "time_ns": record.time_ns,
        "index": index,
        "severity": record.severity,
        "body": record.body,
        "attributes": read_messages(record.attributes),
        "scope": record.scope,
        **record.details,
    }
    event = {name: value for name, value in told.items() if value not in (None, "", {})}
    if record.trace_id and record.span_id:
        run_id = run_uuid(record.trace_id, record.span_id)
        ids = {"trace_id": record.trace_id, "span_id": record.span_id}
        run = Run(run_id, trace_uuid(record.trace_id), metadata={OTEL: ids}, events=[event])
        return with_logged_content(run)
    return _lone(record, event)


def _lone(record: LogData, event: dict[str, Json]) -> Run:
    """A run of kind `event` for a record outside any span, in a trace of its session."""
    # The place in the request is no part of it: sent again in another batch, it is the same.
    digest = _digest({**{k: v for k, v in event.items() if k != "index"}, "r": record.resource})
    attributes = record.attributes
    session = next((str(attributes[n]) for n in _SESSIONS if attributes.get(n)), None)
    trace = trace_uuid(record.trace_id or (f"session {session}" if session else digest))
    return Run(
        run_id=run_uuid(trace, digest),
        trace_id=trace,
        name=record.name or record.severity or "log",
        kind=RunKind.EVENT,
        native_kind="log",
        start_ns=record.time_ns,
        end_ns=record.time_ns,
        session_id=session,
        metadata={OTEL: {"resource": record.resource}, **_free(attributes)},
        events=[event],
        outputs=record.body,
    )


def _free(attributes: dict[str, Json]) -> dict[str, Json]:
    """Attributes whose names do not claim what only we may say."""
    own = (OTEL, "refinery")
    return {f"attributes.{k}" if k in own else k: v for k, v in attributes.items()}
