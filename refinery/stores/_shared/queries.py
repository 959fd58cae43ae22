"""Questions to the SQLite store: filters as SQL."""

from collections.abc import Iterator
from typing import Any

from refinery.ports import TraceFilter

MAX_WORDS = 20
"""Words of one text search that are used; more are ignored."""

SUMMARY_COLUMNS = (
    "trace_id, name, status, runs, errors, start_ns, end_ns, source, project, session_id, "
    "user_id, total_tokens, label"
)

_HAS_WORD = (
    "trace_id IN (SELECT trace_id FROM runs WHERE number IN "
    "(SELECT rowid FROM texts WHERE texts MATCH ?))"
)


def listing(wanted: TraceFilter) -> tuple[str, list[Any]]:
    """SQL and arguments that list the summaries of matching traces, newest start first."""
    clauses: list[str] = []
    arguments: list[Any] = []
    for clause, value in _conditions(wanted):
        clauses.append(clause)
        arguments += [] if value is None else [value]
    where = f" WHERE {' AND '.join(clauses)}" if clauses else ""
    order = " ORDER BY start_ns DESC, rowid DESC LIMIT ?"  # SQLite sorts NULL last here
    arguments.append(bounded(max(0, wanted.limit)))
    return f"SELECT {SUMMARY_COLUMNS} FROM traces{where}{order}", arguments  # noqa: S608  # our own names


def _conditions(wanted: TraceFilter) -> Iterator[tuple[str, Any]]:
    """Clauses, each with its one argument; None when it takes none."""
    if wanted.status == "failed":
        yield "(status = 'error' OR label = 'fail')", None
    elif wanted.status is not None:
        yield "status = ?", clean(wanted.status)
    for column in ("project", "session_id", "user_id", "source", "label"):
        if (value := getattr(wanted, column)) is not None:
            yield f"{column} = ?", clean(value)
    if wanted.name is not None:
        yield "instr(lower(name), lower(?)) > 0", clean(wanted.name)
    if wanted.since_ns is not None:
        yield "start_ns >= ?", bounded(wanted.since_ns)
    if wanted.until_ns is not None:
        yield "start_ns < ?", bounded(wanted.until_ns)
    for word in _words(wanted.text or ""):
        yield _HAS_WORD, word


def clean(text: str) -> str:
    """Text SQLite accepts: lone surrogates become question marks and so match nothing."""
    return text.encode("utf-8", "replace").decode("utf-8")


def bounded(value: int) -> int:
    """An integer cut to what SQLite can hold."""
    return max(-(2**63), min(2**63 - 1, value))


def _words(text: str) -> list[str]:
    """FTS5 phrases, one a word; characters of its query language lose their meaning."""
    words = clean(text).replace("\0", " ").split()[:MAX_WORDS]
    return ['"' + word[:200].replace('"', '""') + '"' for word in words]
