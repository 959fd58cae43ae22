# A user's program, written as users write them.
# ruff: noqa: ANN001, ANN201
"""Chains in LangChain's expression language, two of them in parallel."""

import datetime
import uuid

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnableParallel, RunnablePassthrough
from langchain_openai import ChatOpenAI

model = ChatOpenAI(model="small-1", temperature=0.7, max_tokens=60)
prompt = ChatPromptTemplate.from_messages(
    [("system", "Today is {today}. Call {call}. You are a {role}."), ("user", "{question}")]
)
named = RunnablePassthrough.assign(
    today=lambda _: datetime.date.today().isoformat(), call=lambda _: uuid.uuid4()
)
poet = RunnableLambda(lambda r: {**r, "role": "poet"}) | named | prompt | model | StrOutputParser()
critic = (
    RunnableLambda(lambda r: {**r, "role": "critic"}) | named | prompt | model | StrOutputParser()
)
joined = (
    RunnableParallel(poem=poet, critique=critic)
    | ChatPromptTemplate.from_template("Join: {poem} and {critique}")
    | model
    | StrOutputParser()
)


def answer(request):
    """Two opinions, joined."""
    return joined.invoke({"question": request["question"]})
