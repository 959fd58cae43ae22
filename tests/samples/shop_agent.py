"""A shop assistant that answers from notes and gets an old opening time, as repository files."""

APP = '''"""Answers questions about the shop from dated notes."""

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_openai import ChatOpenAI

NOTES = [
    ("opening hours", "2022-05-01", "The shop opens at 10 in the morning on every day."),
    ("opening hours", "2025-09-01", "The shop opens at 8 in the morning."),
    ("parking", "2023-01-01", "Parking is behind the house and costs nothing."),
]
SYSTEM = "You help customers of the shop. Answer from these notes:\\n{notes}\\nBe brief."


class Notes(BaseRetriever):
    """Notes that share most words with the question."""

    def _get_relevant_documents(self, query, *, run_manager=None):
        asked = set(query.lower().strip("?").split())
        documents = [
            Document(text, metadata={"title": title, "updated": updated})
            for title, updated, text in NOTES
        ]
        ranked = sorted(
            documents, key=lambda d: -len(asked & set(d.page_content.lower().split()))
        )
        return ranked[:2]


def answer(question):
    """Answer one question."""
    found = Notes().invoke(question)
    notes = "\\n".join(f"[{d.metadata['updated']}] {d.page_content}" for d in found)
    model = ChatOpenAI(model="scripted", temperature=0)
    reply = model.invoke([("system", SYSTEM.format(notes=notes)), ("user", question)])
    return {"answer": reply.content}
'''
SETTINGS = """[agent]
entrypoint = "app:answer"
env = ["OPENAI_BASE_URL", "OPENAI_API_KEY"]
"""
FILES = {"app.py": APP, "refinery.toml": SETTINGS, ".gitignore": "__pycache__/\n"}
FAILING = "When does the shop open in the morning on every day?"
PASSING = "How much is parking behind the house?"
RIGHT = "8 in the morning"
