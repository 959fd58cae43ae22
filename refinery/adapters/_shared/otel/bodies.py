"""Bodies of requests and whole files, in either encoding, as spans and log records."""

import json
from dataclasses import dataclass, field

import orjson

from refinery.adapters._shared.otel import documents, protobuf
from refinery.adapters._shared.otel.spans import LogData, SpanData
from refinery.errors import TraceFormatError
from refinery.model.trace import Json


@dataclass(slots=True)
class Signals:
    """What a request or a file holds."""

    spans: list[SpanData] = field(default_factory=list)
    logs: list[LogData] = field(default_factory=list)


def spans_of(body: bytes, content_type: str) -> list[SpanData]:
    """Spans of a request to `/v1/traces`.

    Raises:
        TraceFormatError: it cannot be read.
    """
    if _is_json(content_type):
        return documents.spans_of(parse(body))
    return protobuf.spans_of(body)


def logs_of(body: bytes, content_type: str) -> list[LogData]:
    """Log records of a request to `/v1/logs`.

    Raises:
        TraceFormatError: it cannot be read.
    """
    if _is_json(content_type):
        return documents.logs_of(parse(body))
    return protobuf.logs_of(body)


def signals_of(document: Json) -> Signals:
    """Spans and records of a JSON value: a request, a span, or a list of either.

    Raises:
        TraceFormatError: it is none of these.
    """
    found = Signals()
    for item in document if isinstance(document, list) else [document]:
        if isinstance(item, dict) and any(k in item for k in ("resourceLogs", "resource_logs")):
            found.logs += documents.logs_of(item)
            if not any(k in item for k in ("resourceSpans", "resource_spans")):
                continue
        found.spans += documents.spans_of(item)
    return found


def signals_of_protobuf(content: bytes) -> Signals:
    """Spans or records of a file in protobuf, which does not say itself which it holds.

    Raises:
        TraceFormatError: it holds neither.
    """
    try:
        spans = protobuf.spans_of(content)
        if all(span.trace_id and span.span_id for span in spans):
            return Signals(spans)
    except TraceFormatError:
        spans = []
    logs = protobuf.logs_of(content)
    if logs and all(log.time_ns or log.name or log.body is not None for log in logs):
        return Signals(logs=logs)
    if not spans:
        raise TraceFormatError(
            "neither spans nor log records in the file", hint="is it an OTLP request, and whole?"
        )
    return Signals(spans)


def parse(body: bytes) -> Json:
    """JSON of a body.

    Raises:
        TraceFormatError: it is none.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass  # no JSON at all, or what only the slower reader takes: NaN, lone surrogates, a BOM
    try:
        return json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, ValueError) else "nested too deeply"
        raise TraceFormatError(
            f"not JSON: {reason}"[:300], hint="is the content type right, and the body whole?"
        ) from error


def _is_json(content_type: str) -> bool:
    """Whether a content type says JSON; a request without one is taken as protobuf.

    Raises:
        TraceFormatError: it says neither.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        return True
    if kind in ("", "application/x-protobuf", "application/protobuf", "application/octet-stream"):
        return False
    raise TraceFormatError(
        f"content type {kind[:100]!r} is not read",
        hint="send application/x-protobuf or application/json",
    )
