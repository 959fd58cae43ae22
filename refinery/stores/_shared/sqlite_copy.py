"""Fills the DuckDB copy of a SQLite store: what is new or changed since the last time, by Arrow.

DuckDB's own reader of SQLite files is a download, so rows are copied. A run that changes is given
another payload, so place and size of its payload tell whether the copy has it; traces and feedback
are few and copied whole.
"""

import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from refinery import clock
from refinery.stores._shared import analytics, analytics_rows, rows
from refinery.stores._shared.analytics import Copy
from refinery.stores._shared.feedback import to_feedback

SLICE = 10_000
"""Runs copied in one DuckDB transaction; bounds the memory it takes."""

ORIGIN = "sqlite"
_SETTLED_NS = 20_000_000
"""Age of a file whose time and size tell whether it changed: the clocks of file systems tick at
most every 10 ms (Linux, HZ=100)."""

_PLACES = "SELECT number, run_id, payload, slot, coalesce(end_ns, 0) FROM runs ORDER BY number"
_CHANGED = """SELECT number FROM places_now
LEFT JOIN places USING (number)
WHERE places.run_id IS DISTINCT FROM places_now.run_id
    OR places.payload <> places_now.payload OR places.slot <> places_now.slot
    OR places.size <> places_now.size OR places.end_ns <> places_now.end_ns
UNION SELECT runs.number FROM runs JOIN traces_now USING (trace_id)
WHERE runs.source IS DISTINCT FROM traces_now.source
    OR runs.project IS DISTINCT FROM traces_now.project
ORDER BY 1"""
_GONE = "SELECT number FROM places WHERE number NOT IN (SELECT number FROM places_now)"


def update(connection: sqlite3.Connection, path: Path) -> Path:
    """Bring the copy beside a SQLite store up to date; returns its file.

    Args:
        connection: to the store, not inside a transaction.
        path: of the store.

    Raises:
        StoreError: the copy is in use by another program, or a run is damaged.
    """
    copy = Copy(path.with_suffix(".duckdb"))
    moment = _signature(path)
    if copy.is_of(moment):
        return copy.path
    with copy.filling() as duck:
        moment = _settled(path)
        connection.execute("BEGIN")
        try:
            _fill(connection, duck, is_new=analytics.place(duck).origin != ORIGIN)
        finally:
            connection.execute("ROLLBACK")
        copy.moment = moment
    return copy.path


def _settled(path: Path) -> str:
    """The signature once the store was not written for a moment; empty when it always is."""
    for _ in range(5):
        if signature := _signature(path):
            return signature
        time.sleep(_SETTLED_NS / 1e9)
    return ""


def _signature(path: Path) -> str:
    """What changes whenever the store is written; empty when it was written just now."""
    parts = []
    for file in (path, path.with_name(path.name + "-wal")):
        try:
            found = file.stat()
        except FileNotFoundError:
            continue
        if clock.now_ns() - found.st_mtime_ns < _SETTLED_NS:
            return ""
        parts.append(f"{found.st_ino}.{found.st_mtime_ns}.{found.st_size}")
    return " ".join(parts)


def _fill(connection: sqlite3.Connection, duck: Any, *, is_new: bool) -> None:
    import pyarrow as pa

    duck.execute("BEGIN")
    duck.execute(
        "CREATE TABLE IF NOT EXISTS places (number BIGINT, run_id VARCHAR, payload BIGINT, "
        "slot BIGINT, end_ns BIGINT, size BIGINT)"
    )
    if is_new:
        analytics.empty(duck, ORIGIN)
        duck.execute("DELETE FROM places")
    duck.execute("COMMIT")
    now = _places(connection)
    duck.register("places_now", pa.table(now))
    traces = list(_traces(connection))
    by_id = {name: [row[at] for row in traces] for at, name in enumerate(analytics.TRACES)}
    about = {one: pa.array(by_id[one], pa.string()) for one in ("trace_id", "source", "project")}
    duck.register("traces_now", pa.table(about))
    changed = [row[0] for row in duck.execute(_CHANGED).fetchall()]
    gone = [row[0] for row in duck.execute(_GONE).fetchall()]
    for at in range(0, len(changed), SLICE):
        some = changed[at : at + SLICE]
        _save(duck, _run_rows(connection, some), some, [])
    _save(duck, [], [], gone)
    duck.execute("BEGIN")
    for table, found in (("traces", traces), ("feedback", list(_feedback(connection)))):
        duck.execute(f"DELETE FROM {table}")  # noqa: S608  # our own names
        analytics.save(duck, table, found)
    duck.execute("COMMIT")


