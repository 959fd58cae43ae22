"""Runs an agent of the OpenAI Agents SDK under OpenInference's instrumentation."""

import asyncio
import os

from agents import Agent, OpenAIChatCompletionsModel, Runner, function_tool
from openai import AsyncOpenAI
from openinference.instrumentation.openai_agents import OpenAIAgentsInstrumentor
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider(resource=Resource({"openinference.project.name": "lamps"}))
exporter = OTLPSpanExporter(endpoint=os.environ["OTLP_URL"] + "/v1/traces")
provider.add_span_processor(BatchSpanProcessor(exporter))
OpenAIAgentsInstrumentor().instrument(tracer_provider=provider)


@function_tool
def get_price(lamp: str) -> str:
    """Price of a lamp in euros."""
    return "29"


async def main() -> None:
    """One question that needs the tool."""
    client = AsyncOpenAI(base_url=os.environ["MODEL_URL"], api_key="none", max_retries=0)
    model = OpenAIChatCompletionsModel(model="gpt-4o-mini", openai_client=client)
    agent = Agent(name="seller", instructions="You sell lamps.", tools=[get_price], model=model)
    await Runner.run(agent, "Price of Luna?")


asyncio.run(main())
provider.shutdown()
