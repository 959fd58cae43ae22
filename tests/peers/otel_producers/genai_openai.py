"""Calls a model under OpenTelemetry's own instrumentation; content goes where it is told to."""

import contextlib
import os

import openai
from opentelemetry import _logs, trace
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

url = os.environ["OTLP_URL"]
resource = Resource({"service.name": "lamps"})
provider = TracerProvider(resource=resource)
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{url}/v1/traces")))
trace.set_tracer_provider(provider)
logger = LoggerProvider(resource=resource)
logger.add_log_record_processor(
    BatchLogRecordProcessor(OTLPLogExporter(endpoint=f"{url}/v1/logs"))
)
_logs.set_logger_provider(logger)
OpenAIInstrumentor().instrument()

client = openai.OpenAI(base_url=os.environ["MODEL_URL"], api_key="none", max_retries=0)
parameters = {"type": "object", "properties": {"lamp": {"type": "string"}}}
tools = [{"type": "function", "function": {"name": "get_price", "parameters": parameters}}]
with trace.get_tracer("shop").start_as_current_span("sell"):
    messages = [
        {"role": "system", "content": "You sell lamps."},
        {"role": "user", "content": "Price of Luna?"},
    ]
    answer = client.chat.completions.create(
        model="gpt-4o-mini", temperature=0.2, messages=messages, tools=tools
    )
    called = answer.choices[0].message
    messages += [
        called.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": called.tool_calls[0].id, "content": "29"},
    ]
    client.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=tools)
    stream = client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": "stream"}], stream=True
    )
    list(stream)
    with contextlib.suppress(openai.RateLimitError):
        client.chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": "too many"}]
        )
provider.shutdown()
logger.shutdown()
