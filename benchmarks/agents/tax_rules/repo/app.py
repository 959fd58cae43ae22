from typing import TypedDict

from langchain_openai import ChatOpenAI
from langgraph.graph import START, StateGraph

from rules import Rules


class State(TypedDict, total=False):
    question: str
    rules: str
    answer: str


def look_up(state):
    found = Rules().invoke(state["question"])
    return {
        "rules": "\n".join(
            f'<document published="{d.metadata["published"]}">{d.page_content}</document>' for d in found
        )
    }


def respond(state):
    prompt = f"""You explain travel expenses at Brandt and Sons.
Use only the documents.
{state["rules"]}
Question: {state["question"]}"""
    return {"answer": ChatOpenAI(model="gpt-4o-mini", temperature=0).invoke(prompt).content}


graph = StateGraph(State)
graph.add_node("look_up", look_up)
graph.add_node("respond", respond)
graph.add_edge(START, "look_up")
graph.add_edge("look_up", "respond")
agent = graph.compile()


def answer(request):
    return {"answer": agent.invoke({"question": request["question"]})["answer"]}
