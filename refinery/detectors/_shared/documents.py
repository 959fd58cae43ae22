"""Documents that a retriever or a search tool returned, with their dates and subjects."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from refinery.detectors._shared.patterns import find, find_all
from refinery.model.trace import Json, Run, RunKind, Trace

MAX_DOCUMENTS = 100
"""Documents of one trace that are looked at."""
_TEXT_KEYS = (
    "page_content",
    "text",
    "content",
    "body",
    "snippet",
    "summary",
    "document",
    "answer",
)
_LIST_KEYS = ("documents", "output", "results", "docs", "context", "matches", "hits", "items")
_SUBJECT_KEYS = ("title", "subject", "topic", "name", "heading", "question", "key", "slug")
_SOURCE_KEYS = ("source", "file", "path", "url", "file_name", "filename", "uri")
_DATE_WORDS = (
    "effective",
    "valid_from",
    "updated",
    "modified",
    "revised",
    "published",
    "version",
    "date",
    "created",
    "year",
)
"""Parts of metadata keys that hold a document's age, the most telling first."""
_NOT_AGE = ("until", "expir", "valid_to", "end_date", "accessed", "indexed", "retrieved", "birth")
_ISO = (
    r"\b((?:19|20)\d\d-(?:0[1-9]|1[0-2])(?:-(?:0[1-9]|[12]\d|3[01]))?)"
    r"(?:[T ](\d\d:\d\d(?::\d\d)?)|[^0-9]|$)"
)
_YEAR = r"^((?:19|20)\d\d)$"
_STATED = (
    r"(?i)(?:effective|valid from|valid as of|as of|updated|last updated|revised|published|"
    r"last modified|in force since|version of)(?: on| from| date| since)?\s*[:=]?\s*"
    r"((?:19|20)\d\d-\d\d(?:-\d\d)?)"
)
_STALE_STATES = ("draft", "archived", "superseded", "deprecated", "proposed", "withdrawn")


@dataclass(frozen=True, slots=True)
class Document:
    """One document as it was returned."""

    run: Run
    index: int
    """Place in the list its run returned, from 0."""
    of: int
    """Length of that list."""
    text: str
    fields: Mapping[str, Json]
    """Its metadata and its other fields."""

    @property
    def subject(self) -> str:
        """What it is about, as its fields say, lower case; empty when they do not."""
        return self.title.lower()

    @property
    def title(self) -> str:
        """Its title, or whatever field names what it is about; empty when none does."""
        lowered = {key.lower(): value for key, value in self.fields.items()}
        for key in _SUBJECT_KEYS:
            value = lowered.get(key)
            if isinstance(value, str) and value.strip():
                return " ".join(value[:300].split())
        return ""

    @property
    def stem(self) -> str:
        """Its source without folder, ending, date and version; empty when it names none."""
        lowered = {key.lower(): value for key, value in self.fields.items()}
        source = next((s for key in _SOURCE_KEYS if isinstance(s := lowered.get(key), str)), "")
        name = source[-300:].rstrip("/").rpartition("/")[2].rpartition("\\")[2]
        name = name.rpartition(".")[0] or name
        letters = "".join(c if c.isalpha() else " " for c in name.lower())
        words = [w for w in letters.split() if w not in ("v", "version", "old", "new", "final")]
        return " ".join(words)

    @property
    def label(self) -> str:
        """A short name for people."""
        return self.title or self.stem or f"document {self.index + 1}"

    @property
    def is_current(self) -> bool:
        """Whether nothing says that it is a draft or was withdrawn."""
        state = str(self.fields.get("status", self.fields.get("state", ""))).lower()
        return state not in _STALE_STATES

    def dates(self) -> dict[str, str]:
        """Its dates as sortable text by metadata key; the key is empty for one in the text."""
        found: dict[str, str] = {}
        for key, value in self.fields.items():
            lowered = key.lower()
            is_age = any(word in lowered for word in _DATE_WORDS)
            if is_age and not any(word in lowered for word in _NOT_AGE):
                date = parse_date(value)
                if date:
                    found[key] = date
        stated = find(_STATED, self.text[:5_000])
        if stated:
            found[""] = stated.groups[0]
        return found


def parse_date(value: Json) -> str | None:
    """A date or year as text that sorts by time (`2024`, `2024-03`, `2024-03-01`), else None."""
    if isinstance(value, int) and not isinstance(value, bool) and 1900 <= value <= 2100:
        return str(value)
    if not isinstance(value, str) or len(value) > 60:
        return None
    hit = find(_ISO, value)
    if hit:
        day, time = hit.groups
        return f"{day}T{time}" if time else day
    year = find(_YEAR, value.strip())
    return year.text if year else None


