"""Questions to the SQLite store: filters as SQL."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from refinery.errors import InputError
from refinery.ports import RunFilter, TraceFilter

MAX_WORDS = 20
"""Words of one text search that are used; more are ignored."""

MAX_WORD = 1_000
"""Characters of a word in a text search; a longer one is ignored."""

SUMMARY_COLUMNS = (
    "trace_id, name, status, runs, errors, start_ns, end_ns, source, project, session_id, "
    "user_id, total_tokens, label"
)

_HAS_WORD = (
    "number IN (SELECT trace FROM runs WHERE number IN "
    "(SELECT rowid FROM texts WHERE texts MATCH ?))"
)
_IS_OWNED = (
    # The first test is what an index answers. A run at the top that names nobody is as another's.
    "user_id = ? AND (SELECT max(is_top) AND min(coalesce(is_same, NOT is_top)) FROM ("
    "SELECT one.user_id = traces.user_id AS is_same, NOT EXISTS (SELECT 1 FROM runs AS above "
    "WHERE above.run_id = one.parent_id AND above.trace = one.trace) AS is_top "
    "FROM runs AS one WHERE one.trace = traces.number))"
)
"""Clause on `traces` for `Trace.owner`; its argument is the user."""
_TESTS = {
    **{name: f"{name} = ?" for name in ("project", "session_id", "user_id", "source", "label")},
    "owner": _IS_OWNED,
    "name": "instr(lower(name), lower(?)) > 0",
}
"""Clause of each field of a filter that is a text."""


def listings(
    wanted: TraceFilter, words: Sequence[str] | None, more: str = ""
) -> Iterator[tuple[str, list[Any]]]:
    """SQL and arguments that list the summaries of matching traces, newest start first.

    Args:
        wanted: the filter.
        words: words of its text; None when it has none.
        more: columns behind those of the summary.

    Yields:
        One question, or two whose answers follow each other: both lists in one question would
        be read from the beginning. Their limit is the last argument.
    """
    if wanted.after is None:
        yield _listing(wanted, words, [], [], more)
        return
    start_ns, trace_id = wanted.after
    behind = "coalesce((SELECT number FROM traces WHERE trace_id = ?), 9223372036854775807)"
    if start_ns is not None:
        clauses = ["start_ns IS NOT NULL", f"(start_ns, number) < (?, {behind})"]
        yield _listing(wanted, words, clauses, [bounded(start_ns), clean(trace_id)], more)
        yield _listing(wanted, words, ["start_ns IS NULL"], [], more)
    else:
        clauses = ["start_ns IS NULL", f"number < {behind}"]
        yield _listing(wanted, words, clauses, [clean(trace_id)], more)


def _listing(
    wanted: TraceFilter,
    words: Sequence[str] | None,
    clauses: list[str],
    arguments: list[Any],
    more: str,
) -> tuple[str, list[Any]]:
    for clause, value in conditions(wanted, words):
        clauses.append(clause)
        arguments += [] if value is None else [value]
    where = f" WHERE {' AND '.join(clauses)}" if clauses else ""
    order = " ORDER BY start_ns DESC, number DESC LIMIT ?"  # SQLite sorts NULL last here
    arguments.append(bounded(max(0, wanted.limit)))
    return f"SELECT {SUMMARY_COLUMNS}{more} FROM traces{where}{order}", arguments  # noqa: S608  # our own names


def conditions(wanted: TraceFilter, words: Sequence[str] | None) -> Iterator[tuple[str, Any]]:
    """Clauses, each with its one argument; None when it takes none."""
    if wanted.status == "failed":
        yield "(status = 'error' OR label = 'fail')", None
    elif wanted.status is not None:
        yield "status = ?", clean(wanted.status)
    for name, clause in _TESTS.items():
        if (value := getattr(wanted, name)) is not None:
            yield clause, clean(value)
    if wanted.since_ns is not None:
        yield "start_ns >= ?", bounded(wanted.since_ns)
    if wanted.until_ns is not None:
        yield "start_ns < ?", bounded(wanted.until_ns)
    if words is not None:
        yield ("1" if words else "0"), None
        for word in words:
            yield _HAS_WORD, word


_TALLIED = frozenset({"project", "user_id", "session_id", "name", "source"})


def tally(field: str) -> str:
    """SQL that counts traces by a field; its one argument is the limit.

    Raises:
        InputError: traces are not counted by that field.
    """
    if field not in _TALLIED:
        raise InputError(
            f"traces are not counted by {field!r}", hint=f"one of {', '.join(sorted(_TALLIED))}"
        )
    return (
        f"SELECT {field}, count(*), sum(status = 'error' OR coalesce(label, '') = 'fail'), "  # noqa: S608  # our own names
        f"min(start_ns), max(start_ns) FROM traces WHERE {field} IS NOT NULL "
        f"GROUP BY {field} ORDER BY max(start_ns) DESC, {field} LIMIT ?"
    )


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the order of all runs a page begins: behind this run."""

    start_ns: int | None
    """None: among the runs without a start, which come last in either direction."""
    number: int


