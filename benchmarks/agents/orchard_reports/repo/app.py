from pathlib import Path

import yaml
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI

TEXTS = yaml.safe_load((Path(__file__).parent / "texts.yaml").read_text())
NOTES = """[1] A kilo of Gala costs 3 euros.
[2] The Hofladen Tegel opens at nine.
[3] Plums of the kind Mirabelle are ripe in August."""

prompt = ChatPromptTemplate.from_messages(
    [("system", TEXTS["orchard"]["voice"]), ("user", "{question}")]
)
chain = prompt | ChatOpenAI(model="gpt-4o-mini", temperature=0) | StrOutputParser()


def answer(request):
    return {"answer": chain.invoke({"notes": NOTES, "question": request["question"]})}
