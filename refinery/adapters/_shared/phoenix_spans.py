"""Reads spans and annotations of Phoenix as its REST API and its clients write them.

Shapes (arize-phoenix 20): pages of spans with flat attributes, the same as `otlpv1` (snake case,
nulls for the alternatives of a value), traces with bare spans, and rows of `get_spans_dataframe`
with one column an attribute. Phoenix keeps microseconds; `otlpv1` shows them with the error of a
floating-point number, which is rounded away, so that every shape gives the same run.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from refinery.adapters._shared import plain, remote
from refinery.adapters._shared.otel import documents
from refinery.adapters._shared.otel.limits import Budget
from refinery.adapters._shared.otel.mapping import run_of_span
from refinery.adapters._shared.otel.spans import SpanData, run_uuid, trace_uuid
from refinery.adapters._shared.plain import as_object, as_objects, as_text
from refinery.errors import TraceFormatError
from refinery.model.trace import Feedback, Json, Run, RunError
from refinery.model.walk import MAX_DEPTH

SOURCE = "phoenix"

_KIND = "openinference.span.kind"
_COLUMN = "attributes."
_SECONDS_END = 10_000_000_000
_MICROSECOND_NS = 1_000


def spans_of(document: Json) -> list[SpanData]:
    """The spans of one document or row, of whichever shape; none when it holds none.

    Raises:
        TraceFormatError: a span has no ids, or there are more than can be read.
    """
    budget = Budget()
    found: list[SpanData] = []
    for item in items_of(document):
        trace_id = item.get("trace_id")
        if isinstance(item.get("spans"), list) and trace_id is not None:
            for bare in as_objects(item["spans"]):
                ids = {"trace_id": trace_id, "span_id": bare.get("span_id")}
                found.append(_span({**bare, "context": ids}, budget))
        elif "context.span_id" in item:
            found.append(_span(_of_row(item), budget))
        elif "context" in item:
            found.append(_span(item, budget))
        elif "span_id" in item and "start_time_unix_nano" in item:
            found.append(_whole_microseconds(documents.span_of(item, budget=budget)))
    return found


def items_of(document: Json) -> list[dict[str, Json]]:
    """The records of a page, a list, or the document itself."""
    if isinstance(document, list):
        return as_objects(document)
    whole = as_object(document)
    return as_objects(whole["data"]) if isinstance(whole.get("data"), list) else [whole]


def run_of(span: SpanData) -> Run:
    """The run of a span; one that failed without a word leaves the error open."""
    run = run_of_span(span)
    # A list of traces says of a span that it failed, but not why.
    return replace(run, error=None) if run.error == RunError("", "") else run


def annotations_of(document: Json) -> list[dict[str, Json]]:
    """The annotations among the records of a document."""
    return [item for item in items_of(document) if "annotator_kind" in item]


def feedback_of(item: Mapping[str, Json], trace_id: str) -> Feedback | None:
    """An annotation of a span or of a whole trace; None when it says nothing.

    Args:
        item: the annotation.
        trace_id: hexadecimal id of the trace it belongs to.
    """
    result, name = as_object(item.get("result")), as_text(item.get("name"))
    native = plain.as_name(item.get("id"))
    if name is None or native is None:
        return None
    span = as_text(item.get("span_id"))
    run_id = run_uuid(trace_id, span) if span else None
    own = trace_uuid(trace_id)
    return Feedback(
        feedback_id=remote.feedback_id_of(SOURCE, run_id or own, native),
        trace_id=own,
        run_id=run_id,
        key=name,
        score=plain.as_score(result.get("score")),
        value=as_text(result.get("label")),
        comment=as_text(result.get("explanation")),
        source={"human": "human", "llm": "llm", "code": "code"}.get(
            str(item.get("annotator_kind")).lower(), "api"
        ),
        created_ns=remote.ns_of(item.get("created_at")) or 0,
    )


def _span(item: Mapping[str, Json], budget: Budget) -> SpanData:
    """A span with its ids under `context` and flat attributes.

    Raises:
        TraceFormatError: it has no ids.
    """
    budget.count_item()
    budget.begin()
    context = as_object(item.get("context"))
    trace_id = documents.identifier(context.get("trace_id"), 16)
    span_id = documents.identifier(context.get("span_id"), 8)
    if not trace_id or not span_id:
        raise TraceFormatError(
            "a span without `trace_id` or `span_id`", hint="export the spans again"
        )
    given = as_object(item.get("attributes"))
    attributes = {str(k): budget.plain(v) for k, v in given.items()}
    kind = as_text(item.get("span_kind"))
    if kind and kind != "UNKNOWN":
        attributes.setdefault(_KIND, kind)
    code = str(item.get("status_code") or "").upper()
    return SpanData(
        trace_id=trace_id,
        span_id=span_id,
        parent_id=documents.identifier(item.get("parent_id"), 8) or None,
        name=as_text(item.get("name")) or "",
        start_ns=_ns(item.get("start_time")),
        end_ns=_ns(item.get("end_time")),
        status_code=code if code in ("OK", "ERROR") else "UNSET",
        status_message=budget.text(as_text(item.get("status_message")) or ""),
        attributes=attributes,
        events=[_event(event, budget) for event in as_objects(item.get("events"))],
    )


def _event(item: Mapping[str, Json], budget: Budget) -> dict[str, Json]:
    told: dict[str, Json] = {
        "name": as_text(item.get("name")),
        "time_ns": _ns(item.get("timestamp")),
        "attributes": {k: budget.plain(v) for k, v in as_object(item.get("attributes")).items()},
    }
    return {name: value for name, value in told.items() if value not in (None, {})}


def _of_row(row: Mapping[str, Json]) -> dict[str, Json]:
    """A row of the client's table as a span: columns of attributes made flat."""
    attributes: dict[str, Json] = {}
    for name, value in row.items():
        if name.startswith(_COLUMN) and value is not None:
            attributes.update(_flat(name.removeprefix(_COLUMN), _whole(name, value)))
    told = {name: row.get(name) for name in ("name", "span_kind", "parent_id", "start_time")}
    ends = {name: row.get(name) for name in ("end_time", "status_code", "status_message")}
    context = {"trace_id": row.get("context.trace_id"), "span_id": row.get("context.span_id")}
    events = plain.unpacked(row.get("events"))
    return {**told, **ends, "context": context, "events": events, "attributes": attributes}


