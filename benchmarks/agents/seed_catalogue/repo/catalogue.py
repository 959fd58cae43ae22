import re

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

PAGES = [
    "Tomato seeds: sow tomato seeds indoors. Tomato plants like sun. Tomato care is easy.",
    "Sow tomato seeds in March, eight weeks before the last frost.",
    "Pea seeds: pea plants climb. Pea seeds keep two years.",
    "Peas are harvested in June when pods are full.",
    "Carrot seeds are thinned to five centimetres.",
    "Lettuce seeds: lettuce seeds need light. Lettuce grows fast. Lettuce seeds are small.",
    "Lettuce is harvested six weeks after sowing.",
]


def _stems(text):
    return {word.rstrip("s") for word in re.findall(r"[a-z]+", text.lower())}


class Catalogue(BaseRetriever):
    """Pages of the catalogue."""

    how_many: int = 1

    def _get_relevant_documents(self, query, *, run_manager=None):
        crop = _stems(query) & {"tomato", "pea", "carrot", "lettuce"}
        ranked = sorted(PAGES, key=lambda page: -len(crop & _stems(page)))
        return [Document(page) for page in ranked[: self.how_many]]
