"""Runs a LangChain agent and traced functions with LangSmith's SDK in OTEL mode."""

import os

os.environ["LANGSMITH_TRACING"] = "true"
os.environ["LANGSMITH_TRACING_MODE"] = "otel"
os.environ["LANGSMITH_OTEL_ENABLED"] = "true"
os.environ["LANGSMITH_OTEL_ONLY"] = "true"
os.environ["LANGSMITH_ENDPOINT"] = os.environ["OTLP_URL"]
os.environ["LANGSMITH_API_KEY"] = "example"
os.environ["LANGSMITH_PROJECT"] = "lamps"

import contextlib

from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_core.tracers.langchain import wait_for_all_tracers
from langchain_openai import ChatOpenAI
from langsmith import traceable
from langsmith.run_trees import get_cached_client
from opentelemetry import trace


@tool
def get_price(lamp: str) -> str:
    """Price of a lamp in euros."""
    return "29"


@traceable(run_type="tool", tags=["spring", "lamp"], metadata={"thread_id": "session-7"})
def fail(lamp: str) -> str:
    """A traced function that fails."""
    raise ValueError(f"no {lamp}")


model = ChatOpenAI(
    model="gpt-4o-mini", base_url=os.environ["MODEL_URL"], api_key="none", max_retries=0
)
agent = create_agent(model, [get_price], system_prompt="You sell lamps.", name="seller")
agent.invoke(
    {"messages": [("user", "Price of Luna?")]},
    {"metadata": {"thread_id": "session-7"}, "tags": ["spring"]},
)
with contextlib.suppress(ValueError):
    fail("Luna")
wait_for_all_tracers()
get_cached_client().flush()

shut_down = getattr(trace.get_tracer_provider(), "force_flush", None)
if shut_down:
    shut_down()
