"""Reads rows of the SQLite store: runs with their payloads, and what is stored of some ids."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any

from refinery.errors import StoreError
from refinery.model.trace import Run
from refinery.stores._shared import layout, packing

RUN = (
    "runs.number, run_id, trace_id, parent_id, runs.name, kind, runs.status, runs.start_ns, "
    "runs.end_ns, tokens, runs.session_id, runs.user_id, payload, slot"
)
"""Columns of a run as they are read: its number, `layout.COLUMNS`, where its line is."""

IDS_AT_ONCE = 5_000
"""Ids handed to one statement, so that no list grows without bound."""


@dataclass(frozen=True, slots=True)
class StoredRow:
    """A run as it lies in the store."""

    number: int
    columns: tuple[Any, ...]
    """Values of `layout.COLUMNS`."""
    payload: int
    slot: int


def as_json(values: Sequence[str | int]) -> str:
    """Ids or numbers as one argument for `json_each`."""
    return json.dumps(values)


def check(values: Sequence[Any], kinds: str) -> None:
    """See that values have the types of their columns, which a damaged file need not have.

    Args:
        values: of a row.
        kinds: one letter a column: `n` a number, `i` a number or null, `t` a text or null.

    Raises:
        StoreError: one has not.
    """
    for value, kind in zip(values, kinds, strict=True):
        if type(value) not in _KINDS[kind]:
            raise damaged(f"{type(value).__name__} in a column of other values")


_KINDS: dict[str, tuple[type, ...]] = {
    "n": (int,),
    "i": (int, NoneType),
    "t": (str, NoneType),
}


def to_row(values: Sequence[Any]) -> StoredRow:
    """A row from the values of `RUN`.

    Raises:
        StoreError: they cannot be such values.
    """
    check(values, "nttttttiiittnn")
    return StoredRow(values[0], tuple(values[1:12]), values[12], values[13])


def select(
    connection: sqlite3.Connection, condition: str, arguments: Sequence[Any]
) -> list[StoredRow]:
    """Rows of runs that fulfil a condition, which this room writes."""
    sql = f"SELECT {RUN} FROM runs JOIN traces ON traces.number = runs.trace WHERE {condition}"  # noqa: S608  # our own names
    return [to_row(row) for row in connection.execute(sql, arguments)]


def by_id(connection: sqlite3.Connection, run_ids: Sequence[str]) -> dict[str, StoredRow]:
    """The runs among these ids that are stored."""
    found: dict[str, StoredRow] = {}
    for at in range(0, len(run_ids), IDS_AT_ONCE):
        some = as_json(run_ids[at : at + IDS_AT_ONCE])
        rows = select(connection, "run_id IN (SELECT value FROM json_each(?))", (some,))
        found.update((row.columns[0], row) for row in rows)
    return found


class Payloads:
    """Lines of payloads, each payload read and unpacked once."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._unpacked: dict[int, tuple[bool, list[bytes]]] = {}

    def load(self, numbers: Iterable[int]) -> None:
        """Read payloads that will be asked for."""
        missing = sorted(set(numbers) - self._unpacked.keys())
        for at in range(0, len(missing), IDS_AT_ONCE):
            for number, codec, body in self._connection.execute(
                "SELECT number, codec, body FROM payloads "
                "WHERE number IN (SELECT value FROM json_each(?))",
                (as_json(missing[at : at + IDS_AT_ONCE]),),
            ):
                self._unpacked[number] = (packing.is_exact(codec), lines(codec, body))

    def line(self, row: StoredRow) -> tuple[bytes, bool]:
        """The line of a row, and whether it may hold whole numbers of any size.

        Raises:
            StoreError: the payload is damaged.
        """
        if row.payload not in self._unpacked:
            self.load([row.payload])
        is_exact, lines = self._unpacked.get(row.payload, (False, []))
        if not 0 <= row.slot < len(lines):
            raise damaged("its payload is missing or cannot be unpacked")
        return lines[row.slot], is_exact

    def run(self, row: StoredRow) -> Run:
        """The run of a row.

        Raises:
            StoreError: the row or its payload is damaged.
        """
        line, is_exact = self.line(row)
        return layout.to_run(row.columns, line, is_exact)


def lines(codec: Any, body: Any) -> list[bytes]:
    """Lines of a payload; none when it is damaged, which is an error of the runs in it only."""
    try:
        return packing.split(packing.unpack(codec, body))
    except (ValueError, TypeError, AttributeError):
        return []


def damaged(reason: str) -> StoreError:
    """The error of a row that cannot be what was written."""
    return StoreError(
        f"a run in the trace store is damaged: {reason}",
        hint="delete the trace, or restore the store from a copy",
    )


def runs_of(connection: sqlite3.Connection, rows: Sequence[Sequence[Any]]) -> list[Run]:
    """Runs from values of `RUN`, in their order.

    Raises:
        StoreError: a row is damaged.
    """
    stored = [to_row(row) for row in rows]
    payloads = Payloads(connection)
    payloads.load(row.payload for row in stored)
    return [payloads.run(row) for row in stored]
