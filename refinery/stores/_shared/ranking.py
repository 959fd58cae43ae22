"""Traces ranked by how well their words fit, in the SQLite store.

The index knows which run has which word, not how often (`detail = none`), so FTS5's own `bm25()`
tells nothing. The runs with the most telling words are found by the index; of the best of them
the texts are read and ranked by BM25 (Robertson and Zaragoza, "The Probabilistic Relevance
Framework", 2009, section 3.2) with the inverse document frequency that is never negative.
"""

import math
import re
import sqlite3
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Any

from refinery.errors import StoreError
from refinery.ports import TraceFilter
from refinery.stores._shared import layout, queries, rows

COMMON_SHARE = 5
"""A word in more than one of so many runs ranks nothing and costs most: it is left out when
others are there (chosen by us)."""
COMMON_FROM, COMMON_TO = 1_000, 20_000
"""Runs a word may be in before that counts at all, and those it may never be in."""
READ, READ_EACH = 40, 2
"""Runs whose texts are read at least, and for each trace wanted; reading one takes about 0.1 ms
(`benchmarks/search.py`)."""
MAX_READ = 400
K1, B = 1.2, 0.75
"""Constants of BM25: the usual ones."""
_NOISE = 0.02
"""Share of the best score below which only words that nearly every run has can have fitted."""
_WORD = re.compile(r"\w+")

Weights = dict[str, float]
"""Inverse document frequency of each quoted word."""


def best_runs(
    connection: sqlite3.Connection, words: Sequence[str], wanted: TraceFilter, kind: str | None
) -> list[tuple[int, str, float]]:
    """The best run of each trace that fits, best trace first.

    Args:
        connection: of the store.
        words: quoted words; any of them may fit.
        wanted: filters of the trace; its text is not used, its limit is.
        kind: only runs of this kind; None: any.

    Returns:
        Number of the trace, id of its best run, and score; higher is better.
    """
    weights = _weights(connection, words)
    if not weights:
        return []
    limit = queries.bounded(max(1, wanted.limit))
    read = min(MAX_READ, max(READ, READ_EACH * limit))
    found = _candidates(connection, weights, wanted, kind, max(read, queries.bounded(4 * limit)))
    scored = _scored(connection, found, weights, read)
    best: dict[int, tuple[int, str, float]] = {}
    least = scored[0][2] * _NOISE if scored else 0.0
    for trace, run_id, score in scored:
        if score >= least:
            best.setdefault(trace, (trace, run_id, score))
    return list(best.values())[:limit]


def summaries(connection: sqlite3.Connection, numbers: Sequence[int]) -> dict[int, Any]:
    """Rows of `queries.SUMMARY_COLUMNS` by number of the trace."""
    found = connection.execute(
        f"SELECT number, {queries.SUMMARY_COLUMNS} FROM traces "  # noqa: S608  # our own names
        "WHERE number IN (SELECT value FROM json_each(?))",
        (rows.as_json(list(numbers)),),
    ).fetchall()
    return {row[0]: row[1:] for row in found}


