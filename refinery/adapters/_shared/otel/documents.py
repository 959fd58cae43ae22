"""OTLP as JSON, read as liberally as it is written in the wild.

By the specification (OTLP 1.5) ids are hexadecimal, names in camel case, times strings and enums
numbers. Also read are base64 ids, ids of other lengths, snake case with nulls for the alternatives
of a value (Phoenix), enum names, numbers where strings belong (OpenTelemetry for JavaScript), and
attributes given as a plain object.
"""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Any

from refinery.adapters._shared.otel.limits import Budget, number
from refinery.adapters._shared.otel.spans import LogData, SpanData
from refinery.errors import TraceFormatError
from refinery.model.trace import Json

_HEX = re.compile(r"[0-9a-fA-F]+\Z")
_SPAN_KINDS = ("", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
_STATUS = ("UNSET", "OK", "ERROR")
_VALUES = ("string", "bool", "int", "double", "array", "kvlist", "bytes")
_MAX_ID = 256
_NEVER = 2**63


def spans_of(document: Json) -> list[SpanData]:
    """Every span of an export request, or of a list of them.

    Raises:
        TraceFormatError: it is no export request, or holds more than is read.
    """
    budget = Budget()
    found: list[SpanData] = []
    for request in document if isinstance(document, list) else [document]:
        if _is_span(request):
            budget.count_item()
            found.append(span_of(request, budget=budget))
            continue
        groups = _groups(request, "resourceSpans", "resource_spans")
        for group, scoped in _scopes(groups, ("scopeSpans", "instrumentationLibrarySpans")):
            resource = _attributes(_get(_map(_get(group, "resource")), "attributes"), budget)
            scope = _scope(scoped, budget)
            for item in _list(_get(scoped, "spans")):
                if isinstance(item, Mapping):
                    budget.count_item()
                    found.append(span_of(item, resource, scope, budget))
    return found


def logs_of(document: Json) -> list[LogData]:
    """Every log record of an export request, or of a list of them.

    Raises:
        TraceFormatError: it is no export request, or holds more than is read.
    """
    budget = Budget()
    found: list[LogData] = []
    for request in document if isinstance(document, list) else [document]:
        groups = _groups(request, "resourceLogs", "resource_logs")
        for group, scoped in _scopes(groups, ("scopeLogs", "instrumentationLibraryLogs")):
            resource = _attributes(_get(_map(_get(group, "resource")), "attributes"), budget)
            scope = _scope(scoped, budget)
            for item in _list(_get(scoped, "logRecords")):
                if isinstance(item, Mapping):
                    budget.count_item()
                    found.append(_log(item, resource, scope, budget))
    return found


def _is_span(document: Json) -> bool:
    """Whether a JSON value is a span without its request, as some file exporters write it."""
    return bool(_get(document, "spanId") and _get(document, "traceId"))


def span_of(
    item: Mapping[str, Json],
    resource: dict[str, Json] | None = None,
    scope: dict[str, Json] | None = None,
    budget: Budget | None = None,
) -> SpanData:
    """One span as JSON; missing fields stay empty."""
    budget = budget or Budget()
    budget.begin()
    status = _map(_get(item, "status"))
    around = dict(scope or {})
    attributes = _attributes(_get(item, "attributes"), budget)
    events = [_event(e, budget) for e in budget.limited(_get(item, "events"), "events")]
    links = [_link(e, budget) for e in budget.limited(_get(item, "links"), "links")]
    details = {
        "trace_state": _get(item, "traceState"),
        "flags": _get(item, "flags"),
        **{n: _get(item, n) for n in ("droppedAttributesCount", "droppedEventsCount")},
        "scope_version": around.get("version"),
        "scope_attributes": around.get("attributes"),
        **budget.notes(),
    }
    return SpanData(
        trace_id=identifier(_get(item, "traceId"), 16),
        span_id=identifier(_get(item, "spanId"), 8),
        parent_id=identifier(_get(item, "parentSpanId"), 8) or None,
        name=budget.text(_text(_get(item, "name"))),
        start_ns=nanoseconds(_get(item, "startTimeUnixNano")),
        end_ns=nanoseconds(_get(item, "endTimeUnixNano")),
        status_code=_enum(_get(status, "code"), _STATUS, "STATUS_CODE_") or "UNSET",
        status_message=budget.text(_text(_get(status, "message"))),
        attributes=attributes,
        events=events,
        links=links,
        resource=resource or {},
        scope=_text(around.get("name")),
        span_kind=_enum(_get(item, "kind"), _SPAN_KINDS, "SPAN_KIND_") or None,
        details={name: value for name, value in details.items() if value not in (None, "", 0, {})},
    )


def _log(
    item: Mapping[str, Json], resource: dict[str, Json], scope: dict[str, Json], budget: Budget
) -> LogData:
    budget.begin()
    attributes = _attributes(_get(item, "attributes"), budget)
    name = _text(_get(item, "eventName")) or _text(attributes.get("event.name"))
    time_ns = nanoseconds(_get(item, "timeUnixNano"))
    body = _get(item, "body")
    return LogData(
        name=name,
        body=value_of(body, budget) if isinstance(body, Mapping) else budget.plain(body),
        attributes=attributes,
        time_ns=time_ns or nanoseconds(_get(item, "observedTimeUnixNano")),
        trace_id=identifier(_get(item, "traceId"), 16),
        span_id=identifier(_get(item, "spanId"), 8),
        severity=_text(_get(item, "severityText")),
        resource=resource,
        scope=_text(scope.get("name")),
        details=budget.notes(),
    )


def identifier(value: Json, size: int) -> str:
    """An id in lower-case hexadecimal, given so or in base64; any other text as it is.

    Args:
        value: as the source wrote it; all zeros mean none.
        size: length in bytes by the specification, to tell base64 from hexadecimal.
    """
    if not isinstance(value, str) or not value:
        return ""
    if _HEX.match(value):
        return value.lower()[:_MAX_ID] if value.strip("0") else ""
    try:
        packed = base64.b64decode(value + "=" * (-len(value) % 4), altchars=None, validate=True)
    except (binascii.Error, ValueError):
        packed = b""
    if len(packed) == size:
        return packed.hex() if any(packed) else ""
    return value[:_MAX_ID].encode("utf-8", "replace").decode("utf-8")


def nanoseconds(value: Json) -> int | None:
    """A time in nanoseconds since the Unix epoch; None for zero and for what is none."""
    if isinstance(value, str) and value.isdecimal() and len(value) < 20:
        value = int(value)
    if isinstance(value, float) and 0 < value < _NEVER:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < _NEVER:
        return None
    return value


def value_of(value: Json, budget: Budget, depth: int = 0) -> Json:
    """An `AnyValue` as plain JSON; what is none is taken as plain JSON already."""
    if not isinstance(value, Mapping):
        return budget.plain(value)
    if budget.is_too_deep(depth):
        return "…"
    for kind in _VALUES:
        held = _get(value, f"{kind}Value")
        if held is not None:
            return _held(kind, held, budget, depth)
    known = {f"{kind}Value" for kind in _VALUES} | {f"{kind}_value" for kind in _VALUES}
    return None if set(value) <= known else budget.plain(dict(value))


def _held(kind: str, held: Json, budget: Budget, depth: int) -> Json:
    if kind == "array":
        items = _list(_get(held, "values")) if isinstance(held, Mapping) else _list(held)
        return [value_of(item, budget, depth + 1) for item in items]
    if kind == "kvlist":
        return _pairs(_get(held, "values") if isinstance(held, Mapping) else held, budget, depth)
    if kind == "int":
        return _integer(held)
    if kind == "bytes":
        return {"__base64__": budget.text(_text(held))}
    return budget.plain(held)


def _integer(value: Json) -> Json:
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,20}", value):
        return number(int(value))
    return number(value) if isinstance(value, int | float) else value


