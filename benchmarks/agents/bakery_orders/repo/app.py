from pathlib import Path

import yaml
from langchain_openai import ChatOpenAI
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

from orders import order_state

PROMPTS = yaml.safe_load((Path(__file__).parent / "prompts.yaml").read_text())


def respond(state):
    model = ChatOpenAI(model="gpt-4o-mini", temperature=0).bind_tools([order_state])
    system = ("system", PROMPTS["counter"]["system"])
    return {"messages": [model.invoke([system, *state["messages"]])]}


graph = StateGraph(MessagesState)
graph.add_node("respond", respond)
graph.add_node("tools", ToolNode([order_state], handle_tool_errors=False))
graph.add_edge(START, "respond")
graph.add_conditional_edges("respond", tools_condition)
graph.add_edge("tools", "respond")
agent = graph.compile(name="counter")


def answer(request):
    result = agent.invoke({"messages": [("user", request["question"])]})
    return {"answer": result["messages"][-1].content}