def _places(connection: sqlite3.Connection) -> dict[str, Any]:
    """Where every run lies, as Arrow columns."""
    import pyarrow as pa

    sizes = dict(connection.execute("SELECT number, length(body) FROM payloads"))
    parts: list[list[Any]] = [[], [], [], [], []]
    cursor = connection.execute(_PLACES)
    while found := cursor.fetchmany(50_000):
        for part, values in zip(parts, zip(*found, strict=True), strict=True):
            part.extend(values)
    number, run_id, payload, slot, end_ns = parts
    return {
        "number": pa.array(number, pa.int64()),
        "run_id": pa.array(run_id, pa.string()),
        "payload": pa.array(payload, pa.int64()),
        "slot": pa.array(slot, pa.int64()),
        "end_ns": pa.array(end_ns, pa.int64()),
        "size": pa.array([sizes.get(one, 0) for one in payload], pa.int64()),
    }


def _save(
    duck: Any, found: Sequence[tuple[Any, ...]], changed: Sequence[int], gone: Sequence[int]
) -> None:
    """Copy runs and where they lie, in one transaction."""
    import pyarrow as pa

    duck.execute("BEGIN")
    analytics.save(duck, "runs", found, gone)
    numbers = pa.array([*changed, *gone], pa.int64())
    duck.register("numbers_done", pa.table({"number": numbers}))
    duck.execute("DELETE FROM places WHERE number IN (SELECT number FROM numbers_done)")
    duck.execute(
        "INSERT INTO places SELECT number, run_id, payload, slot, end_ns, size FROM places_now "
        "WHERE number IN (SELECT number FROM numbers_done)"
    )
    duck.unregister("numbers_done")
    duck.execute("COMMIT")


def _run_rows(connection: sqlite3.Connection, numbers: Sequence[int]) -> list[tuple[Any, ...]]:
    given = rows.as_json(list(numbers))
    found = connection.execute(
        f"SELECT source, project, {rows.RUN} FROM runs "  # noqa: S608  # our own names
        "JOIN traces ON traces.number = runs.trace "
        "WHERE runs.number IN (SELECT value FROM json_each(?))",
        (given,),
    ).fetchall()
    stored = [(row[0], row[1], rows.to_row(row[2:])) for row in found]
    payloads = rows.Payloads(connection)
    payloads.load(row.payload for _, _, row in stored)
    return [
        analytics_rows.run_row(row.number, row.columns, payloads.line(row)[0], (source, project))
        for source, project, row in stored
    ]


def _traces(connection: sqlite3.Connection) -> Iterator[tuple[Any, ...]]:
    names = ", ".join(analytics.TRACES)
    kinds = list(analytics.TRACES.values())
    for row in connection.execute(f"SELECT {names} FROM traces"):  # noqa: S608  # our own names
        yield tuple(
            analytics_rows.text(value) if kind == "VARCHAR" else value
            for value, kind in zip(row, kinds, strict=True)
        )


def _feedback(connection: sqlite3.Connection) -> Iterator[tuple[Any, ...]]:
    for number, trace_id, body in connection.execute("SELECT rowid, trace_id, body FROM feedback"):
        yield analytics_rows.feedback_row(number, to_feedback(body, trace_id))
