"""Feedback in the SQLite store."""

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from refinery.errors import StoreError
from refinery.model.codec import decode, encode
from refinery.model.trace import Feedback
from refinery.stores._shared.queries import bounded, clean


def write(connection: sqlite3.Connection, feedback: Sequence[Feedback]) -> None:
    """Write feedback, replacing what has the same id, and the labels that follow from it."""
    rows = [_placed(connection, _row(item)) for item in feedback]
    connection.executemany("INSERT OR REPLACE INTO feedback VALUES (?, ?, ?, ?, ?, ?)", rows)
    for trace_id in {row[1] for row in rows}:
        connection.execute(
            "UPDATE traces SET label = ? WHERE trace_id = ?",
            (label(connection, trace_id), trace_id),
        )


def read(connection: sqlite3.Connection, trace_id: str) -> list[Feedback]:
    """Feedback of a trace and its runs, oldest first."""
    rows = connection.execute(
        "SELECT body, trace_id FROM feedback WHERE trace_id = ? ORDER BY created_ns, rowid",
        (clean(trace_id),),
    )
    return [to_feedback(*row) for row in rows]


def label(connection: sqlite3.Connection, trace_id: str) -> str | None:
    """The outcome last said of a whole trace: `pass`, `fail` or None."""
    row = connection.execute(
        "SELECT body, trace_id FROM feedback "
        "WHERE trace_id = ? AND key = 'label' AND run_id IS NULL "
        "ORDER BY created_ns DESC, rowid DESC LIMIT 1",
        (trace_id,),
    ).fetchone()
    value = to_feedback(*row).value if row else None
    outcome = value.get("outcome") if isinstance(value, dict) else value
    return outcome if outcome in ("pass", "fail") else None


def _row(item: Feedback) -> tuple[Any, ...]:
    encoded = encode(item)
    return (
        encoded["feedback_id"],
        encoded["trace_id"],
        encoded["run_id"],
        encoded["key"],
        bounded(item.created_ns),
        json.dumps(encoded, ensure_ascii=False),
    )


def _placed(connection: sqlite3.Connection, row: tuple[Any, ...]) -> tuple[Any, ...]:
    """A row with the trace of its run filled in, when the run is there."""
    if row[1] or row[2] is None:
        return row
    found = connection.execute(
        "SELECT trace_id FROM runs JOIN traces ON traces.number = runs.trace WHERE run_id = ?",
        (row[2],),
    ).fetchone()
    return (row[0], found[0], *row[2:]) if found else row


def to_feedback(body: str, trace_id: str) -> Feedback:
    """Feedback from its row.

    Raises:
        StoreError: it is damaged.
    """
    try:
        return decode(Feedback, json.loads(body) | {"trace_id": trace_id})
    except (ValueError, TypeError, RecursionError) as error:
        raise StoreError(
            f"feedback in the trace store is damaged: {error}",
            hint="delete the trace, or restore the store from a copy",
        ) from error
