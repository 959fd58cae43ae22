import tomllib
from pathlib import Path

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI
from langgraph.graph import START, MessagesState, StateGraph

SHOP = tomllib.loads((Path(__file__).parent / "shop.toml").read_text())


def respond(state):
    kept = state["messages"][-SHOP["memory"]["window"] :]
    model = ChatOpenAI(model="gpt-4o-mini", temperature=0)
    return {"messages": [model.invoke([SystemMessage(SHOP["prompts"]["seller"]), *kept])]}


graph = StateGraph(MessagesState)
graph.add_node("respond", respond)
graph.add_edge(START, "respond")
agent = graph.compile()


def answer(request):
    earlier = [HumanMessage(text) if n % 2 == 0 else AIMessage(text) for n, text in enumerate(request["earlier"])]
    result = agent.invoke({"messages": [*earlier, HumanMessage(request["question"])]})
    return {"answer": result["messages"][-1].content}
