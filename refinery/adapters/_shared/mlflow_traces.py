"""Reads MLflow's traces as its REST API and its clients write them.

One thing is written two ways (mlflow 3.17): attributes are JSON in strings in files (`to_json`),
and typed values in REST answers; durations are milliseconds there and text in seconds here. Both
give the same run. A search answers no spans; what it says of a trace becomes one run that stands
for it. Files of mlflow 2 name ids and states another way.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from refinery.adapters._shared import plain, remote
from refinery.adapters._shared.otel import documents
from refinery.adapters._shared.otel.limits import Budget
from refinery.adapters._shared.otel.mapping import run_of_span
from refinery.adapters._shared.otel.spans import SpanData, run_uuid, trace_uuid
from refinery.adapters._shared.plain import as_name, as_object, as_objects, as_text
from refinery.adapters._shared.remote import Labelled
from refinery.errors import TraceFormatError
from refinery.model.trace import Feedback, Json, Run, RunKind, RunStatus, Trace

SOURCE = "mlflow"

_STATES = {
    "OK": RunStatus.OK,
    "ERROR": RunStatus.ERROR,
    "IN_PROGRESS": RunStatus.RUNNING,
}
_JUDGES = {"HUMAN": "human", "LLM_JUDGE": "llm", "AI_JUDGE": "llm", "CODE": "code"}
_HELD = ("mlflow.trace.session", "mlflow.trace.user", "mlflow.traceInputs", "mlflow.traceOutputs")
"""Metadata of a trace that fields of its runs hold."""
_MILLISECOND_NS = 1_000_000
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s\Z")


def labelled_of(document: Json, project: str | None = None) -> Iterator[Labelled]:
    """The traces of one document of whichever shape.

    Raises:
        TraceFormatError: it holds no traces of MLflow.
    """
    for info, spans in _traces(document):
        if not info and not spans:
            raise TraceFormatError(
                "not a trace of MLflow", hint="export traces with `Trace.to_json()`"
            )
        yield _labelled(info, spans, project)


def _traces(document: Json) -> Iterator[tuple[dict[str, Json], list[dict[str, Json]]]]:
    """Each trace's own record and its spans."""
    if isinstance(document, list):
        for item in document:
            yield from _traces(item)
        return
    whole = as_object(document)
    if isinstance(whole.get("traces"), list):
        yield from _traces(whole["traces"])
    elif (inner := as_object(plain.unpacked(whole.get("trace")))) and inner is not whole:
        yield from ((_beside(info, whole), spans) for info, spans in _traces(inner))
    elif isinstance(whole.get("trace_info"), Mapping):
        yield as_object(whole["trace_info"]), as_objects(whole.get("spans"))
    elif isinstance(whole.get("info"), Mapping):
        held = as_object(plain.unpacked(whole.get("data")))
        yield as_object(whole["info"]), as_objects(held.get("spans"))
    elif _native_id(whole):
        yield whole, as_objects(plain.unpacked(whole.get("spans")))
    else:
        yield {}, []


def _beside(info: dict[str, Json], row: Mapping[str, Json]) -> dict[str, Json]:
    """A record with what a row of the client's table says beside it."""
    said = as_objects(plain.unpacked(row.get("assessments")))
    return {**info, "assessments": said} if said and not info.get("assessments") else info


def _labelled(
    info: Mapping[str, Json], spans: Sequence[Mapping[str, Json]], project: str | None
) -> Labelled:
    budget = Budget()
    found = []
    for item in spans:
        budget.count_item()
        found.append(_span(item, budget))
    if missing := next((span for span in found if not span.trace_id or not span.span_id), None):
        raise TraceFormatError(
            f"the span {missing.name!r} has no ids", hint="export the trace again"
        )
    digits = found[0].trace_id if found else hex_of(_native_id(info) or "")
    if any(span.trace_id != digits for span in found):
        raise TraceFormatError(
            "the spans are of several traces", hint="each trace must hold its own spans"
        )
    runs = remote.tree([run_of_span(span) for span in found]) or (_summary(info, digits),)
    trace = Trace(trace_uuid(digits), _with_info(runs, info), SOURCE, project)
    remarks = (_feedback(item, digits) for item in as_objects(info.get("assessments")))
    return trace, tuple({r.feedback_id: r for r in remarks if r}.values())


def hex_of(native: str) -> str:
    """The hexadecimal id in `tr-<id>`; other ids as they are."""
    return native.removeprefix("tr-")


def _native_id(info: Mapping[str, Json]) -> str | None:
    return as_name(info.get("trace_id")) or as_name(info.get("request_id"))


def _span(item: Mapping[str, Json], budget: Budget) -> SpanData:
    context = as_object(item.get("context"))
    if context:  # mlflow 2
        item = {
            **item,
            "trace_id": str(context.get("trace_id")).removeprefix("0x"),
            "span_id": str(context.get("span_id")).removeprefix("0x"),
            "parent_span_id": str(item.get("parent_id") or "").removeprefix("0x"),
            "start_time_unix_nano": item.get("start_time"),
            "end_time_unix_nano": item.get("end_time"),
            "status": {"code": item.get("status_code"), "message": item.get("status_message")},
        }
    span = documents.span_of(item, budget=budget)
    if isinstance(item.get("attributes"), Mapping):
        plain = {name: _decoded(value) for name, value in span.attributes.items()}
    else:
        plain = span.attributes
    # The convention reads JSON: in this form a text that looks like a number stays a text.
    told = {
        name: json.dumps(value) if name.startswith("mlflow.") else value
        for name, value in plain.items()
    }
    return replace(span, attributes=told)


