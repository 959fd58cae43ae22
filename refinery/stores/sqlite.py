"""One SQLite file: the default store, safe for several threads and processes."""

import hashlib
import json
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from refinery.errors import StoreError
from refinery.model.codec import decode, encode
from refinery.model.merge import merge
from refinery.model.trace import Feedback, Json, Run, RunStatus, Trace, TraceSummary
from refinery.model.walk import in_tree_order
from refinery.ports import (
    ProjectSummary,
    RunBatch,
    RunFilter,
    RunPage,
    Store,
    StoredRun,
    TraceFilter,
)
from refinery.stores._shared import layout, queries, schema

_FORKED: list[sqlite3.Connection] = []
"""Connections inherited from a parent process: closing one would end the parent's locks."""

_MAX_PAGE = 10_000
"""Most runs of one page, whatever is asked."""

_ID_BATCH = 500
"""Ids in one `IN (…)`; older SQLite libraries take at most 999 arguments."""


def open_store(url: str) -> Store:
    """Open a store: a path, or `sqlite://` and a path (`sqlite:///home/me/traces.db`).

    Raises:
        StoreError: the file cannot be used.
    """
    text = url.removeprefix("sqlite://")
    if not text or text.endswith("/") or ":memory:" in text:
        raise StoreError(
            f"{url!r} names no file for the trace store", hint="give a path, e.g. traces.db"
        )
    return SqliteStore(Path(text).expanduser())


