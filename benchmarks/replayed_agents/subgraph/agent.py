# A user's program, written as users write them.
# ruff: noqa: ANN001, ANN201, D101, D103
"""A graph with a subgraph and a checkpointer; the subgraph drafts and judges in turns."""

import operator
import time
import uuid
from typing import Annotated, TypedDict

from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph

model = ChatOpenAI(model="small-1", temperature=1.0)


class Draft(TypedDict):
    topic: str
    drafts: Annotated[list[str], operator.add]


def write(state: Draft):
    number = len(state["drafts"]) + 1
    said = model.invoke(
        f"[{uuid.uuid4().hex[:8]}] {time.strftime('%A %d %B %Y, %H:%M')}: "
        f"draft {number} about {state['topic']}, not {state['drafts']}"
    )
    return {"drafts": [said.content]}


def is_enough(state: Draft):
    return END if len(state["drafts"]) >= 3 or len(state["drafts"][-1]) > 40 else "write"


inner = StateGraph(Draft)
inner.add_node("write", write)
inner.add_edge(START, "write")
inner.add_conditional_edges("write", is_enough)
drafting = inner.compile()


class Whole(Draft):
    verdict: str


def judge(state: Whole):
    said = model.invoke(f"Job {uuid.uuid1()}: which is best? " + " | ".join(state["drafts"]))
    return {"verdict": said.content}


outer = StateGraph(Whole)
outer.add_node("drafting", drafting)
outer.add_node("judge", judge)
outer.add_edge(START, "drafting")
outer.add_edge("drafting", "judge")
outer.add_edge("judge", END)
agent = outer.compile(checkpointer=InMemorySaver())


def answer(request):
    """Write about a topic."""
    config = {"configurable": {"thread_id": str(uuid.uuid4())}}
    return agent.invoke({"topic": request["question"], "drafts": []}, config)
