"""Finds help documents by the words they share with a question."""

import re
from pathlib import Path

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever


def words(text: str) -> set[str]:
    """The different words of a text, in lower case."""
    return set(re.findall(r"[a-z0-9$]+", text.lower()))


def read_document(path: Path) -> Document:
    """A markdown file whose first lines, up to an empty one, are `key: value`."""
    head, _, body = path.read_text(encoding="utf-8").partition("\n\n")
    metadata = dict(line.split(": ", 1) for line in head.splitlines())
    return Document(page_content=body.strip(), metadata={**metadata, "source": path.name})


class DocumentRetriever(BaseRetriever):
    """Ranks documents by how many words of the question they contain."""

    folder: Path
    k: int = 3

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        documents = [read_document(path) for path in sorted(self.folder.glob("*.md"))]
        asked = words(query)
        ranked = sorted(
            documents, key=lambda document: -len(asked & words(document.page_content))
        )
        return ranked[: self.k]
