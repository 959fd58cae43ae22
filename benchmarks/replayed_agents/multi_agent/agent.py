# A user's program, written as users write them.
# ruff: noqa: ANN001, ANN201, ANN202, D103
"""A supervisor that hands work to two agents, each a graph with tools of its own."""

import random
import uuid
from datetime import UTC, datetime
from typing import Annotated, Literal

from langchain_anthropic import ChatAnthropic
from langchain_core.tools import InjectedToolCallId, tool
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import Command


@tool
def count(word: str) -> int:
    """Count a word in the archive."""
    return random.randint(0, 1000)


@tool
def note(text: str, call_id: Annotated[str, InjectedToolCallId]) -> str:
    """Keep a note."""
    return f"kept {uuid.uuid4()}: {text}"


def worker(name, model, tools):
    """One agent."""

    def think(state):
        system = f"You are {name}. {datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ} {uuid.uuid4()}"
        said = model.bind_tools(tools).invoke([("system", system), *state["messages"]])
        said.name = name
        return {"messages": [said]}

    graph = StateGraph(MessagesState)
    graph.add_node("think", think)
    graph.add_node("tools", ToolNode(tools))
    graph.add_edge(START, "think")
    graph.add_conditional_edges("think", tools_condition, {"tools": "tools", END: END})
    graph.add_edge("tools", "think")
    return graph.compile(name=name)


openai_model = ChatOpenAI(model="small-1", temperature=0.9, max_retries=8)
claude = ChatAnthropic(model="claude-small", max_tokens=100, temperature=0.9, max_retries=8)
researcher = worker("researcher", openai_model, [count])
writer = worker("writer", claude, [note])


def supervise(state) -> Command[Literal["researcher", "writer", "__end__"]]:
    turns = sum(1 for message in state["messages"] if message.type == "human")
    said = openai_model.invoke(f"Who is next? Turn {turns}, run {uuid.uuid4()}")
    if turns > 2:
        return Command(goto=END)
    goto = "researcher" if len(said.content) % 2 else "writer"
    return Command(goto=goto)


def research(state):
    result = researcher.invoke({"messages": [("user", state["messages"][-1].text)]})
    return {"messages": [("user", result["messages"][-1].text)]}


def write(state):
    result = writer.invoke({"messages": [("user", state["messages"][-1].text)]})
    return {"messages": [("user", result["messages"][-1].text)]}


graph = StateGraph(MessagesState)
graph.add_node("supervise", supervise)
graph.add_node("researcher", research)
graph.add_node("writer", write)
graph.add_edge(START, "supervise")
graph.add_edge("researcher", "supervise")
graph.add_edge("writer", "supervise")
team = graph.compile(name="team")


def answer(request):
    """Have the team work."""
    result = team.invoke({"messages": [("user", request["question"])]})
    return [message.text for message in result["messages"]]
