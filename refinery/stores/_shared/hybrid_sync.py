"""Fills the DuckDB copy of a hybrid store from LMDB's log, and never forgets what it did not.

A slice of the log is copied and noted in one DuckDB transaction. Only then, and only as far as
DuckDB says it has come, is the log trimmed. A copy that is missing, of another store, or older
than the trimmed log is filled anew from the records themselves.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from refinery import clock
from refinery.stores._shared import analytics, analytics_rows
from refinery.stores._shared import hybrid_keys as keys
from refinery.stores._shared.analytics import Copy, Place
from refinery.stores._shared.hybrid_env import Environment
from refinery.stores._shared.hybrid_feedback import to_feedback
from refinery.stores._shared.hybrid_records import Records, read, write

SLICE = 5_000
"""Runs copied in one DuckDB transaction; bounds the memory a sync takes, and for how long whole
columns are made while writers wait for the interpreter."""
_TURN = 50
"""Rows made before others may have the interpreter."""

_TOKENS = 200
"""Syncs that may have been killed one after the other before the copy is filled anew."""

_TRACE = tuple(analytics.TRACES)


@dataclass(slots=True)
class _Slice:
    """What one slice changes."""

    through: int
    rows: dict[str, list[tuple[Any, ...]]] = field(
        default_factory=lambda: {table: [] for table in analytics.TABLES}
    )
    gone: dict[str, list[int]] = field(
        default_factory=lambda: {table: [] for table in analytics.TABLES}
    )


def unsynced(environment: Environment) -> int:
    """Entries of the log: writes that are not known to be in DuckDB."""
    return read(environment, lambda records: records.count("log"))


def moment(environment: Environment) -> str:
    """What the store is like, when nothing is unsynced; empty when something is."""

    def tell(records: Records) -> str:
        if records.count("log"):
            return ""
        store_id = (records.get("meta", b"store_id") or b"").decode("ascii", "replace")
        tokens = (records.get("meta", b"tokens") or b"").decode("ascii", "replace")
        return f"{store_id} {records.number('sequence')} {tokens}"

    return read(environment, tell)


def _never() -> bool:
    return False


def sync(
    environment: Environment,
    copy: Copy,
    timeout_s: float,
    is_over: Callable[[], bool] = _never,
) -> int:
    """Bring DuckDB up to date; returns the number of runs copied.

    Args:
        environment: LMDB.
        copy: DuckDB.
        timeout_s: how long another program that holds the DuckDB file is waited for.
        is_over: asked after each slice; the next sync goes on where one was ended.

    Raises:
        StoreError: another program holds the DuckDB file for longer than `timeout_s`, or a
            record is damaged.
    """
    with copy.filling(timeout_s) as connection:
        token = clock.new_uuid()
        state = write(environment, lambda records: _begin(records, token))
        place, copied = analytics.place(connection), 0
        if place.origin != state.store_id or not state.allows(place):
            filled = _fill(environment, connection, state, token, is_over)
            if filled is None:  # what the copy says of itself is not about this store
                return copied
            copied += filled
        while not is_over():
            found = _next(environment, analytics.place(connection).through)
            if found is None:
                break
            copied += _save(environment, connection, found, token)
        place = analytics.place(connection)
        write(environment, lambda records: _end(records, place))
        copy.moment = moment(environment)
    return copied


@dataclass(frozen=True, slots=True)
class _State:
    """What LMDB knows of its DuckDB copy."""

    store_id: str
    last: int
    """Last number of the log."""
    trimmed: int
    """Last number that was trimmed."""
    tokens: tuple[str, ...]
    """Of the last sync that ended, and of those that were begun since the one before it: a copy
    with another token is of another moment of this store, brought back from somewhere."""

    def allows(self, place: Place) -> bool:
        """Whether the copy can be carried on."""
        return place.token in self.tokens and self.trimmed <= place.through <= self.last


def _begin(records: Records, token: str) -> _State:
    """Note that a sync begins, before DuckDB is told anything of it."""
    tokens = (records.get("meta", b"tokens") or b"").decode("ascii", "replace").split()
    state = _State(
        (records.get("meta", b"store_id") or b"").decode("ascii", "replace"),
        records.number("sequence"),
        records.number("trimmed"),
        tuple(tokens),
    )
    records.put("meta", b"tokens", " ".join([*tokens[-_TOKENS:], token]).encode())
    return state


def _end(records: Records, place: Place) -> None:
    """Note what the copy holds now, and delete that from the log."""
    records.put("meta", b"tokens", place.token.encode())
    for key in list(records.keys("log")):
        if keys.to_number(key) > place.through:
            break
        records.drop("log", key)
    records.set_number("trimmed", max(records.number("trimmed"), place.through))


def _fill(
    environment: Environment,
    connection: Any,
    state: _State,
    token: str,
    is_over: Callable[[], bool],
) -> int | None:
    """Fill the copy anew with every record; what is written meanwhile stays in the log.

    Returns:
        How many runs were copied; None when it was over before the end and nothing was changed.
    """
    connection.execute("BEGIN")
    analytics.empty(connection, state.store_id)
    last = read(environment, lambda records: records.number("sequence"))
    copied = 0
    for table, name in (("runs", "heads"), ("traces", "traces"), ("feedback", "feedback")):
        at = 0
        while piece := _piece(environment, table, name, at):
            analytics.save(connection, table, piece.rows[table])
            copied += len(piece.rows["runs"])
            if is_over():
                connection.execute("ROLLBACK")
                return None
            at = piece.through + 1
    analytics.move_to(connection, last, token)
    environment.flush()
    connection.execute("COMMIT")
    return copied


def _piece(environment: Environment, table: str, name: str, start: int) -> _Slice | None:
    """The next records of a database, their last number being `through`; None at its end."""

    def collect(records: Records) -> _Slice | None:
        numbers = _numbers(records, name, start)
        if not numbers:
            return None
        found = _Slice(numbers[-1])
        _collect(records, found, table, numbers)
        return found

    return read(environment, collect)


def _numbers(records: Records, name: str, start: int) -> list[int]:
    """The next numbers of a database, at most `SLICE`."""
    cursor = records.txn.cursor(db=records.dbs[name])
    if not cursor.set_range(keys.of_number(start)):
        return []
    found: list[int] = []
    for key in cursor.iternext(keys=True, values=False):
        found.append(keys.to_number(key))
        if len(found) == SLICE:
            break
    return found


def _next(environment: Environment, through: int) -> _Slice | None:
    """What the next entries of the log change, as it is by now; None at its end."""

    def collect(records: Records) -> _Slice | None:
        cursor = records.txn.cursor(db=records.dbs["log"])
        if not cursor.set_range(keys.of_number(through + 1)):
            return None
        changed: dict[str, set[int]] = {table: set() for table in analytics.TABLES}
        last = through
        for key, raw in cursor:
            for table, numbers in zip(changed, keys.unpack(raw), strict=True):
                changed[table].update(numbers)
            last = keys.to_number(key)
            if sum(map(len, changed.values())) >= SLICE:
                break
        found = _Slice(last)
        for table, several in changed.items():
            _collect(records, found, table, sorted(several))
        return found

    return read(environment, collect)


def _collect(records: Records, found: _Slice, table: str, numbers: list[int]) -> None:
    make = {"runs": _run_row, "traces": _trace_row, "feedback": _feedback_row}[table]
    for at, number in enumerate(numbers):
        if at % _TURN == 0:
            time.sleep(0)
        row = make(records, number)
        if row is None:
            found.gone[table].append(number)
        else:
            found.rows[table].append(row)


def _run_row(records: Records, number: int) -> tuple[Any, ...] | None:
    head = records.head(number)
    if head is None:
        return None
    trace = records.trace(head.trace)
    about = (trace.source, trace.project) if trace else ("unknown", None)
    return analytics_rows.run_row(number, head.columns, records.line(number), about)


def _trace_row(records: Records, number: int) -> tuple[Any, ...] | None:
    record = records.trace(number)
    if record is None or record.summary is None:
        return None
    values = {
        "number": number,
        "trace_id": analytics_rows.text(record.trace_id),
        "source": analytics_rows.text(record.source),
        "project": analytics_rows.text(record.project),
        "label": record.label,
    }
    return tuple(
        values[name] if name in values else getattr(record.summary, name) for name in _TRACE
    )


def _feedback_row(records: Records, number: int) -> tuple[Any, ...] | None:
    raw = records.get("feedback", keys.of_number(number))
    if raw is None:
        return None
    trace_id, _, _, body = keys.unpack(raw)
    return analytics_rows.feedback_row(number, to_feedback(body, trace_id))


def _save(environment: Environment, connection: Any, found: _Slice, token: str) -> int:
    connection.execute("BEGIN")
    for table in analytics.TABLES:
        analytics.save(connection, table, found.rows[table], found.gone[table])
    analytics.move_to(connection, found.through, token)
    environment.flush()  # or DuckDB might know of writes that the machine's end took from LMDB
    connection.execute("COMMIT")
    return len(found.rows["runs"])
