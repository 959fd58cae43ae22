"""Runs a LangChain agent, once well and once with a failing tool, under OpenInference."""

import contextlib
import os

from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from openinference.instrumentation.langchain import LangChainInstrumentor
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider(resource=Resource({"openinference.project.name": "lamps"}))
exporter = OTLPSpanExporter(endpoint=os.environ["OTLP_URL"] + "/v1/traces")
provider.add_span_processor(BatchSpanProcessor(exporter))
LangChainInstrumentor().instrument(tracer_provider=provider)

is_broken = False


@tool
def get_price(lamp: str) -> str:
    """Price of a lamp in euros."""
    if is_broken:
        raise ValueError(f"no price for {lamp}")
    return "29"


model = ChatOpenAI(
    model="gpt-4o-mini", base_url=os.environ["MODEL_URL"], api_key="none", max_retries=0
)
agent = create_agent(model, [get_price], system_prompt="You sell lamps.", name="seller")
config = {"metadata": {"thread_id": "session-7", "user_id": "user-7"}, "tags": ["spring"]}
question = {"messages": [("user", "Price of Luna?")]}
agent.invoke(question, config)
is_broken = True
with contextlib.suppress(ValueError):
    agent.invoke(question, config)
provider.shutdown()
