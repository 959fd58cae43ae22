from pathlib import Path

import yaml
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI

TEXTS = yaml.safe_load((Path(__file__).parent / "texts.yaml").read_text())
NOTES = """[1] Apples cost 3 euros a kilo (Wie viel kosten die das Äpfel).
[2] The orchard opens at nine (Wann öffnet der Obstgarten).
[3] Plums are ripe in August (Wann sind die Pflaumen reif)."""

prompt = ChatPromptTemplate.from_messages(
    [("system", TEXTS["orchard"]["voice"]), ("user", "{question}")]
)
chain = prompt | ChatOpenAI(model="gpt-4o-mini", temperature=0) | StrOutputParser()


def answer(request):
    return {"answer": chain.invoke({"notes": NOTES, "question": request["question"]})}
