"""The support agent of Lumen Notes: retrieve documents, answer, look up accounts on the way."""

import json
from pathlib import Path

from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

from retrieval import DocumentRetriever

HERE = Path(__file__).parent
SYSTEM_PROMPT = (HERE / "prompts" / "system.md").read_text(encoding="utf-8")

retriever = DocumentRetriever(folder=HERE / "documents")


class SupportState(MessagesState):
    """What the steps of the graph share."""

    question: str
    customer: str
    documents: str


@tool
def look_up_account(customer_id: str) -> str:
    """Plan, seats and renewal date of a customer's account."""
    accounts = json.loads((HERE / "accounts.json").read_text(encoding="utf-8"))
    account = accounts.get(customer_id)
    if account is None:
        return f"There is no account {customer_id}."
    return (
        f"{account['name']} is on the {account['plan']} plan. "
        f"The account has {account['seats']} seats. "
        f"It renews on {account['renews']}."
    )


def retrieve(state: SupportState) -> dict:
    """Find the documents the answer will rest on."""
    found = retriever.invoke(state["question"])
    documents = "\n\n".join(
        f'<document title="{document.metadata["title"]}" updated="{document.metadata["updated"]}">\n'
        f"{document.page_content}\n"
        "</document>"
        for document in found
    )
    return {"documents": documents}


def respond(state: SupportState) -> dict:
    """Ask the model, which may ask for the account first."""
    model = ChatOpenAI(model="gpt-4o-mini", temperature=0).bind_tools([look_up_account])
    system = SystemMessage(SYSTEM_PROMPT.format(documents=state["documents"]))
    return {"messages": [model.invoke([system, *state["messages"]])]}


def build_graph():
    """The agent: retrieve, then answer and call tools until there is nothing left to call."""
    graph = StateGraph(SupportState)
    graph.add_node("retrieve", retrieve)
    graph.add_node("respond", respond)
    graph.add_node("tools", ToolNode([look_up_account]))
    graph.add_edge(START, "retrieve")
    graph.add_edge("retrieve", "respond")
    graph.add_conditional_edges("respond", tools_condition, {"tools": "tools", END: END})
    graph.add_edge("tools", "respond")
    return graph.compile(name="support_agent")


agent = build_graph()


def answer(request: dict) -> dict:
    """Answer one question: `{"question", "customer"}` in, `{"answer"}` out."""
    customer = request.get("customer", "unknown")
    message = HumanMessage(f"Customer: {customer}\nQuestion: {request['question']}")
    state = {"question": request["question"], "customer": customer, "messages": [message]}
    result = agent.invoke(state)
    return {"answer": result["messages"][-1].content}
