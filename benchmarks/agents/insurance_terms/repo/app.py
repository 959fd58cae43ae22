import json
from pathlib import Path

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langchain_openai import ChatOpenAI

HERE = Path(__file__).parent


def find_terms(question):
    terms = json.loads((HERE / "terms.json").read_text())
    asked = set(question.lower().strip("?").split())
    return [t for t in terms if len(asked & set(t["text"].lower().strip(".").split())) > 1]


def written(terms):
    return "\n".join(f'<document valid_from="{t["valid_from"]}">{t["text"]}</document>' for t in terms)


prompt = ChatPromptTemplate.from_messages(
    [("system", (HERE / "terms_prompt.txt").read_text()), ("user", "{question}")]
)
chain = (
    {
        "terms": RunnableLambda(lambda x: x["question"]) | RunnableLambda(find_terms) | RunnableLambda(written),
        "question": lambda x: x["question"],
    }
    | prompt
    | ChatOpenAI(model="gpt-4o-mini", temperature=0)
    | StrOutputParser()
)


def answer(request):
    return {"answer": chain.invoke({"question": request["question"]})}