def _pairs(values: Json, budget: Budget, depth: int) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for pair in _list(values):
        if isinstance(pair, Mapping) and isinstance(_get(pair, "key"), str):
            name = _clean(pair["key"])
            found[name] = budget.named(name, value_of(_get(pair, "value"), budget, depth + 1))
    return found


def _attributes(given: Json, budget: Budget) -> dict[str, Json]:
    """Attributes given as pairs, or as a plain object."""
    if isinstance(given, Mapping):
        return {_clean(str(name)): budget.plain(value) for name, value in given.items()}
    return _pairs(budget.limited(given, "attributes"), budget, 0)


def _event(item: Json, budget: Budget) -> dict[str, Json]:
    event = _map(item)
    told: dict[str, Json] = {
        "name": _text(_get(event, "name")),
        "time_ns": nanoseconds(_get(event, "timeUnixNano")),
        "attributes": _attributes(_get(event, "attributes"), budget),
    }
    return {name: value for name, value in told.items() if value not in (None, {})}


def _link(item: Json, budget: Budget) -> dict[str, Json]:
    link = _map(item)
    told: dict[str, Json] = {
        "trace_id": identifier(_get(link, "traceId"), 16),
        "span_id": identifier(_get(link, "spanId"), 8),
        "trace_state": _get(link, "traceState"),
        "attributes": _attributes(_get(link, "attributes"), budget),
    }
    return {name: value for name, value in told.items() if value not in (None, "", {})}