_CURSOR = re.compile(r"([no])(-?[0-9]{1,19})?\.([0-9]{1,19})")


@dataclass(slots=True)
class Query:
    """A question to the table `runs`, put together clause by clause."""

    clauses: list[str] = field(default_factory=list)
    arguments: list[Any] = field(default_factory=list)
    order: str = "number"

    def add(self, clause: str, *arguments: Any) -> None:
        """One more condition, with the values of its question marks."""
        self.clauses.append(clause)
        self.arguments += arguments

    def places(self, limit: int) -> tuple[str, list[Any]]:
        """SQL and arguments that answer with start and number of each run."""
        where = " AND ".join(self.clauses)
        sql = f"SELECT start_ns, number FROM runs WHERE {where} ORDER BY {self.order} LIMIT ?"  # noqa: S608  # our own names
        return sql, [*self.arguments, limit]


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


def page(wanted: RunFilter, words: Sequence[str] | None, after: Place | None) -> Query:
    """The places of the runs behind a place that have a start."""
    order, sign = ("ASC", ">") if wanted.is_oldest_first else ("DESC", "<")
    found = _of_runs(wanted, words)
    found.add("start_ns IS NOT NULL")
    if after is not None:
        found.add(f"(start_ns, number) {sign} (?, ?)", after.start_ns, after.number)
    found.order = f"start_ns {order}, number {order}"
    return found


def page_without_start(
    wanted: RunFilter, words: Sequence[str] | None, after: Place | None
) -> Query:
    """The places of the runs behind a place whose start is unknown."""
    order, sign = ("ASC", ">") if wanted.is_oldest_first else ("DESC", "<")
    found = _of_runs(wanted, words)
    found.add("start_ns IS NULL")
    if after is not None and after.start_ns is None:
        found.add(f"number {sign} ?", after.number)
    found.order = f"number {order}"
    return found


def _of_runs(wanted: RunFilter, words: Sequence[str] | None) -> Query:
    found = Query()
    for column in ("kind", "status", "name", "session_id", "user_id"):
        if (value := getattr(wanted, column)) is not None:
            found.add(f"{column} = ?", clean(value))
    if wanted.trace_id is not None:
        found.add("trace = (SELECT number FROM traces WHERE trace_id = ?)", clean(wanted.trace_id))
    if wanted.parent_id is not None:
        found.add("parent_id = ?", clean(wanted.parent_id))
    if wanted.run_ids is not None:
        ids = json.dumps([clean(one) for one in wanted.run_ids])
        found.add("run_id IN (SELECT value FROM json_each(?))", ids)
    if wanted.project is not None:
        found.add("trace IN (SELECT number FROM traces WHERE project = ?)", clean(wanted.project))
    _add_owner(found, wanted)
    _add_bounds(found, wanted)
    if words is not None:
        match = " AND ".join(words) or '""'
        found.add("number IN (SELECT rowid FROM texts WHERE texts MATCH ?)", match)
    return found


def _add_owner(found: Query, wanted: RunFilter) -> None:
    """The traces are tested once each, and only those that the filter names already."""
    if wanted.owner is None:
        return
    narrow, arguments = "", []
    if wanted.trace_id is not None:
        narrow, arguments = "trace_id = ? AND ", [clean(wanted.trace_id)]
    elif wanted.run_ids is not None:
        narrow = (
            "number IN (SELECT trace FROM runs "
            "WHERE run_id IN (SELECT value FROM json_each(?))) AND "
        )
        arguments = [json.dumps([clean(one) for one in wanted.run_ids])]
    found.add(
        f"trace IN (SELECT number FROM traces WHERE {narrow}{_IS_OWNED})",  # noqa: S608  # our own text
        *arguments,
        clean(wanted.owner),
    )


def _add_bounds(found: Query, wanted: RunFilter) -> None:
    if wanted.is_root is not None:
        found.add("parent_id IS NULL" if wanted.is_root else "parent_id IS NOT NULL")
    if wanted.since_ns is not None:
        found.add("start_ns >= ?", bounded(wanted.since_ns))
    if wanted.until_ns is not None:
        found.add("start_ns < ?", bounded(wanted.until_ns))


def asked_words(text: str) -> str:
    """What of a text is searched for: so many words, none of them endless."""
    return " ".join(word for word in clean(text).split()[:MAX_WORDS] if len(word) <= MAX_WORD)


def clean(text: str) -> str:
    """Text SQLite accepts: lone surrogates become question marks and so match nothing."""
    return text.encode("utf-8", "replace").decode("utf-8")


def bounded(value: int) -> int:
    """An integer cut to what SQLite can hold."""
    return max(-(2**63), min(2**63 - 1, value))
