"""Records observations of every kind with Langfuse's SDK."""

import os

os.environ["LANGFUSE_PUBLIC_KEY"] = "pk-lf-example"
os.environ["LANGFUSE_SECRET_KEY"] = "example"
os.environ["LANGFUSE_HOST"] = os.environ["LANGFUSE_BASE_URL"] = os.environ["OTLP_URL"]

import contextlib

from langfuse import get_client, observe, propagate_attributes
from langfuse.openai import OpenAI

langfuse = get_client()
client = OpenAI(base_url=os.environ["MODEL_URL"], api_key="none", max_retries=0)


@observe(as_type="tool")
def get_price(lamp: str) -> dict[str, str]:
    """A tool."""
    return {"price": "29"}


@observe(as_type="retriever")
def find(question: str) -> list[str]:
    """A retriever."""
    return ["Luna shines."]


@observe()
def fail() -> None:
    """A span that fails."""
    raise ValueError("no such lamp")


@observe(as_type="agent")
def seller(question: str) -> str:
    """An agent."""
    get_price("Luna")
    find(question)
    with contextlib.suppress(ValueError):
        fail()
    with langfuse.start_as_current_observation(
        as_type="generation",
        name="draft",
        model="small-1",
        model_parameters={"temperature": 0.2},
        input=[{"role": "user", "content": question}],
    ) as draft:
        draft.update(
            output={"role": "assistant", "content": "29"},
            usage_details={"input": 10, "output": 5},
            cost_details={"input": 0.001, "output": 0.002},
        )
    answer = client.chat.completions.create(
        model="gpt-4o-mini", temperature=0.2, messages=[{"role": "user", "content": question}]
    )
    return answer.choices[0].message.content


with propagate_attributes(
    session_id="session-7", user_id="user-7", tags=["spring"], metadata={"shop": "north"}
):
    seller("How bright?")
langfuse.flush()
