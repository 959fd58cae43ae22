"""Sends spans to Phoenix, annotates one, and keeps what Phoenix's own client reads back."""

import json
import os
import time
from pathlib import Path

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Status, StatusCode
from phoenix.client import Client

URL = os.environ["PHOENIX_URL"]
provider = TracerProvider(resource=Resource({"openinference.project.name": "shop"}))
kept = InMemorySpanExporter()
provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{URL}/v1/traces")))
provider.add_span_processor(SimpleSpanProcessor(kept))
tracer = provider.get_tracer("shop")
question = {"messages": [{"role": "user", "content": "Weather?"}]}
for number in range(6):
    about = {
        "openinference.span.kind": "AGENT",
        "input.value": f"question {number}",
        "session.id": "s-1",
        "tag.tags": ["a", "b"],
        "metadata": json.dumps({"team": "blue", "number": number}),
    }
    with tracer.start_as_current_span("agent", attributes=about) as agent:
        said = {
            "openinference.span.kind": "LLM",
            "llm.model_name": "gpt-4o",
            "llm.token_count.prompt": 10,
            "llm.token_count.completion": 2,
            "llm.token_count.total": 12,
            "llm.input_messages.0.message.role": "user",
            "llm.input_messages.0.message.content": "Weather?",
            "input.value": json.dumps(question),
            "input.mime_type": "application/json",
            "output.value": "Sunny",
        }
        with tracer.start_as_current_span("llm", attributes=said):
            pass
        tool = {"openinference.span.kind": "TOOL", "tool.name": "weather", "input.value": "Paris"}
        try:
            with tracer.start_as_current_span("tool", attributes=tool):
                if number == 1:
                    raise ValueError("no such city")
        except ValueError:
            pass
        agent.set_status(Status(StatusCode.OK))
provider.force_flush()
spans = kept.get_finished_spans()
Path("request.pb").write_bytes(encode_spans(spans).SerializeToString())

client = Client(base_url=URL)
until = time.monotonic() + 30
found = []
while len(found) < len(spans) and time.monotonic() < until:
    time.sleep(0.3)
    found = client.spans.get_spans(project_identifier="shop", limit=1000)
first = spans[0]
client.spans.add_span_annotation(
    span_id=format(first.context.span_id, "016x"),
    annotation_name="tone",
    annotator_kind="HUMAN",
    label="friendly",
    score=0.75,
    explanation="nice",
    sync=True,
)
Path("spans.json").write_text(json.dumps({"data": found}, default=str))
table = client.spans.get_spans_dataframe(project_identifier="shop", limit=1000)
table.to_json("rows.jsonl", orient="records", lines=True, date_format="iso", date_unit="us")
table.to_parquet("rows.parquet")
print(json.dumps(found, default=str))
