from pathlib import Path

from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.prebuilt import create_react_agent

STOCK = {"Yirgacheffe": "The warehouse holds 14 sacks of Yirgacheffe beans.", "Huila": "The warehouse holds 6 sacks of Huila beans."}


@tool
def search_beans(kind: str) -> str:
    """Search the warehouse for sacks of beans."""
    return next((text for name, text in STOCK.items() if name in kind), "")


def answer(request):
    agent = create_react_agent(
        ChatOpenAI(model="gpt-4o-mini", temperature=0),
        [search_beans],
        prompt=(Path(__file__).parent / "instructions.md").read_text(),
    )
    result = agent.invoke({"messages": [("user", request["question"])]}, {"recursion_limit": 9})
    return {"answer": result["messages"][-1].content}