def _scope(scoped: Mapping[str, Json], budget: Budget) -> dict[str, Json]:
    scope = _map(_get(scoped, "scope") or _get(scoped, "instrumentationLibrary"))
    told: dict[str, Json] = {
        "name": _text(_get(scope, "name")),
        "version": _text(_get(scope, "version")),
        "attributes": _attributes(_get(scope, "attributes"), budget),
    }
    return {name: value for name, value in told.items() if value}


def _groups(request: Json, *names: str) -> list[Json]:
    if not isinstance(request, Mapping):
        raise TraceFormatError(
            f"an export request must be an object, not {type(request).__name__}",
            hint="send OTLP, as ExportTraceServiceRequest or ExportLogsServiceRequest",
        )
    for name in names:
        if name in request:
            return _list(request[name])
    if request:
        raise TraceFormatError(
            f"no `{names[0]}` in the request",
            hint="traces go to /v1/traces, logs to /v1/logs",
        )
    return []


def _scopes(
    groups: list[Json], names: tuple[str, ...]
) -> Iterator[tuple[Mapping[str, Json], Mapping[str, Json]]]:
    """Each scope with the resource it stands under."""
    for group in groups:
        if isinstance(group, Mapping):
            for name in names:
                for scoped in _list(_get(group, name)):
                    if isinstance(scoped, Mapping):
                        yield group, scoped


def _get(item: Any, name: str) -> Json:
    """A member by its camel-case name, or by the same name in snake case."""
    if not isinstance(item, Mapping):
        return None
    if name in item:
        return item[name]
    return item.get(_snake(name))


_SNAKE: dict[str, str] = {}


def _snake(name: str) -> str:
    known = _SNAKE.get(name)
    if known is None:
        known = _SNAKE[name] = re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()
    return known


def _enum(value: Json, names: tuple[str, ...], prefix: str) -> str:
    """The name of an enum's value, given as number or name; empty for an unknown one."""
    if isinstance(value, str):
        name = value.upper().removeprefix(prefix)
        if name.isdecimal() and len(name) < 4:
            value = int(name)
        else:
            return name if name in names else ""
    if isinstance(value, int) and 0 <= value < len(names):
        return names[value]
    return ""


def _map(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _text(value: Json) -> str:
    return _clean(value) if isinstance(value, str) else ""


def _clean(text: str) -> str:
    """Text without lone surrogates, which no file can hold."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
