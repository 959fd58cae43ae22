from langchain_openai import ChatOpenAI
from langgraph.prebuilt import create_react_agent

from accounts import reader_fines, reader_loans

SYSTEM = "You serve readers of the Tern Street library. Use the tools; only state what tool results say."


def answer(request):
    agent = create_react_agent(
        ChatOpenAI(model="gpt-4o-mini", temperature=0), [reader_fines, reader_loans], prompt=SYSTEM
    )
    result = agent.invoke({"messages": [("user", request["question"])]})
    return {"answer": result["messages"][-1].content}
