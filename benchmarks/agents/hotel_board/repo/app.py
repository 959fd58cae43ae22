from pathlib import Path
from typing import TypedDict

from langchain_core.messages import HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph

AGENTS = Path(__file__).parent / "agents"


class State(TypedDict, total=False):
    question: str
    desk: str
    answer: str


def ask(role, question):
    system = (AGENTS / f"{role}.txt").read_text()
    model = ChatOpenAI(model="gpt-4o-mini", temperature=0)
    return model.invoke([SystemMessage(system), HumanMessage(question)]).content


def supervisor(state):
    return {"desk": ask("supervisor", state["question"])}


def spa(state):
    return {"answer": ask("spa", state["question"])}


def kitchen(state):
    return {"answer": ask("kitchen", state["question"])}


graph = StateGraph(State)
for node in (supervisor, spa, kitchen):
    graph.add_node(node.__name__, node)
graph.add_edge(START, "supervisor")
graph.add_conditional_edges("supervisor", lambda s: s["desk"] if s["desk"] in ("spa", "kitchen") else END)
agent = graph.compile(name="front_desk")


def answer(request):
    return {"answer": agent.invoke({"question": request["question"]}).get("answer")}
