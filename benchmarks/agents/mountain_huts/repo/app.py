from langchain_openai import ChatOpenAI
from langgraph.prebuilt import create_react_agent

from huts import free_beds

ADVICE = """You advise hikers on huts in the western mountains.
Be kind and look beds up before you answer."""


def answer(request):
    model = ChatOpenAI(model="gpt-4o-mini", temperature=0)
    agent = create_react_agent(model, [free_beds], prompt=ADVICE)
    result = agent.invoke({"messages": [("user", request["question"])]})
    return {"answer": result["messages"][-1].content}