def _decoded(value: Json) -> Json:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value, parse_constant=str)
    except (ValueError, RecursionError):
        return value


def _summary(info: Mapping[str, Json], digits: str) -> Run:
    """One run that stands for a trace whose spans are not told."""
    start = remote.ns_of(info.get("request_time"))
    for name in ("timestamp_ms", "request_time"):
        stamp = plain.as_count(info.get(name))
        if start is None and stamp is not None and stamp < 2**43:
            start = stamp * _MILLISECOND_NS
    # The time is cut to milliseconds. Its last nanosecond sorts after the root span, should that
    # be imported as well.
    start = None if start is None else start + _MILLISECOND_NS - 1
    duration = _duration_ns(info)
    state = str(info.get("state") or info.get("status") or "").upper()
    return Run(
        run_id=remote.run_id_of(SOURCE, digits, "summary"),
        trace_id=trace_uuid(digits),
        name=as_text(as_object(info.get("tags")).get("mlflow.traceName")),
        kind=RunKind.CHAIN,
        start_ns=start,
        end_ns=start + duration if start is not None and duration is not None else None,
        status=_STATES.get(state, RunStatus.UNKNOWN),
        inputs=_preview(info, "request_preview", "request"),
        outputs=_preview(info, "response_preview", "response"),
        metadata={SOURCE: {"is_summary": True}},
    )


def _preview(info: Mapping[str, Json], *names: str) -> Json:
    return next((plain.unpacked(info[name]) for name in names if info.get(name)), None)


def _duration_ns(info: Mapping[str, Json]) -> int | None:
    for name in ("execution_duration_ms", "execution_time_ms", "execution_duration"):
        value = info.get(name)
        if (count := plain.as_count(value)) is not None and count < 2**40:
            return count * _MILLISECOND_NS
        if isinstance(value, str) and (found := _DURATION.match(value)):
            return int(float(found[1]) * 1e9)
    return None


def _with_info(runs: tuple[Run, ...], info: Mapping[str, Json]) -> tuple[Run, ...]:
    """The runs, with what was said of the trace as a whole: most of it at the first root."""
    told = as_object(info.get("trace_metadata")) or _pairs(info.get("request_metadata"))
    tags = as_object(info.get("tags")) or _pairs(info.get("tags"))
    session, user = (as_name(told.get(f"mlflow.trace.{name}")) for name in ("session", "user"))
    root = next((run for run in runs if run.parent_id is None), runs[0])
    location = as_object(as_object(info.get("trace_location")).get("mlflow_experiment"))
    ours = {
        "trace_id": _native_id(info),
        "experiment_id": as_name(location.get("experiment_id")) or info.get("experiment_id"),
        "state": info.get("state") or info.get("status"),
        "client_request_id": info.get("client_request_id"),
        "tags": {k: v for k, v in tags.items() if k != "mlflow.artifactLocation"},
        "trace_metadata": {k: plain.unpacked(v) for k, v in told.items() if k not in _HELD},
    }
    kept = {name: value for name, value in ours.items() if value not in (None, "", {})}
    metadata = dict(root.metadata or {})
    if kept:
        metadata[SOURCE] = {**as_object(metadata.get(SOURCE)), **kept}
    own = [f"{k}:{v}" for k, v in sorted(tags.items()) if not k.startswith("mlflow.")]
    first = replace(root, metadata=metadata or None, tags=root.tags or own or None)
    return tuple(
        replace(
            first if run is root else run,
            session_id=run.session_id or session,
            user_id=run.user_id or user,
        )
        for run in runs
    )


def _pairs(value: Json) -> dict[str, Json]:
    """A list of `{"key", "value"}` as an object, as mlflow 2 writes tags; an object as it is."""
    if isinstance(value, Mapping):
        return dict(value)
    return {
        key: item.get("value") for item in as_objects(value) if (key := as_name(item.get("key")))
    }


def _feedback(item: Mapping[str, Json], digits: str) -> Feedback | None:
    """An assessment; None when it says nothing or was overridden by a later one."""
    name, native = as_text(item.get("assessment_name")), as_name(item.get("assessment_id"))
    if name is None or native is None or item.get("valid") is False:
        return None
    said, expected = as_object(item.get("feedback")), as_object(item.get("expectation"))
    value = said.get("value")
    right = expected.get("value")
    if right is None and (packed := as_object(expected.get("serialized_value"))):
        right = _decoded(packed.get("value"))
    span = documents.identifier(item.get("span_id"), 8)
    judge = as_object(item.get("source"))
    return Feedback(
        feedback_id=remote.feedback_id_of(SOURCE, digits, native),
        trace_id=trace_uuid(digits),
        run_id=run_uuid(digits, span) if span else None,
        key=name,
        score=plain.as_score(value),
        value=value,
        comment=as_text(item.get("rationale")),
        correction=right,
        source=_JUDGES.get(str(judge.get("source_type")).upper(), "api"),
        created_ns=_created(item),
    )


def _created(item: Mapping[str, Json]) -> int:
    told = remote.ns_of(item.get("create_time"))
    stamp = plain.as_count(item.get("create_time_ms"))
    if told is None and stamp is not None and stamp < 2**43:
        told = stamp * _MILLISECOND_NS
    return told or 0
