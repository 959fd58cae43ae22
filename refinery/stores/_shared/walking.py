"""Traces that hold common words: found by walking the list, not by collecting all that match.

A word that stands in most traces matches most runs, and collecting them takes long; the first page
of them is near the beginning of the list, though. A rare word is the opposite.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from refinery.ports import TraceFilter
from refinery.stores._shared import queries, rows

COLLECTED = 5_000
"""Runs with a word up to which collecting them is quicker (chosen by us, `benchmarks/ui.py`)."""
STRIDES = (200, 400, 800, 1_600, 3_200, 6_400)
"""Traces looked at one after the other, about 3 µs each; when these do not fill a page, what is
sought begins far down the list, and is collected."""
MAX_SPAN = 100_000
"""Widest range of run numbers one stride may ask the index for."""
_RUNS = "SELECT min(number), max(number) FROM runs WHERE trace IN (SELECT value FROM json_each(?))"
_WITH_WORD = (
    "SELECT DISTINCT runs.trace FROM texts JOIN runs ON runs.number = texts.rowid "
    "WHERE texts MATCH ? AND texts.rowid BETWEEN ? AND ?"
)


def summaries(
    connection: sqlite3.Connection, wanted: TraceFilter, words: Sequence[str]
) -> list[Sequence[Any]] | None:
    """Summary rows of the page, newest start first; None when they had better be collected."""
    if any(_is_rare(connection, word) for word in words):
        return None
    found: list[Sequence[Any]] = []
    after = wanted.after
    for stride in STRIDES:
        step = replace(wanted, text=None, limit=stride, after=after)
        looked_at: list[Sequence[Any]] = []
        for sql, arguments in queries.listings(step, None, ", number"):
            arguments[-1] -= len(looked_at)
            looked_at += connection.execute(sql, arguments).fetchall()
        kept = _holding(connection, [row[-1] for row in looked_at], words)
        if kept is None:
            return None
        found += [row[:-1] for row in looked_at if row[-1] in kept]
        if len(found) >= wanted.limit or len(looked_at) < stride:
            return found[: max(0, wanted.limit)]
        after = (looked_at[-1][_START], looked_at[-1][_TRACE_ID])
    return None


def _is_rare(connection: sqlite3.Connection, word: str) -> bool:
    count = "SELECT count(*) FROM (SELECT 1 FROM texts WHERE texts MATCH ? LIMIT ?)"
    found: int = connection.execute(count, (word, COLLECTED + 1)).fetchone()[0]
    return found <= COLLECTED


_COLUMNS = queries.SUMMARY_COLUMNS.split(", ")
_START, _TRACE_ID = _COLUMNS.index("start_ns"), _COLUMNS.index("trace_id")


def _holding(
    connection: sqlite3.Connection, traces: Sequence[int], words: Sequence[str]
) -> set[int] | None:
    """Those of some traces that hold all words; None when their runs lie too far apart."""
    low, high = connection.execute(_RUNS, (rows.as_json(list(traces)),)).fetchone()
    if low is None:
        return set()
    if high - low > MAX_SPAN:
        return None
    kept = set(traces)
    for word in words:
        kept &= {row[0] for row in connection.execute(_WITH_WORD, (word, low, high))}
    return kept