def _weights(connection: sqlite3.Connection, words: Sequence[str]) -> Weights:
    """The words to look for: those that are rare; without any, the rarest of the others."""
    runs = connection.execute("SELECT coalesce(max(number), 0) FROM runs").fetchone()[0]
    most = min(max(COMMON_FROM, runs // COMMON_SHARE), COMMON_TO)
    counts = {word: _count(connection, word, most + 1) for word in words}
    there = {word: count for word, count in counts.items() if count}
    rare = {word: count for word, count in there.items() if count <= most}
    if there and not rare:
        whole = {word: _count(connection, word, runs) for word in there}
        rarest = min(whole, key=lambda word: whole[word])
        rare = {rarest: whole[rarest]}
    return {word: math.log(1 + (runs - n + 0.5) / (n + 0.5)) for word, n in rare.items()}


def _count(connection: sqlite3.Connection, word: str, most: int) -> int:
    """Runs that have a word, counted up to a limit."""
    found = connection.execute(
        "SELECT count(*) FROM (SELECT 1 FROM texts WHERE texts MATCH ? LIMIT ?)", (word, most)
    ).fetchone()
    return int(found[0])


def _candidates(
    connection: sqlite3.Connection,
    weights: Weights,
    wanted: TraceFilter,
    kind: str | None,
    limit: int,
) -> list[tuple[int, int, float]]:
    """Number, trace and summed weights of the runs with the most telling words, best first."""
    each = "SELECT rowid AS number, ? AS weight FROM texts WHERE texts MATCH ?"
    union = " UNION ALL ".join([each] * len(weights))
    arguments: list[Any] = [part for word, w in weights.items() for part in (w, word)]
    tests: list[str] = []
    conditions = list(queries.conditions(wanted, None))
    if conditions:
        where = " AND ".join(clause for clause, _ in conditions)
        tests.append(f"runs.trace IN (SELECT number FROM traces WHERE {where})")  # noqa: S608  # our own names
        arguments += [value for _, value in conditions if value is not None]
    if kind is not None:
        tests.append("runs.kind = ?")
        arguments.append(queries.clean(kind))
    where = f"WHERE {' AND '.join(tests)}" if tests else ""
    sql = (
        f"SELECT hits.number, runs.trace, sum(hits.weight) FROM ({union}) AS hits "  # noqa: S608  # our own names
        f"CROSS JOIN runs ON runs.number = hits.number {where} "
        "GROUP BY hits.number ORDER BY 3 DESC, hits.number DESC LIMIT ?"
    )
    return connection.execute(sql, [*arguments, limit]).fetchall()


def _scored(
    connection: sqlite3.Connection,
    found: Sequence[tuple[int, int, float]],
    weights: Weights,
    read: int,
) -> list[tuple[int, str, float]]:
    """Trace, run id and score of runs, best first; those whose texts are not read come last."""
    shown = rows.as_json([number for number, _, _ in found])
    stored = rows.select(connection, "runs.number IN (SELECT value FROM json_each(?))", (shown,))
    by_number = {row.number: row for row in stored}
    payloads = rows.Payloads(connection)
    payloads.load(by_number[n].payload for n, _, _ in found[:read] if n in by_number)
    terms = {word.strip('"').replace('""', '"'): weight for word, weight in weights.items()}
    texts: dict[int, Counter[str]] = {}
    for number, _, _ in found[:read]:
        if number in by_number:
            texts[number] = _counted(by_number[number], payloads)
    mean = sum(text.total() for text in texts.values()) / max(1, len(texts)) or 1.0
    ranked = [
        (number in texts, _bm25(texts[number], terms, mean) if number in texts else total, number)
        for number, _, total in found
        if number in by_number
    ]
    traces = {number: trace for number, trace, _ in found}
    ranked.sort(key=lambda one: (one[0], one[1], one[2]), reverse=True)
    last = min((score for is_read, score, _ in ranked if is_read), default=0.0)
    return [
        (traces[number], by_number[number].columns[0], score if is_read else last)
        for is_read, score, number in ranked
    ]


def _counted(row: rows.StoredRow, payloads: rows.Payloads) -> "Counter[str]":
    """How often each word stands in a run."""
    try:
        text = layout.searchable(row.columns[3], *payloads.line(row))
    except StoreError:  # the damage is told of when the run is read
        return Counter()
    return Counter(_WORD.findall(folded(text)))


def folded(text: str) -> str:
    """Text as the index sees it: lower case, without the marks of letters; `_` parts words."""
    lowered = text.lower().replace("_", " ")
    if lowered.isascii():
        return lowered
    apart = unicodedata.normalize("NFKD", lowered)
    return "".join(letter for letter in apart if not unicodedata.combining(letter))


def _bm25(counts: "Counter[str]", terms: Weights, mean: float) -> float:
    length = K1 * (1 - B + B * counts.total() / mean)
    score = 0.0
    for term, weight in terms.items():
        often = counts[term]
        score += weight * often * (K1 + 1) / (often + length)
    return score
