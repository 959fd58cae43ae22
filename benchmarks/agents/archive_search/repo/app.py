import tomllib
from pathlib import Path

from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI

CONFIG = tomllib.loads((Path(__file__).parent / "archive.toml").read_text())
prompt = ChatPromptTemplate.from_messages(
    [("system", CONFIG["prompts"]["reader"]), ("user", "{question}")]
)
model = ChatOpenAI(
    model=CONFIG["model"]["name"], timeout=CONFIG["model"]["timeout"], max_retries=0, temperature=0
)
chain = prompt | model


def answer(request):
    return {"answer": chain.invoke({"question": request["question"]}).content}
