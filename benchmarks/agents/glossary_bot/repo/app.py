from langgraph.graph import START, StateGraph

from define import State, glossary

outer = StateGraph(State)
outer.add_node("glossary", glossary)
outer.add_edge(START, "glossary")
agent = outer.compile(name="apprentice")


def answer(request):
    return {"answer": agent.invoke({"question": request["question"]})["answer"]}
