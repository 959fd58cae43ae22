"""Runs a pydantic-ai agent whose tool works and one whose tool fails, under logfire."""

import os

os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = os.environ["OTLP_URL"]

import contextlib

import logfire
from openai import AsyncOpenAI
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

logfire.configure(send_to_logfire=False, service_name="lamps", console=False)
logfire.instrument_pydantic_ai()

client = AsyncOpenAI(base_url=os.environ["MODEL_URL"], api_key="none", max_retries=0)
model = OpenAIChatModel("gpt-4o-mini", provider=OpenAIProvider(openai_client=client))
seller = Agent(model, name="seller", system_prompt="You sell lamps.")
broken = Agent(model, name="broken", instructions="You sell lamps.")


@seller.tool_plain
def get_price(lamp: str) -> str:
    """Price of a lamp in euros."""
    return "29"


@broken.tool_plain(name="get_price")
def get_no_price(lamp: str) -> str:
    """Price of a lamp in euros."""
    raise ValueError(f"no price for {lamp}")


seller.run_sync("Price of Luna?", model_settings={"temperature": 0.2})
with contextlib.suppress(ValueError):
    broken.run_sync("Price of Luna?")
logfire.shutdown()
