"""Calls a model under OpenInference's instrumentation of the OpenAI client."""

import contextlib
import os

import openai
from openinference.instrumentation import using_attributes
from openinference.instrumentation.openai import OpenAIInstrumentor
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider(
    resource=Resource({"service.name": "oi-openai", "openinference.project.name": "lamps"})
)
exporter = OTLPSpanExporter(endpoint=os.environ["OTLP_URL"] + "/v1/traces")
provider.add_span_processor(BatchSpanProcessor(exporter))
OpenAIInstrumentor().instrument(tracer_provider=provider)

client = openai.OpenAI(base_url=os.environ["MODEL_URL"], api_key="none", max_retries=0)
parameters = {"type": "object", "properties": {"lamp": {"type": "string"}}}
tools = [{"type": "function", "function": {"name": "get_price", "parameters": parameters}}]
with using_attributes(
    session_id="session-7", user_id="user-7", metadata={"shop": "north"}, tags=["spring"]
):
    messages = [
        {"role": "system", "content": "You sell lamps."},
        {"role": "user", "content": "Price of Luna, bitte, für Zürich?"},
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