def _whole(name: str, value: Json) -> Json:
    """Counts as whole numbers; a table with gaps in a column makes them fractions."""
    is_whole = isinstance(value, float) and value.is_integer() and "token_count" in name
    return int(value) if is_whole else value


def _flat(name: str, value: Json, depth: int = 0) -> Iterator[tuple[str, Json]]:
    """Dotted names of what is inside objects, and inside lists of objects."""
    if depth < MAX_DEPTH and isinstance(value, Mapping):
        for key, inner in value.items():
            if inner is not None:
                yield from _flat(f"{name}.{key}", inner, depth + 1)
    elif depth < MAX_DEPTH and value and _is_of_objects(value):
        for place, inner in enumerate(value):
            yield from _flat(f"{name}.{place}", inner, depth + 1)
    else:
        yield name, value


def _is_of_objects(value: Json) -> bool:
    return isinstance(value, list) and all(isinstance(entry, Mapping) for entry in value)


def _ns(value: Json) -> int | None:
    """Nanoseconds of an ISO time, a moment, or a number of seconds, milli-, … since the epoch."""
    if isinstance(value, datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=UTC)
        return remote.ns_of(moment.isoformat())
    if isinstance(value, bool) or not isinstance(value, int | float):
        return remote.ns_of(value)
    if not 0 < value < 2**63:
        return None
    unit = 10**9
    while value >= _SECONDS_END * (10**9 // unit) and unit > 1:
        unit //= 1000
    return int(value * unit)


def _whole_microseconds(span: SpanData) -> SpanData:
    def rounded(ns: Json) -> int | None:
        return (ns + 500) // _MICROSECOND_NS * _MICROSECOND_NS if isinstance(ns, int) else None

    events = [
        {**event, "time_ns": rounded(event["time_ns"])} if "time_ns" in event else event
        for event in span.events
    ]
    # Phoenix makes the kind up anew, and leaves out of `otlpv1` what it did not keep.
    return replace(
        span,
        start_ns=rounded(span.start_ns),
        end_ns=rounded(span.end_ns),
        events=events,
        span_kind=None,
        details={k: v for k, v in span.details.items() if k in ("cut", "left_out")},
    )