class SqliteStore:
    """The store of one file; see `refinery.ports.Store` for what each method promises."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock = threading.RLock()
        self._process = os.getpid()
        self._connection: sqlite3.Connection | None = schema.connect(self.path)

    def __enter__(self) -> "SqliteStore":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        stack: TracebackType | None,
    ) -> None:
        self.close()

    def write_runs(
        self, runs: Iterable[Run], *, source: str = "unknown", project: str | None = None
    ) -> int:
        """Write runs, joined with what is stored, in one transaction; returns how many are new."""
        return self.write_batches([RunBatch(list(runs), source, project)])

    def write_batches(self, batches: Sequence[RunBatch]) -> int:
        """Write several batches in one transaction; returns how many runs are new."""
        if not any(batch.runs for batch in batches):
            return 0
        with self._writing() as connection:
            return sum(_write(connection, batch) for batch in batches)

    def get_run(self, run_id: str) -> StoredRun | None:
        """One run of any trace; None when there is none of that id."""
        with self._reading() as connection:
            row = connection.execute(
                "SELECT number FROM runs WHERE run_id = ?", (queries.clean(run_id),)
            ).fetchone()
            found = _numbered(connection, [row[0]]) if row else []
        return found[0] if found else None

    def find_runs(self, wanted: RunFilter) -> RunPage:
        """Matching runs of all traces, a page at a time; pages neither overlap nor skip."""
        after = queries.place_after(wanted)
        limit = max(1, min(wanted.limit, _MAX_PAGE))
        places: list[tuple[int | None, int]] = []
        with self._reading() as connection:
            if after is None or after.start_ns is not None:
                places += connection.execute(*queries.page(wanted, after, limit + 1))
            if len(places) <= limit:
                room = limit + 1 - len(places)
                places += connection.execute(*queries.page_without_start(wanted, after, room))
            runs = _numbered(connection, [number for _, number in places[:limit]])
        last = queries.Place(*places[limit - 1]) if len(places) > limit else None
        return RunPage(tuple(runs), queries.cursor(wanted, last) if last else None)

    def projects(self) -> list[ProjectSummary]:
        """Every project that holds traces, by name; traces without a project come first."""
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT project, count(*), min(start_ns), max(start_ns) FROM traces "
                "GROUP BY project ORDER BY project"
            ).fetchall()
        return [ProjectSummary(*row) for row in rows]

    def put_blob(self, content: bytes, trace_id: str) -> str:
        """Keep bytes that belong to a trace; returns their reference."""
        reference = f"sha256:{hashlib.sha256(content).hexdigest()}"
        with self._writing() as connection:
            known = connection.execute(
                "SELECT 1 FROM blobs WHERE reference = ?", (reference,)
            ).fetchone()
            if known is None:
                connection.execute(
                    "INSERT INTO blobs VALUES (?, ?, ?)", (reference, *layout.pack(content))
                )
            connection.execute(
                "INSERT OR IGNORE INTO blobs_of_traces VALUES (?, ?)",
                (queries.clean(trace_id), reference),
            )
        return reference

    def get_blob(self, reference: str) -> bytes | None:
        """The bytes behind a reference; None when they are not kept."""
        with self._reading() as connection:
            row = connection.execute(
                "SELECT codec, body FROM blobs WHERE reference = ?", (queries.clean(reference),)
            ).fetchone()
        try:
            return layout.unpack(*row) if row else None
        except (ValueError, TypeError) as error:
            raise StoreError(
                f"{reference} in the trace store is damaged: {error}",
                hint="delete the trace, or restore the store from a copy",
            ) from error

    def get_trace(self, trace_id: str) -> Trace | None:
        """A whole trace, runs in tree order; None when there is none of that id."""
        key = queries.clean(trace_id)
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT codec, body FROM runs WHERE trace_id = ? ORDER BY number", (key,)
            ).fetchall()
            about = connection.execute(
                "SELECT source, project FROM traces WHERE trace_id = ?", (key,)
            ).fetchone()
        if not rows:
            return None
        source, project = about or ("unknown", None)
        return Trace(key, in_tree_order([layout.to_run(*row) for row in rows]), source, project)

    def list_traces(self, wanted: TraceFilter) -> list[TraceSummary]:
        """Matching traces, newest start first."""
        sql, arguments = queries.listing(wanted)
        with self._reading() as connection:
            rows = connection.execute(sql, arguments).fetchall()
        return [_summary(row) for row in rows]

    def find_ids(self, prefix: str, limit: int = 10) -> list[str]:
        """Ids of traces that begin with a prefix, in lexical order."""
        start = queries.clean(prefix)
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT trace_id FROM traces WHERE trace_id >= ? AND substr(trace_id, 1, ?) = ? "
                "ORDER BY trace_id LIMIT ?",
                (start, len(start), start, queries.bounded(max(0, limit))),
            ).fetchall()
        return [row[0] for row in rows]

    def write_feedback(self, feedback: Iterable[Feedback]) -> None:
        """Write feedback; an id that is stored already is replaced."""
        rows = [_feedback_row(item) for item in feedback]
        with self._writing() as connection:
            rows = [_placed(connection, row) for row in rows]
            connection.executemany(
                "INSERT OR REPLACE INTO feedback VALUES (?, ?, ?, ?, ?, ?)", rows
            )
            for trace_id in {row[1] for row in rows}:
                connection.execute(
                    "UPDATE traces SET label = ? WHERE trace_id = ?",
                    (_label(connection, trace_id), trace_id),
                )

    def get_feedback(self, trace_id: str) -> list[Feedback]:
        """Feedback of a trace and its runs, oldest first."""
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT body, trace_id FROM feedback WHERE trace_id = ? "
                "ORDER BY created_ns, rowid",
                (queries.clean(trace_id),),
            ).fetchall()
        return [_to_feedback(*row) for row in rows]

    def delete_traces(self, trace_ids: Sequence[str]) -> int:
        """Delete traces with all they hold; returns how many there were."""
        deleted = 0
        with self._writing() as connection:
            for trace_id in trace_ids:
                key = (queries.clean(trace_id),)
                connection.execute(
                    "DELETE FROM texts WHERE rowid IN "
                    "(SELECT number FROM runs WHERE trace_id = ?)",
                    key,
                )
                connection.execute("DELETE FROM runs WHERE trace_id = ?", key)
                connection.execute("DELETE FROM feedback WHERE trace_id = ?", key)
                connection.execute("DELETE FROM blobs_of_traces WHERE trace_id = ?", key)
                deleted += connection.execute(
                    "DELETE FROM traces WHERE trace_id = ?", key
                ).rowcount
            connection.execute(
                "DELETE FROM blobs WHERE NOT EXISTS "
                "(SELECT 1 FROM blobs_of_traces AS kept WHERE kept.reference = blobs.reference)"
            )
        return deleted

    def stats(self) -> dict[str, Json]:
        """`{"traces", "runs", "size_bytes", "schema_version", "url"}`."""
        with self._reading() as connection:
            traces = connection.execute("SELECT count(*) FROM traces").fetchone()[0]
            runs = connection.execute("SELECT count(*) FROM runs").fetchone()[0]
        files = [self.path, self.path.with_name(self.path.name + "-wal")]
        return {
            "traces": traces,
            "runs": runs,
            "size_bytes": sum(file.stat().st_size for file in files if file.exists()),
            "schema_version": schema.SCHEMA_VERSION,
            "url": f"sqlite://{self.path}",
        }

    def close(self) -> None:
        """Release the file; further calls are errors. Closing twice is harmless."""
        with self._lock:
            if self._connection is not None and self._process == os.getpid():
                self._connection.close()
            self._connection = None

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """The connection, held by this thread; errors of SQLite come out explained."""
        with self._lock, schema.explained(self.path):
            if self._connection is None:
                raise StoreError(f"the trace store {self.path} is closed", hint="open it again")
            if self._process != os.getpid():  # a connection must not be used across a fork
                _FORKED.append(self._connection)
                self._connection = schema.connect(self.path)
                self._process = os.getpid()
            yield self._connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._reading() as connection, schema.transaction(connection):
            yield connection


def _write(connection: sqlite3.Connection, batch: RunBatch) -> int:
    """Join the runs of a batch with what is stored; returns how many are new."""
    joined: dict[str, Run] = {}
    for run in batch.runs:
        key = queries.clean(run.run_id)
        joined[key] = merge(joined[key], run) if key in joined else run
    fresh = {key: layout.to_row(run) for key, run in joined.items()}
    stored = _stored(connection, list(joined))
    touched = {queries.clean(run.trace_id) for run in joined.values()}
    for key, (number, old) in stored.items():
        touched.add(queries.clean(old.trace_id))
        if (both := merge(old, joined[key])) != old:
            _update(connection, number, layout.to_row(both))
    _insert(connection, [row for key, row in fresh.items() if key not in stored])
    for trace_id in touched:
        _place_feedback(connection, trace_id)
        _refresh(connection, trace_id, batch.source, batch.project)
    return len(joined) - len(stored)


def _place_feedback(connection: sqlite3.Connection, trace_id: str) -> None:
    """Feedback that came before its run belongs to the trace of the run."""
    connection.execute(
        "UPDATE feedback SET trace_id = ?1 WHERE trace_id = '' AND run_id IN "
        "(SELECT run_id FROM runs WHERE trace_id = ?1)",
        (trace_id,),
    )


def _numbered(connection: sqlite3.Connection, numbers: list[int]) -> list[StoredRun]:
    """The runs of the given numbers, in that order."""
    found: dict[int, StoredRun] = {}
    for at in range(0, len(numbers), _ID_BATCH):
        batch = numbers[at : at + _ID_BATCH]
        marks = ", ".join("?" * len(batch))
        rows = connection.execute(
            "SELECT number, codec, body, source, project FROM runs "  # noqa: S608  # only question marks
            f"LEFT JOIN traces USING (trace_id) WHERE number IN ({marks})",
            batch,
        )
        for number, codec, body, source, project in rows:
            found[number] = StoredRun(layout.to_run(codec, body), source or "unknown", project)
    return [found[number] for number in numbers]


def _stored(connection: sqlite3.Connection, keys: list[str]) -> dict[str, tuple[int, Run]]:
    """Number and content of the runs that are stored already, by id."""
    found: dict[str, tuple[int, Run]] = {}
    for at in range(0, len(keys), _ID_BATCH):
        batch = keys[at : at + _ID_BATCH]
        marks = ", ".join("?" * len(batch))
        rows = connection.execute(
            f"SELECT run_id, number, codec, body FROM runs WHERE run_id IN ({marks})",  # noqa: S608  # only question marks
            batch,
        )
        found |= {row[0]: (row[1], layout.to_run(row[2], row[3])) for row in rows}
    return found


def _insert(connection: sqlite3.Connection, rows: list[layout.RunRow]) -> None:
    marks = ", ".join("?" * len(layout.RUN_COLUMNS.split(",")))
    for row in rows:
        number = connection.execute(
            f"INSERT INTO runs ({layout.RUN_COLUMNS}) VALUES ({marks})",  # noqa: S608  # our own names
            row.columns,
        ).lastrowid
        connection.execute("INSERT INTO texts (rowid, text) VALUES (?, ?)", (number, row.text))


def _update(connection: sqlite3.Connection, number: int, row: layout.RunRow) -> None:
    marks = ", ".join(f"{name.strip()} = ?" for name in layout.RUN_COLUMNS.split(","))
    connection.execute(
        f"UPDATE runs SET {marks} WHERE number = ?",  # noqa: S608  # our own names
        (*row.columns, number),
    )
    connection.execute("UPDATE texts SET text = ? WHERE rowid = ?", (row.text, number))


def _refresh(
    connection: sqlite3.Connection, trace_id: str, source: str, project: str | None
) -> None:
    """Bring the summary of a trace up to date with its runs; the first source said stays."""
    rows = connection.execute(
        "SELECT number, run_id, parent_id, name, kind, status, start_ns, end_ns, tokens, "
        "session_id, user_id FROM runs WHERE trace_id = ? ORDER BY number",
        (trace_id,),
    ).fetchall()
    if not rows:
        connection.execute("DELETE FROM traces WHERE trace_id = ?", (trace_id,))
        return
    about = connection.execute(
        "SELECT source, project FROM traces WHERE trace_id = ?", (trace_id,)
    ).fetchone() or ("unknown", None)
    columns: dict[str, Any] = {
        "trace_id": trace_id,
        **layout.summarise(trace_id, [layout.RunColumns(*row) for row in rows]),
        "source": about[0] if about[0] != "unknown" else queries.clean(source),
        "project": about[1] or (queries.clean(project) if project else None),
        "label": _label(connection, trace_id),
    }
    names = ", ".join(columns)
    changes = ", ".join(f"{name} = excluded.{name}" for name in columns)
    connection.execute(
        f"INSERT INTO traces ({names}) VALUES ({', '.join('?' * len(columns))}) "  # noqa: S608  # our own names
        f"ON CONFLICT (trace_id) DO UPDATE SET {changes}",
        list(columns.values()),
    )


def _label(connection: sqlite3.Connection, trace_id: str) -> str | None:
    """The outcome last said of a whole trace: `pass`, `fail` or None."""
    row = connection.execute(
        "SELECT body, trace_id FROM feedback "
        "WHERE trace_id = ? AND key = 'label' AND run_id IS NULL "
        "ORDER BY created_ns DESC, rowid DESC LIMIT 1",
        (trace_id,),
    ).fetchone()
    value = _to_feedback(*row).value if row else None
    outcome = value.get("outcome") if isinstance(value, dict) else value
    return outcome if outcome in ("pass", "fail") else None


def _feedback_row(item: Feedback) -> tuple[Any, ...]:
    encoded = encode(item)
    return (
        encoded["feedback_id"],
        encoded["trace_id"],
        encoded["run_id"],
        encoded["key"],
        queries.bounded(item.created_ns),
        json.dumps(encoded, ensure_ascii=False),
    )


def _placed(connection: sqlite3.Connection, row: tuple[Any, ...]) -> tuple[Any, ...]:
    """A row of feedback with the trace of its run filled in, when the run is there."""
    if row[1] or row[2] is None:
        return row
    found = connection.execute("SELECT trace_id FROM runs WHERE run_id = ?", (row[2],)).fetchone()
    return (row[0], found[0], *row[2:]) if found else row


def _to_feedback(body: str, trace_id: str) -> Feedback:
    try:
        return decode(Feedback, json.loads(body) | {"trace_id": trace_id})
    except (ValueError, TypeError, RecursionError) as error:
        raise StoreError(
            f"feedback in the trace store is damaged: {error}",
            hint="delete the trace, or restore the store from a copy",
        ) from error


def _summary(row: Sequence[Any]) -> TraceSummary:
    try:
        return TraceSummary(row[0], row[1], RunStatus(row[2]), *row[3:])
    except ValueError as error:
        raise StoreError(
            f"trace {row[0]} in the trace store is damaged: {error}",
            hint="delete the trace, or restore the store from a copy",
        ) from error
