from langchain_openai import ChatOpenAI
from langgraph.prebuilt import create_react_agent

from wind import wind_speed

SITE = "Skagen Bank"


def answer(request):
    prompt = f"You advise the crew of the wind farm at {SITE}; report what the tool results say."
    agent = create_react_agent(ChatOpenAI(model="gpt-4o-mini", temperature=0), [wind_speed], prompt=prompt)
    result = agent.invoke({"messages": [("user", request["question"])]})
    return {"answer": result["messages"][-1].content}
