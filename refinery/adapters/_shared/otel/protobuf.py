"""OTLP as protobuf; needs the extra `server` (opentelemetry-proto)."""

from typing import Any

from refinery.adapters._shared.otel.documents import nanoseconds
from refinery.adapters._shared.otel.limits import MAX_ATTRIBUTE_CHARS, Budget
from refinery.adapters._shared.otel.spans import LogData, SpanData
from refinery.errors import PluginError, TraceFormatError
from refinery.model.trace import Json

_SPAN_KINDS = ("", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
_STATUS = ("UNSET", "OK", "ERROR")


def spans_of(body: bytes) -> list[SpanData]:
    """Every span of an `ExportTraceServiceRequest`.

    Raises:
        TraceFormatError: it cannot be read, or holds more than is read.
        PluginError: opentelemetry-proto is not installed.
    """
    budget = Budget()
    found = []
    for group in _parsed(body, "trace").resource_spans:
        resource = _attributes(group.resource.attributes, budget)
        for scoped in group.scope_spans:
            scope = _scope(scoped.scope, budget)
            for span in scoped.spans:
                budget.count_item()
                found.append(_span(span, resource, scope, budget))
    return found


def logs_of(body: bytes) -> list[LogData]:
    """Every log record of an `ExportLogsServiceRequest`.

    Raises:
        TraceFormatError: it cannot be read, or holds more than is read.
        PluginError: opentelemetry-proto is not installed.
    """
    budget = Budget()
    found = []
    for group in _parsed(body, "logs").resource_logs:
        resource = _attributes(group.resource.attributes, budget)
        for scoped in group.scope_logs:
            for record in scoped.log_records:
                budget.count_item()
                found.append(_log(record, resource, str(scoped.scope.name), budget))
    return found


def _parsed(body: bytes, signal: str) -> Any:
    try:
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # no stubs
        from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
            ExportLogsServiceRequest,
        )
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
            ExportTraceServiceRequest,
        )
    except ModuleNotFoundError as error:
        raise PluginError(
            "OTLP in protobuf needs the library opentelemetry-proto, which is not installed",
            hint="pip install 'refinery[server]', or send JSON",
        ) from error
    request = ExportTraceServiceRequest if signal == "trace" else ExportLogsServiceRequest
    try:
        return request.FromString(body)
    except (DecodeError, ValueError) as error:
        raise TraceFormatError(
            f"not an OTLP {signal} request in protobuf: {error}",
            hint="is the content type right, and the body whole?",
        ) from error


def _span(
    span: Any, resource: dict[str, Json], scope: dict[str, Json], budget: Budget
) -> SpanData:
    budget.begin()
    attributes = _attributes(span.attributes, budget)
    events = [_event(event, budget) for event in budget.limited(list(span.events), "events")]
    links = [_link(link, budget) for link in budget.limited(list(span.links), "links")]
    message = budget.text(span.status.message)
    details = {
        "trace_state": span.trace_state,
        "flags": span.flags,
        "droppedAttributesCount": span.dropped_attributes_count,
        "droppedEventsCount": span.dropped_events_count,
        "scope_version": scope.get("version"),
        "scope_attributes": scope.get("attributes"),
        **budget.notes(),
    }
    return SpanData(
        trace_id=_identifier(span.trace_id),
        span_id=_identifier(span.span_id),
        parent_id=_identifier(span.parent_span_id) or None,
        name=budget.text(span.name),
        start_ns=nanoseconds(span.start_time_unix_nano),
        end_ns=nanoseconds(span.end_time_unix_nano),
        status_code=_named(_STATUS, span.status.code) or "UNSET",
        status_message=message,
        attributes=attributes,
        events=events,
        links=links,
        resource=resource,
        scope=str(scope.get("name") or ""),
        span_kind=_named(_SPAN_KINDS, span.kind) or None,
        details={name: value for name, value in details.items() if value},
    )


def _log(record: Any, resource: dict[str, Json], scope: str, budget: Budget) -> LogData:
    budget.begin()
    attributes = _attributes(record.attributes, budget)
    legacy = attributes.get("event.name")
    time_ns = nanoseconds(record.time_unix_nano)
    return LogData(
        name=record.event_name or (legacy if isinstance(legacy, str) else ""),
        body=_value(record.body, budget, 0),
        attributes=attributes,
        time_ns=time_ns or nanoseconds(record.observed_time_unix_nano),
        trace_id=_identifier(record.trace_id),
        span_id=_identifier(record.span_id),
        severity=record.severity_text,
        resource=resource,
        scope=scope,
        details=budget.notes(),
    )


def _identifier(value: bytes) -> str:
    return value[:128].hex() if value.strip(b"\0") else ""


def _named(names: tuple[str, ...], number: int) -> str:
    return names[number] if 0 <= number < len(names) else ""


def _attributes(pairs: Any, budget: Budget) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for pair in budget.limited(list(pairs), "attributes"):
        name, value = pair.key, pair.value
        kind = value.WhichOneof("value")
        # Nearly every attribute is one of these two, and there are ten or more a span.
        if kind == "string_value":
            text = value.string_value
            if len(text) <= MAX_ATTRIBUTE_CHARS and text.isascii():
                found[name] = text
                continue
        elif kind == "int_value":
            found[name] = value.int_value
            continue
        found[name] = budget.named(name, _value(value, budget, 0))
    return found


def _value(value: Any, budget: Budget, depth: int) -> Json:
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return budget.text(value.string_value)
    if kind == "array_value":
        return [_value(item, budget, depth + 1) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {
            pair.key: _value(pair.value, budget, depth + 1) for pair in value.kvlist_value.values
        }
    if kind == "bytes_value":
        return budget.plain(_base64(value.bytes_value))
    return budget.plain(getattr(value, kind)) if kind else None


def _base64(content: bytes) -> Json:
    import base64

    return {"__base64__": base64.b64encode(content).decode("ascii")}


def _scope(scope: Any, budget: Budget) -> dict[str, Json]:
    told = {
        "name": scope.name,
        "version": scope.version,
        "attributes": _attributes(scope.attributes, budget),
    }
    return {name: value for name, value in told.items() if value}


def _event(event: Any, budget: Budget) -> dict[str, Json]:
    told = {
        "name": event.name,
        "time_ns": nanoseconds(event.time_unix_nano),
        "attributes": _attributes(event.attributes, budget),
    }
    return {name: value for name, value in told.items() if value not in (None, {})}


def _link(link: Any, budget: Budget) -> dict[str, Json]:
    told = {
        "trace_id": _identifier(link.trace_id),
        "span_id": _identifier(link.span_id),
        "trace_state": link.trace_state,
        "attributes": _attributes(link.attributes, budget),
    }
    return {name: value for name, value in told.items() if value not in (None, "", {})}
