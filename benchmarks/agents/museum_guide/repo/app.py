import json
import re
from pathlib import Path

from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnablePassthrough
from langchain_openai import ChatOpenAI

HERE = Path(__file__).parent


class WallTexts(BaseRetriever):
    """Finds wall texts by shared words."""

    most: int = 3

    def _get_relevant_documents(self, query, *, run_manager=None):
        texts = json.loads((HERE / "texts.json").read_text())
        asked = set(re.findall(r"\w+", query.lower()))
        ranked = sorted(texts, key=lambda t: -len(asked & set(re.findall(r"\w+", t["text"].lower()))))
        return [Document(t["text"], metadata={"id": t["id"]}) for t in ranked[: self.most]]


def numbered(documents):
    return "\n".join(f"[{n}] {d.page_content}" for n, d in enumerate(documents, 1))


prompt = ChatPromptTemplate.from_messages(
    [("system", (HERE / "prompts" / "guide.md").read_text()), ("user", "{question}")]
)
chain = (
    {"texts": WallTexts() | numbered, "question": RunnablePassthrough()}
    | prompt
    | ChatOpenAI(model="gpt-4o-mini", temperature=0)
    | StrOutputParser()
)


def answer(request):
    return {"answer": chain.invoke(request["question"])}
