"""Bytes that belong to traces, in the SQLite store."""

import hashlib
import sqlite3

from refinery.errors import StoreError
from refinery.stores._shared import packing
from refinery.stores._shared.queries import clean


def put(connection: sqlite3.Connection, content: bytes, trace_id: str) -> str:
    """Keep bytes for a trace; returns their reference."""
    reference = _reference(content)
    known = connection.execute("SELECT 1 FROM blobs WHERE reference = ?", (reference,)).fetchone()
    if known is None:
        codec, body = packing.pack(content)
        connection.execute("INSERT INTO blobs VALUES (?, ?, ?)", (reference, codec, body))
    connection.execute(
        "INSERT OR IGNORE INTO blobs_of_traces VALUES (?, ?)", (clean(trace_id), reference)
    )
    return reference


def get(connection: sqlite3.Connection, reference: str) -> bytes | None:
    """The bytes behind a reference; None when they are not kept.

    Raises:
        StoreError: they are not what was kept.
    """
    row = connection.execute(
        "SELECT codec, body FROM blobs WHERE reference = ?", (clean(reference),)
    ).fetchone()
    if row is None:
        return None
    try:
        content = packing.unpack(*row)
        if _reference(content) != reference:
            raise ValueError("its bytes have changed")
    except (ValueError, TypeError) as error:
        raise StoreError(
            f"{reference} in the trace store is damaged: {error}",
            hint="delete the trace, or restore the store from a copy",
        ) from error
    return content


def forget(connection: sqlite3.Connection, trace_id: str) -> None:
    """Take a trace's hold off its blobs; those nobody holds go."""
    held = connection.execute(
        "SELECT reference FROM blobs_of_traces WHERE trace_id = ?", (trace_id,)
    ).fetchall()
    connection.execute("DELETE FROM blobs_of_traces WHERE trace_id = ?", (trace_id,))
    connection.executemany(
        "DELETE FROM blobs WHERE reference = ?1 AND NOT EXISTS "
        "(SELECT 1 FROM blobs_of_traces WHERE reference = ?1)",
        held,
    )


def _reference(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
