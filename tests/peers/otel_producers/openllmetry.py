"""Runs decorated functions and a LangChain agent under OpenLLMetry (traceloop-sdk)."""

import contextlib
import os

import openai
from langchain.agents import create_agent
from langchain_core.tools import tool as langchain_tool
from langchain_openai import ChatOpenAI
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from traceloop.sdk import Traceloop
from traceloop.sdk.decorators import agent, task, tool, workflow

exporter = OTLPSpanExporter(endpoint=os.environ["OTLP_URL"] + "/v1/traces")
Traceloop.init(app_name="lamps", exporter=exporter, disable_batch=False)
Traceloop.set_association_properties({"user_id": "user-7", "session_id": "session-7"})
client = openai.OpenAI(base_url=os.environ["MODEL_URL"], api_key="none", max_retries=0)


@tool(name="look_up")
def look_up(lamp: str) -> list[str]:
    """A tool."""
    return ["Luna", lamp]


@task(name="fail")
def fail() -> None:
    """A task that fails."""
    raise ValueError("no such lamp")


@agent(name="seller")
def seller(question: str) -> str:
    """An agent."""
    look_up(question)
    with contextlib.suppress(ValueError):
        fail()
    messages = [
        {"role": "system", "content": "You sell lamps."},
        {"role": "user", "content": question},
    ]
    answer = client.chat.completions.create(
        model="gpt-4o-mini", temperature=0.2, messages=messages
    )
    return answer.choices[0].message.content


@workflow(name="sell")
def sell(question: str) -> str:
    """A workflow."""
    return seller(question)


@langchain_tool
def get_price(lamp: str) -> str:
    """Price of a lamp in euros."""
    return "29"


sell("How bright?")
model = ChatOpenAI(
    model="gpt-4o-mini", base_url=os.environ["MODEL_URL"], api_key="none", max_retries=0
)
chain = create_agent(model, [get_price], system_prompt="You sell lamps.", name="seller-chain")
chain.invoke({"messages": [("user", "Price of Luna?")]})
trace.get_tracer_provider().shutdown()
