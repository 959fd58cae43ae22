from typing import TypedDict

from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI
from langgraph.graph import START, StateGraph

PROMPT = ChatPromptTemplate.from_messages(
    [
        (
            "system",
            "You define terms of the glass trade for apprentices.\n{entries}",
        ),
        ("user", "{question}"),
    ]
)
ENTRIES = """[1] A gather is a lump of molten glass on the end of the pipe.
[2] A punty is a solid iron rod that holds the vessel.
[3] A lehr is an oven in which glass cools slowly."""


class State(TypedDict, total=False):
    question: str
    answer: str


def define(state):
    model = ChatOpenAI(model="gpt-4o-mini", temperature=0)
    asked = PROMPT.invoke({"entries": ENTRIES, "question": state["question"]})
    return {"answer": model.invoke(asked).content}


inner = StateGraph(State)
inner.add_node("define", define)
inner.add_edge(START, "define")
glossary = inner.compile(name="glossary")
