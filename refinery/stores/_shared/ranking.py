"""Traces ranked by how well their words fit, in the SQLite store.

The score is BM25 as FTS5 computes it (sqlite.org/fts5.html, section 5.1.1), of the best run of
each trace.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any

from refinery.ports import TraceFilter
from refinery.stores._shared import queries, rows

COMMON_SHARE = 5
"""A word in more than one of so many runs ranks nothing and costs most: it is left out when
others are there (chosen by us)."""
COMMON_FROM, COMMON_TO = 1_000, 50_000
"""Runs a word may be in before that counts at all, and those it may never be in."""
RUNS_A_TRACE = 4
"""Ranked runs that are looked at for each trace wanted: several may be of one trace."""

_NOISE = 0.001
"""Share of the best score below which only words that nearly every run has can have fitted."""

_RANKED = (
    "SELECT runs.number, runs.run_id, runs.trace, texts.rank FROM texts "
    "CROSS JOIN runs ON runs.number = texts.rowid WHERE texts MATCH ?"
)


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
    match = _match(connection, words)
    if not match:
        return []
    sql, arguments = _RANKED, [match]
    conditions = list(queries.conditions(wanted, None))
    if conditions:
        where = " AND ".join(clause for clause, _ in conditions)
        sql += f" AND runs.trace IN (SELECT number FROM traces WHERE {where})"  # noqa: S608  # our own names
        arguments += [value for _, value in conditions if value is not None]
    if kind is not None:
        sql += " AND runs.kind = ?"
        arguments.append(queries.clean(kind))
    limit = queries.bounded(max(1, wanted.limit))
    sql += " ORDER BY texts.rank LIMIT ?"
    found: list[Any] = connection.execute(
        sql, [*arguments, queries.bounded(limit * RUNS_A_TRACE)]
    ).fetchall()
    best: dict[int, tuple[int, str, float]] = {}
    least = found[0][3] * _NOISE if found else 0.0
    for _, run_id, trace, rank in found:
        if rank <= least:  # FTS5's ranks are below zero, the best one lowest
            best.setdefault(trace, (trace, run_id, -rank))
    return list(best.values())[:limit]


def summaries(connection: sqlite3.Connection, numbers: Sequence[int]) -> dict[int, Any]:
    """Rows of `queries.SUMMARY_COLUMNS` by number of the trace."""
    found = connection.execute(
        f"SELECT number, {queries.SUMMARY_COLUMNS} FROM traces "  # noqa: S608  # our own names
        "WHERE number IN (SELECT value FROM json_each(?))",
        (rows.as_json(list(numbers)),),
    ).fetchall()
    return {row[0]: row[1:] for row in found}


def _match(connection: sqlite3.Connection, words: Sequence[str]) -> str:
    """What to look for: any of the rarer words; without rarer ones, all of them together."""
    if not words:
        return ""
    runs = connection.execute("SELECT coalesce(max(number), 0) FROM runs").fetchone()[0]
    most = min(max(COMMON_FROM, runs // COMMON_SHARE), COMMON_TO)
    rare = [word for word in words if not _is_common(connection, word, most)]
    return " OR ".join(rare) if rare else " AND ".join(words)


def _is_common(connection: sqlite3.Connection, word: str, most: int) -> bool:
    found = connection.execute(
        "SELECT count(*) FROM (SELECT 1 FROM texts WHERE texts MATCH ? LIMIT ?)", (word, most + 1)
    ).fetchone()
    return int(found[0]) > most
