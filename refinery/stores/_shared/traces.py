"""Rows of the table `traces` of the SQLite store: numbers, summaries, labels."""

import json
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

from refinery.stores._shared import feedback, rows
from refinery.stores._shared.summaries import Change, RunColumns, Summary, grown, summarise

_SUMMARY = (
    "name, status, runs, errors, start_ns, end_ns, session_id, user_id, total_tokens, root, "
    "root_rank, first_ns, last_ns, ended, is_nested"
)
_COLUMNS = (
    "number, run_id, parent_id, name, kind, status, start_ns, end_ns, tokens, session_id, user_id"
)
_values = attrgetter(*_SUMMARY.split(", "))
_SET = ", ".join(f"{name} = ?" for name in _SUMMARY.split(", "))


@dataclass(frozen=True, slots=True)
class Known:
    """A trace as it was before the runs at hand."""

    number: int
    trace_id: str
    summary: Summary | None
    """None: it is new."""


def numbers(
    connection: sqlite3.Connection,
    needed: Collection[str],
    about: Mapping[str, tuple[str, str | None]],
) -> dict[str, Known]:
    """The traces that are needed, made when they are new, and those that something is said of.

    What is said first of a trace's source and project stays: it fills what is unknown only.
    """
    found: dict[str, Known] = {}
    asked = connection.execute(
        f"SELECT number, trace_id, source, project, {_SUMMARY} FROM traces "  # noqa: S608  # our own names
        "WHERE trace_id IN (SELECT value FROM json_each(?))",
        (json.dumps(list({*needed, *about})),),
    ).fetchall()
    for number, trace_id, source, project, *summary in asked:
        rows.check((number, *summary), "nttnniittiiiiiii")
        found[trace_id] = Known(number, trace_id, Summary(*summary))
        said = about.get(trace_id, ("unknown", None))
        if (source == "unknown" and said[0] != source) or (project is None and said[1]):
            connection.execute(
                "UPDATE traces SET source = ?, project = ? WHERE number = ?",
                (said[0] if source == "unknown" else source, project or said[1], number),
            )
    for trace_id in (one for one in needed if one not in found):
        source, project = about.get(trace_id, ("unknown", None))
        number = connection.execute(
            "INSERT INTO traces (trace_id, name, status, runs, errors, source, project, label) "
            "VALUES (?, '', 'unknown', 0, 0, ?, ?, ?)",
            (trace_id, source, project, feedback.label(connection, trace_id)),
        ).lastrowid
        found[trace_id] = Known(number or 0, trace_id, None)
    return found


def grow(
    connection: sqlite3.Connection,
    known: Known,
    added: Sequence[RunColumns],
    changed: Sequence[tuple[RunColumns, RunColumns]],
) -> None:
    """Bring the summary of a trace up to date with runs that were just written."""
    old = known.summary
    if old is None and not changed:
        _save(connection, known.number, summarise(known.trace_id, added))
        return
    summary = None
    if old is not None and old.root is not None and not old.is_nested:
        now = [*added, *(new for _, new in changed)]
        root = _columns(connection, "number = ?", old.root)
        if root and not _nests(connection, known.number, now):
            summary = grown(known.trace_id, old, Change(root[0], added, changed))
    if summary is None:
        refresh(connection, known.trace_id)
    else:
        _save(connection, known.number, summary)


def _nests(connection: sqlite3.Connection, trace: int, runs: Iterable[RunColumns]) -> bool:
    """Whether any of these runs is below a model call that says its tokens, or is one above."""
    parents: set[str] = set()
    for run in runs:
        if run.parent_id is not None:
            parents.add(run.parent_id)
        if run.is_counted and _exists(
            connection, "parent_id = ? AND trace = ?", run.run_id, trace
        ):
            return True
    return any(
        _exists(
            connection,
            "run_id = ? AND tokens IS NOT NULL AND kind IN ('llm', 'embedding')",
            parent,
        )
        for parent in parents
    )


def _exists(connection: sqlite3.Connection, condition: str, *arguments: object) -> bool:
    sql = f"SELECT 1 FROM runs WHERE {condition} LIMIT 1"  # noqa: S608  # conditions of this file
    return connection.execute(sql, arguments).fetchone() is not None


def _columns(connection: sqlite3.Connection, condition: str, argument: int) -> list[RunColumns]:
    sql = f"SELECT {_COLUMNS} FROM runs WHERE {condition}"  # noqa: S608  # conditions of this file
    found = connection.execute(sql, (argument,)).fetchall()
    for row in found:
        rows.check(row, "ntttttiiitt")
    return [RunColumns(*row) for row in found]


def refresh(connection: sqlite3.Connection, trace_id: str) -> None:
    """Derive the summary of a trace from all its runs; a trace without runs goes."""
    found = connection.execute(
        "SELECT number FROM traces WHERE trace_id = ?", (trace_id,)
    ).fetchone()
    if found is None:
        return
    runs = sorted(_columns(connection, "trace = ?", found[0]), key=lambda run: run.number)
    if runs:
        _save(connection, found[0], summarise(trace_id, runs))
    else:
        connection.execute("DELETE FROM traces WHERE number = ?", found)


def _save(connection: sqlite3.Connection, number: int, summary: Summary) -> None:
    connection.execute(
        f"UPDATE traces SET {_SET} WHERE number = ?",  # noqa: S608  # our own names
        (*_values(summary), number),
    )


def place_feedback(connection: sqlite3.Connection, run_ids: Iterable[str]) -> None:
    """Feedback that came before its run belongs to the trace of the run."""
    waiting = connection.execute("SELECT 1 FROM feedback WHERE trace_id = '' LIMIT 1").fetchone()
    if waiting is None:
        return
    connection.execute(
        "UPDATE feedback SET trace_id = (SELECT trace_id FROM runs "
        "JOIN traces ON traces.number = runs.trace WHERE runs.run_id = feedback.run_id) "
        "WHERE trace_id = '' AND run_id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(run_ids)),),
    )
