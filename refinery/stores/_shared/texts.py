"""Full-text index of the SQLite store, filled after the runs.

Indexing a run costs about as much as storing it, so `write_batches` leaves it out: runs above
`indexed.through`, and those in `unindexed`, wait until a search, an idle moment or the store's
end. The index holds no texts, only which run has which word.
"""

import sqlite3
from collections.abc import Iterable, Sequence

from refinery.errors import StoreError
from refinery.stores._shared import layout, rows, schema

SLICE = 1_000
"""Runs indexed in one transaction: about 30 ms in which other writers wait (chosen by us)."""


def waiting(connection: sqlite3.Connection) -> int:
    """Number of runs that are not in the index yet."""
    row = connection.execute(
        "SELECT (SELECT count(*) FROM runs WHERE number > (SELECT through FROM indexed)) + "
        "(SELECT count(*) FROM unindexed)"
    ).fetchone()
    return int(row[0])


def is_behind(connection: sqlite3.Connection) -> bool:
    """Whether any run is not in the index yet."""
    row = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM runs WHERE number > (SELECT through FROM indexed)) OR "
        "EXISTS (SELECT 1 FROM unindexed)"
    ).fetchone()
    return bool(row[0])


def index_slice(connection: sqlite3.Connection) -> int:
    """Put the next `SLICE` waiting runs into the index, in one transaction; returns how many."""
    with schema.transaction(connection):
        stored = _waiting_rows(connection)
        connection.executemany(
            "INSERT INTO texts (rowid, text) VALUES (?, ?)", _texts(connection, stored)
        )
        connection.executemany(
            "DELETE FROM unindexed WHERE number = ?", [(row.number,) for row in stored]
        )
        if stored:
            connection.execute(
                "UPDATE indexed SET through = max(through, ?)", (stored[-1].number,)
            )
        return len(stored)


def _waiting_rows(connection: sqlite3.Connection) -> list[rows.StoredRow]:
    """At most `SLICE` runs, by number."""
    changed = "runs.number IN (SELECT number FROM unindexed LIMIT ?)"
    found = rows.select(connection, changed, (SLICE,))
    new = "runs.number > (SELECT through FROM indexed) ORDER BY runs.number LIMIT ?"
    found += rows.select(connection, new, (SLICE - len(found),))
    return sorted(found, key=lambda row: row.number)


def _texts(
    connection: sqlite3.Connection, stored: Sequence[rows.StoredRow]
) -> Iterable[tuple[int, str]]:
    payloads = rows.Payloads(connection)
    payloads.load(row.payload for row in stored)
    for row in stored:
        try:
            text = layout.searchable(row.columns[3], *payloads.line(row))
        except StoreError:  # the damage is told of when the run is read
            continue
        yield row.number, text


def forget(connection: sqlite3.Connection, stored: Sequence[rows.StoredRow]) -> None:
    """Take runs out of the index, before they are changed or deleted."""
    through = connection.execute("SELECT through FROM indexed").fetchone()[0]
    indexed = [row for row in stored if row.number <= through]
    if not indexed:
        return
    skipped = _unindexed(connection, [row.number for row in indexed])
    connection.executemany(
        "DELETE FROM unindexed WHERE number = ?", [(row.number,) for row in indexed]
    )
    payloads = rows.Payloads(connection)
    try:
        entries = [
            (row.number, layout.searchable(row.columns[3], *payloads.line(row)))
            for row in indexed
            if row.number not in skipped
        ]
    except StoreError:  # without its text an entry cannot be found: start the index anew
        connection.execute("INSERT INTO texts (texts) VALUES ('delete-all')")
        connection.execute("UPDATE indexed SET through = 0")
        connection.execute("DELETE FROM unindexed")
        return
    connection.executemany(
        "INSERT INTO texts (texts, rowid, text) VALUES ('delete', ?, ?)", entries
    )


def _unindexed(connection: sqlite3.Connection, numbers: Sequence[int]) -> set[int]:
    return {
        number
        for number in numbers
        if connection.execute("SELECT 1 FROM unindexed WHERE number = ?", (number,)).fetchone()
    }


def await_index(connection: sqlite3.Connection, numbers: Iterable[int]) -> None:
    """Let runs that were forgotten wait for the index again."""
    through = connection.execute("SELECT through FROM indexed").fetchone()[0]
    connection.executemany(
        "INSERT OR IGNORE INTO unindexed VALUES (?)",
        [(number,) for number in numbers if number <= through],
    )


def close_gap(connection: sqlite3.Connection) -> None:
    """After runs were deleted: numbers that will be given again are not in the index."""
    connection.execute(
        "UPDATE indexed SET through = min(through, (SELECT coalesce(max(number), 0) FROM runs))"
    )


def words(text: str) -> list[str]:
    """The different words of a text, quoted for a search, in lexical order.

    FTS5 itself splits it, so that a question has the words that the index has of the same text.
    """
    fts = sqlite3.connect(":memory:", isolation_level=None)
    try:
        fts.execute("CREATE VIRTUAL TABLE texts USING fts5 (text, detail = none)")
        fts.execute("CREATE VIRTUAL TABLE words USING fts5vocab (texts, 'row')")
        fts.execute("INSERT INTO texts VALUES (?)", (text.replace("\0", " "),))
        found = [row[0] for row in fts.execute("SELECT term FROM words")]
    finally:
        fts.close()
    return ['"' + word.replace('"', '""') + '"' for word in found]
