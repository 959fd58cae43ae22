"""Words: what the trace store's full-text index finds, ranked where the store can."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from refinery.model.trace import Run, TraceSummary
from refinery.model.walk import strings
from refinery.ports import Ranking, RunFilter, Store
from refinery.search.query import Query

SNIPPET = 160
"""Characters shown around the first word found."""
_MAX_SHOWN_WORDS = 8
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class TextHit:
    """A trace whose words fit."""

    trace: TraceSummary
    run_id: str | None
    """The run that fits best; None when the store does not say."""


def ranked(store: Store, query: Query, limit: int) -> list[TextHit]:
    """Traces that fit the words of a query, best first.

    A store that cannot rank gives those that have all the words, newest first.
    """
    wanted = query.as_filter(text=query.text, limit=limit)
    if isinstance(store, Ranking):
        return [TextHit(one.trace, one.run_id) for one in store.rank_traces(wanted, query.kind)]
    found = store.list_traces(wanted)
    if query.kind is None:
        return [TextHit(one, None) for one in found]
    hits = []
    for one in found:
        asked = RunFilter(trace_id=one.trace_id, kind=query.kind, text=query.text, limit=1)
        if runs := store.find_runs(asked).runs:
            hits.append(TextHit(one, runs[0].run.run_id))
    return hits


def words_of(text: str) -> list[str]:
    """The different words of a text in lower case, in order."""
    return list(dict.fromkeys(word.lower() for word in _WORD.findall(text)))


def shown_words(text: str, run: Run) -> tuple[str, ...]:
    """Words of a question that are in a run, in order of the question.

    In scripts that part no words a part of a word counts too.
    """
    whole = " ".join(_texts(run)).lower()
    held = set(_WORD.findall(whole))
    return tuple(
        word for word in words_of(text) if word in held or (not word.isascii() and word in whole)
    )[:_MAX_SHOWN_WORDS]


def snippet(run: Run, words: tuple[str, ...]) -> str:
    """The place in a run with most of the words; empty when none is in it."""
    best, place = 0, ""
    for text in _texts(run):
        lowered = text.lower()
        held = [word for word in words if word in lowered]
        if len(held) > best:
            best, place = len(held), _near(text, max(held, key=len))
    return place


def _near(text: str, word: str) -> str:
    """The text around a word, or around the first place that begins with it."""
    for edges in (rf"(?<!\w){re.escape(word)}(?!\w)", re.escape(word)):
        if hit := re.search(edges, text, re.IGNORECASE):
            return _around(text, hit.start(), hit.end())
    return _around(text, 0, 0)


def _around(text: str, start: int, end: int) -> str:
    room = max(0, SNIPPET - (end - start)) // 2
    low, high = max(0, start - room), min(len(text), end + room)
    cut = " ".join(text[low:high].split())
    return f"{'…' if low else ''}{cut}{'…' if high < len(text) else ''}"


def _texts(run: Run) -> Iterator[str]:
    """Name, error, inputs and outputs of a run, as the full-text index reads them."""
    yield run.name or ""
    if run.error:
        yield run.error.type
        yield run.error.message
    for value in (run.inputs, run.outputs):
        yield from (text for _, text in strings(value))
