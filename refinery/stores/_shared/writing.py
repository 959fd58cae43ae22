"""Writes runs into the SQLite store: join, pack, insert, sum up; all inside one transaction.

What needs no database is done by `preparing`, before the transaction begins, so that other
writers wait for less.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field

from refinery.model.merge import merge
from refinery.stores._shared import blobs, layout, packing, rows, texts, traces
from refinery.stores._shared.preparing import Prepared
from refinery.stores._shared.summaries import RunColumns

BLOCK_BYTES = 128 * 2**10
"""Lines of a payload before a new one is begun: reading one run unpacks all of its payload."""


@dataclass(frozen=True, slots=True)
class _Written:
    """Rows as they were and are, by the id of their trace."""

    added: dict[str, list[RunColumns]] = field(default_factory=dict)
    changed: dict[str, list[tuple[RunColumns, RunColumns]]] = field(default_factory=dict)
    moved: set[str] = field(default_factory=set)
    """Traces that runs have left or joined from another trace."""


def write(connection: sqlite3.Connection, prepared: Prepared) -> int:
    """Write what was prepared; returns how many runs are new."""
    stored = rows.by_id(connection, list(prepared.rows))
    changes = _changes(connection, prepared, stored) if stored else {}
    fresh = {key: row for key, row in prepared.rows.items() if key not in stored}
    needed = {row.columns[1]: None for row in (*fresh.values(), *changes.values())}
    numbers = traces.numbers(connection, needed, prepared.about)
    written = _Written()
    if changes:
        before = [stored[key] for key in changes]
        texts.forget(connection, before)
        _update(connection, changes, stored, numbers, written)
        texts.await_index(connection, [row.number for row in before])
        release(connection, before)
    if fresh:
        _insert(connection, list(fresh.values()), numbers, written)
        traces.place_feedback(connection, fresh)
    _sum_up(connection, written, numbers)
    return len(fresh)


def _changes(
    connection: sqlite3.Connection, prepared: Prepared, stored: dict[str, rows.StoredRow]
) -> dict[str, layout.RunRow]:
    """Rows of the stored runs that what came says more of."""
    payloads = rows.Payloads(connection)
    payloads.load(row.payload for row in stored.values())
    changes: dict[str, layout.RunRow] = {}
    for key, row in stored.items():
        given = prepared.rows[key]
        if given.columns == row.columns and given.line == payloads.line(row)[0]:
            continue
        old = payloads.run(row)
        both = merge(old, prepared.run(key))
        if both != old:
            changes[key] = layout.to_row(both)
    return changes


def _sum_up(
    connection: sqlite3.Connection, written: _Written, numbers: dict[str, traces.Known]
) -> None:
    for trace_id in written.moved:
        traces.refresh(connection, trace_id)
    for trace_id in written.added.keys() | written.changed.keys():
        if trace_id not in written.moved:
            added = written.added.get(trace_id, [])
            changed = written.changed.get(trace_id, [])
            traces.grow(connection, numbers[trace_id], added, changed)


def _blocks(given: Sequence[layout.RunRow]) -> list[list[layout.RunRow]]:
    """Rows whose lines share a payload."""
    blocks: list[list[layout.RunRow]] = [[]]
    size = 0
    for row in given:
        if size and size + len(row.line) > BLOCK_BYTES:
            blocks.append([])
            size = 0
        blocks[-1].append(row)
        size += len(row.line)
    return blocks


def _place(
    connection: sqlite3.Connection, given: Sequence[layout.RunRow]
) -> list[tuple[int, int]]:
    """Store the lines of rows; returns payload and slot of each."""
    places: list[tuple[int, int]] = []
    for block in _blocks(given):
        packed = packing.pack(packing.join([row.line for row in block]))
        payload = connection.execute(
            "INSERT INTO payloads (codec, live, body) VALUES (?, ?, ?)",
            (packed[0], len(block), packed[1]),
        ).lastrowid
        places += [(payload or 0, slot) for slot in range(len(block))]
    return places


def _insert(
    connection: sqlite3.Connection,
    fresh: Sequence[layout.RunRow],
    numbers: dict[str, traces.Known],
    written: _Written,
) -> None:
    places = _place(connection, fresh)
    number = connection.execute("SELECT coalesce(max(number), 0) FROM runs").fetchone()[0]
    arguments = []
    for row, place in zip(fresh, places, strict=True):
        number += 1
        run_id, trace_id, *rest = row.columns
        arguments.append((number, run_id, numbers[trace_id].number, *rest, *place))
        written.added.setdefault(trace_id, []).append(RunColumns(number, run_id, *rest))
    connection.executemany(
        "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", arguments
    )


def _update(
    connection: sqlite3.Connection,
    changes: dict[str, layout.RunRow],
    stored: dict[str, rows.StoredRow],
    numbers: dict[str, traces.Known],
    written: _Written,
) -> None:
    arguments = []
    for (key, row), place in zip(
        changes.items(), _place(connection, list(changes.values())), strict=True
    ):
        old = stored[key]
        trace_id, *rest = row.columns[1:]
        arguments.append((numbers[trace_id].number, *rest, *place, old.number))
        if old.columns[1] != trace_id:
            written.moved.update((old.columns[1], trace_id))
        was = RunColumns(old.number, key, *old.columns[2:])
        now = RunColumns(old.number, key, *rest)
        written.changed.setdefault(trace_id, []).append((was, now))
    connection.executemany(
        "UPDATE runs SET trace = ?, parent_id = ?, name = ?, kind = ?, status = ?, start_ns = ?, "
        "end_ns = ?, tokens = ?, session_id = ?, user_id = ?, payload = ?, slot = ? "
        "WHERE number = ?",
        arguments,
    )


def release(connection: sqlite3.Connection, gone: Sequence[rows.StoredRow]) -> None:
    """Runs no longer use their lines: count them off, and drop payloads without any left."""
    connection.executemany(
        "UPDATE payloads SET live = live - 1 WHERE number = ?", [(row.payload,) for row in gone]
    )
    connection.executemany(
        "DELETE FROM payloads WHERE number = ? AND live <= 0",
        [(number,) for number in {row.payload for row in gone}],
    )


def erase(connection: sqlite3.Connection, gone: Sequence[rows.StoredRow]) -> None:
    """Take the lines of deleted runs out of the payloads they share with others."""
    release(connection, gone)
    slots: dict[int, set[int]] = {}
    for row in gone:
        slots.setdefault(row.payload, set()).add(row.slot)
    for number, blank in slots.items():
        found = connection.execute(
            "SELECT codec, body FROM payloads WHERE number = ?", (number,)
        ).fetchone()
        if found is None or packing.is_exact(found[0]):
            continue
        lines = rows.lines(*found)
        kept = [b"" if slot in blank else line for slot, line in enumerate(lines)]
        connection.execute(
            "UPDATE payloads SET codec = ?, body = ? WHERE number = ?",
            (*packing.pack(packing.join(kept)), number),
        )


def delete(connection: sqlite3.Connection, trace_id: str) -> int:
    """Delete a trace with its runs, feedback and blobs; returns 1, or 0 when there was none."""
    connection.execute("DELETE FROM feedback WHERE trace_id = ?", (trace_id,))
    blobs.forget(connection, trace_id)
    gone = rows.select(connection, "trace_id = ?", (trace_id,))
    texts.forget(connection, gone)
    connection.executemany("DELETE FROM runs WHERE number = ?", [(row.number,) for row in gone])
    erase(connection, gone)
    return connection.execute("DELETE FROM traces WHERE trace_id = ?", (trace_id,)).rowcount