def date_key(first: Mapping[str, str], second: Mapping[str, str]) -> tuple[str, str, str] | None:
    """The most telling date of two documents, as (key, older date, newer date).

    Args:
        first: `Document.dates` of the one taken for the older.
        second: those of the one taken for the newer.

    Returns:
        None when no date orders them, and when the first is not the older one.
    """
    for key in sorted(first.keys() & second.keys(), key=_telling):
        a, b = first[key], second[key]
        size = min(len(a), len(b))
        if a[:size] != b[:size]:
            return (key, a, b) if a < b else None
    return None


def _telling(key: str) -> tuple[int, str]:
    lowered = key.lower()
    if not key:
        return (len(_DATE_WORDS), key)
    return (next((i for i, word in enumerate(_DATE_WORDS) if word in lowered), 99), key)


@lru_cache(maxsize=1_000)
def terms(text: str) -> frozenset[str]:
    """Words of four letters or more, lower case, without numbers."""
    return frozenset(hit.text.lower() for hit in find_all(r"\pL{4,}", text[:4_000]))


def same_subject(one: Document, two: Document) -> bool:
    """Whether two documents are about the same thing.

    Equal titles or source stems, or at least three words in common that are half of all words
    of both (Jaccard; chosen by us).
    """
    if one.subject and two.subject:
        if one.subject == two.subject:
            return True
        if _bare(one.subject) and _bare(one.subject) == _bare(two.subject):
            return True
    if one.stem and one.stem == two.stem and not (one.subject and two.subject):
        return True
    a, b = terms(one.text), terms(two.text)
    return len(a & b) >= 3 and len(a & b) >= 0.5 * len(a | b)


def _bare(subject: str) -> str:
    """A subject without years and version words: `prices 2024` is about `prices`."""
    kept = (word for word in subject.split() if not any(c.isdigit() for c in word))
    return " ".join(kept).strip(" ()-\u2013,")


def documents(trace: Trace) -> list[Document]:
    """Documents of retrievers, rerankers and tools; when there are none, of leaf steps.

    The first `MAX_DOCUMENTS` of them; what comes later is not read.
    """
    searching = (RunKind.RETRIEVER, RunKind.RERANKER, RunKind.TOOL)
    found = _first(run for run in trace.runs if run.kind in searching)
    if found:
        return found
    plain = (RunKind.STEP, RunKind.CHAIN, None)
    parents = {run.parent_id for run in trace.runs}
    return _first(run for run in trace.runs if run.kind in plain and run.run_id not in parents)


def _first(runs: Iterable[Run]) -> list[Document]:
    return list(islice((document for run in runs for document in of_run(run)), MAX_DOCUMENTS))


def of_run(run: Run) -> list[Document]:
    """Documents one run returned, in order; empty when its outputs hold none."""
    items = _document_list(run.outputs, 0)
    read = [(index, *parts) for index, item in enumerate(items) if (parts := _read(item))]
    return [Document(run, index, len(items), text, fields) for index, text, fields in read]


def _document_list(value: Json, depth: int) -> list[Json]:
    if depth > 4:
        return []
    if isinstance(value, str):
        return _document_list(_parsed(value), depth + 1) if value[:1] in ("[", "{") else []
    if isinstance(value, list):
        items = value[:MAX_DOCUMENTS]
        return items if any(_read(item) for item in items) else []
    if isinstance(value, Mapping):
        inner = value.get("kwargs") if value.get("type") == "constructor" else None
        if isinstance(inner, Mapping):
            return _document_list(inner.get("artifact") or inner.get("content"), depth + 1)
        for key in (*_LIST_KEYS, "content"):
            if found := _document_list(value.get(key), depth + 1):
                return found
    return []


def _parsed(text: str) -> Json:
    try:
        return json.loads(text[:1_000_000])
    except (ValueError, RecursionError):
        return None


def _read(item: Json) -> tuple[str, Mapping[str, Json]] | None:
    """Text and fields of a document; None for anything else (a chat message, a bare string)."""
    if not isinstance(item, Mapping):
        return None
    if item.get("type") == "constructor" and isinstance(item.get("kwargs"), Mapping):
        item = item["kwargs"]
    if "role" in item or item.get("type") in ("human", "ai", "system", "tool", "text"):
        return None
    if isinstance(item.get("document"), Mapping):
        item = {**item, **item["document"]}
    text = next((item[k] for k in _TEXT_KEYS if isinstance(item.get(k), str) and item[k]), None)
    if text is None:
        return None
    own = item.get("metadata")
    metadata = own if isinstance(own, Mapping) else {}
    fields = {k: v for k, v in item.items() if not isinstance(v, dict | list) and v is not text}
    return text, {**fields, **{str(k): v for k, v in metadata.items()}}
