"""OpenTelemetry's SDK: batch processor, OTLP/HTTP, JSON by orjson, to the stub."""

import http.client
import os
import sys
from collections.abc import Sequence
from typing import Any

import orjson
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from benchmarks.recording.workload import Payload, burst, report


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    return {"doubleValue": value} if isinstance(value, float) else {"stringValue": str(value)}


def _span(span: ReadableSpan) -> dict[str, Any]:
    context = span.get_span_context()
    assert context is not None
    return {
        "traceId": f"{context.trace_id:032x}",
        "spanId": f"{context.span_id:016x}",
        "parentSpanId": f"{span.parent.span_id:016x}" if span.parent else "",
        "name": span.name,
        "kind": span.kind.value + 1,
        "startTimeUnixNano": str(span.start_time),
        "endTimeUnixNano": str(span.end_time),
        "attributes": [
            {"key": key, "value": _value(value)} for key, value in (span.attributes or {}).items()
        ],
        "status": {"code": span.status.status_code.value},
    }


class JsonExporter(SpanExporter):
    """Posts batches as OTLP JSON."""

    def __init__(self, address: str) -> None:
        self._connection = http.client.HTTPConnection(address)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Encode and send one batch."""
        resource = {"attributes": [{"key": "service.name", "value": _value("bench")}]}
        scopes = [{"scope": {"name": "bench"}, "spans": [_span(span) for span in spans]}]
        body = orjson.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": scopes}]})
        headers = {"Content-Type": "application/json", "X-Runs": str(len(spans))}
        self._connection.request("POST", "/v1/traces", body, headers)
        self._connection.getresponse().read()
        return SpanExportResult.SUCCESS


def main() -> None:
    """Measure, or with `burst` record as many runs as possible at once."""
    provider = TracerProvider(resource=Resource.create({"service.name": "bench"}))
    provider.add_span_processor(BatchSpanProcessor(JsonExporter(os.environ["STUB"])))
    trace.set_tracer_provider(provider)
    tracer = trace.get_tracer("bench")

    def call(inputs: Payload, outputs: Payload) -> None:
        with tracer.start_as_current_span("call") as span:
            span.set_attribute("gen_ai.operation.name", "chat")
            span.set_attribute("input.value", orjson.dumps(inputs).decode())
            span.set_attribute("output.value", orjson.dumps(outputs).decode())

    if "burst" in sys.argv:
        burst(call)
        provider.shutdown()
    else:
        report(call, provider.force_flush)


if __name__ == "__main__":
    main()
