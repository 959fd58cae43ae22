# A user's program, written as users write them.
# ruff: noqa: ANN001, ANN201, ANN202
"""Retrieval with embeddings of OpenAI's interface and a retriever of the agent's own."""

import time
from datetime import datetime
from pathlib import Path

import openai
from langchain_core.documents import Document
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

TEXTS = (Path(__file__).parent / "notes.txt").read_text().splitlines()


class Nearest(BaseRetriever):
    """The two nearest notes, with the time they were found at."""

    def _get_relevant_documents(self, query, *, run_manager):
        embed = OpenAIEmbeddings(model="embed-1", check_embedding_ctx_length=False, max_retries=8)
        vectors = embed.embed_documents(TEXTS)
        asked = embed.embed_query(query)
        near = sorted(
            range(len(TEXTS)),
            key=lambda n: -sum(a * b for a, b in zip(vectors[n], asked, strict=True)),
        )
        return [
            Document(TEXTS[n], metadata={"rank": rank, "found": time.time()})
            for rank, n in enumerate(near[:2])
        ]


prompt = ChatPromptTemplate.from_template("{now}\nNotes: {notes}\nQuestion: {question}")


def answer(request):
    """Answer from the notes, after a second look-up with the client itself."""
    found = Nearest().invoke(request["question"])
    raw = openai.OpenAI(max_retries=8).embeddings.create(
        model="embed-1", input=[request["question"], "again"]
    )
    chain = prompt | ChatOpenAI(model="small-1", temperature=0.6, max_retries=8)
    said = chain.invoke(
        {
            "now": datetime.now().strftime("%c"),
            "notes": [document.page_content for document in found],
            "question": request["question"],
        }
    )
    return {"answer": said.content, "similar": round(raw.data[0].embedding[0], 6)}
