"""Questions to the SQLite store: filters as SQL."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from refinery.errors import InputError
from refinery.ports import RunFilter, TraceFilter

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


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the order of all runs a page begins: behind this run."""

    start_ns: int | None
    """None: among the runs without a start, which come last in either direction."""
    number: int


_CURSOR = re.compile(r"([no])(-?[0-9]{1,19})?\.([0-9]{1,19})")


def cursor(wanted: RunFilter, place: Place) -> str:
    """A place as text, with the direction it was reached in."""
    start = "" if place.start_ns is None else str(place.start_ns)
    return f"{_direction(wanted)}{start}.{place.number}"


def place_after(wanted: RunFilter) -> Place | None:
    """The place a filter's cursor names; None for the beginning.

    Raises:
        InputError: the cursor is none of ours, or was made in the other direction.
    """
    if wanted.after is None:
        return None
    found = _CURSOR.fullmatch(wanted.after)
    if found is None or found[1] != _direction(wanted):
        raise InputError(
            f"{wanted.after[:100]!r} is no cursor of this listing",
            hint="leave it out to start from the first page",
        )
    return Place(None if found[2] is None else bounded(int(found[2])), bounded(int(found[3])))


def _direction(wanted: RunFilter) -> str:
    return "o" if wanted.is_oldest_first else "n"


def page(wanted: RunFilter, after: Place | None, limit: int) -> tuple[str, list[Any]]:
    """SQL and arguments of one page of the runs that have a start: (start_ns, number)."""
    order, sign = ("ASC", ">") if wanted.is_oldest_first else ("DESC", "<")
    clauses, arguments = _of_runs(wanted)
    clauses.append("start_ns IS NOT NULL")
    if after is not None:
        clauses.append(f"(start_ns, number) {sign} (?, ?)")
        arguments += [after.start_ns, after.number]
    return _numbers(clauses, f"start_ns {order}, number {order}"), [*arguments, limit]


def page_without_start(
    wanted: RunFilter, after: Place | None, limit: int
) -> tuple[str, list[Any]]:
    """SQL and arguments of one page of the runs whose start is unknown: (start_ns, number)."""
    order, sign = ("ASC", ">") if wanted.is_oldest_first else ("DESC", "<")
    clauses, arguments = _of_runs(wanted)
    clauses.append("start_ns IS NULL")
    if after is not None and after.start_ns is None:
        clauses.append(f"number {sign} ?")
        arguments.append(after.number)
    return _numbers(clauses, f"number {order}"), [*arguments, limit]


def _numbers(clauses: list[str], order: str) -> str:
    where = " AND ".join(clauses)
    return f"SELECT start_ns, number FROM runs WHERE {where} ORDER BY {order} LIMIT ?"  # noqa: S608  # our own names


def _of_runs(wanted: RunFilter) -> tuple[list[str], list[Any]]:
    clauses: list[str] = []
    arguments: list[Any] = []
    for column in ("trace_id", "parent_id", "kind", "status", "name", "session_id", "user_id"):
        if (value := getattr(wanted, column)) is not None:
            clauses.append(f"{column} = ?")
            arguments.append(clean(value))
    if wanted.run_ids is not None:
        clauses.append("run_id IN (SELECT value FROM json_each(?))")
        arguments.append(json.dumps([clean(one) for one in wanted.run_ids]))
    if wanted.is_root is not None:
        clauses.append("parent_id IS NULL" if wanted.is_root else "parent_id IS NOT NULL")
    if wanted.project is not None:
        clauses.append("trace_id IN (SELECT trace_id FROM traces WHERE project = ?)")
        arguments.append(clean(wanted.project))
    if wanted.since_ns is not None:
        clauses.append("start_ns >= ?")
        arguments.append(bounded(wanted.since_ns))
    if wanted.until_ns is not None:
        clauses.append("start_ns < ?")
        arguments.append(bounded(wanted.until_ns))
    for word in _words(wanted.text or ""):
        clauses.append("number IN (SELECT rowid FROM texts WHERE texts MATCH ?)")
        arguments.append(word)
    return clauses, arguments


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
