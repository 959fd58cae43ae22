from typing import TypedDict

from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph

from catalogue import Catalogue


class State(TypedDict, total=False):
    question: str
    pages: list
    answer: str


def look_up(state):
    return {"pages": [page.page_content for page in Catalogue().invoke(state["question"])]}


def respond(state):
    pages = "\n".join(f"[{number}] {page}" for number, page in enumerate(state["pages"], 1))
    prompt = f"You advise gardeners. Use only the provided passages; say you do not know if they are silent.\n{pages}\n\nQuestion: {state['question']}"
    return {"answer": ChatOpenAI(model="gpt-4o-mini", temperature=0).invoke(prompt).content}


graph = StateGraph(State)
graph.add_node("look_up", look_up)
graph.add_node("respond", respond)
graph.add_edge(START, "look_up")
graph.add_edge("look_up", "respond")
graph.add_edge("respond", END)
agent = graph.compile(name="gardener")


def answer(request):
    return {"answer": agent.invoke({"question": request["question"]})["answer"]}
