# A user's program, written as users write them.
# ruff: noqa: ANN001, ANN201, D103
"""A LangGraph agent with tools; the prompt tells the time and names the request."""

import random
import uuid
from datetime import UTC, datetime

from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition


@tool
def weather(city: str) -> str:
    """The weather of a city now."""
    return f"{city}: {random.randint(-5, 30)} degrees at {datetime.now(UTC):%H:%M:%S}"


@tool
def ticket(title: str, priority: int) -> dict:
    """Open a ticket."""
    return {"id": str(uuid.uuid4()), "title": title, "priority": priority}


def respond(state):
    model = ChatOpenAI(model="small-1", temperature=0.8).bind_tools([weather, ticket])
    system = f"It is {datetime.now(UTC).isoformat()}. Request {uuid.uuid4()}. Be short."
    return {"messages": [model.invoke([("system", system), *state["messages"]])]}


graph = StateGraph(MessagesState)
graph.add_node("respond", respond)
graph.add_node("tools", ToolNode([weather, ticket]))
graph.add_edge(START, "respond")
graph.add_conditional_edges("respond", tools_condition, {"tools": "tools", END: END})
graph.add_edge("tools", "respond")
agent = graph.compile(name="clerk")


def answer(request):
    """Answer one question."""
    result = agent.invoke({"messages": [("user", request["question"])]})
    return {"answer": result["messages"][-1].content, "turns": len(result["messages"])}
