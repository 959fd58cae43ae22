"""One SQLite file: the default store, safe for several threads and processes."""

import logging
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from refinery import clock
from refinery.errors import StoreError
from refinery.model.trace import Feedback, Json, Run, RunStatus, Trace, TraceSummary
from refinery.model.walk import in_tree_order
from refinery.ports import (
    PackedRuns,
    ProjectSummary,
    RankedTrace,
    RunBatch,
    RunFilter,
    RunPage,
    Store,
    StoredRun,
    Tally,
    TraceFilter,
)
from refinery.stores._shared import (
    blobs,
    preparing,
    queries,
    ranking,
    rows,
    schema,
    sqlite_copy,
    texts,
    walking,
    writing,
)
from refinery.stores._shared import (
    feedback as judged,
)
from refinery.stores._shared.connections import Connection, Readers

_log = logging.getLogger("refinery.stores")

_MAX_PAGE = 10_000
"""Most runs of one page, whatever is asked."""

_SEARCHING_S = 5.0
"""Seconds a search may spend on the full-text index; what is left it leaves out, and says so."""
_CLOSING_S = 0.2
"""Seconds `close` may spend on the full-text index; a later search does the rest."""


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

    packer = f"{preparing.__name__}:{preparing.pack.__name__}"
    """What another process calls to encode runs for `write_packed`."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._writer = Connection(self.path, schema.connect(self.path))
        self._reader = Readers(self.path)

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
        return self.write_packed(batches)

    def write_packed(self, given: Sequence[RunBatch | PackedRuns]) -> int:
        """The same for runs some of which another process has encoded."""
        prepared = preparing.prepare(given)
        if not prepared.rows:
            return 0
        with self._writer.transaction() as connection:
            return writing.write(connection, prepared)

    def get_run(self, run_id: str) -> StoredRun | None:
        """One run of any trace; None when there is none of that id."""
        with self._reader.use() as connection:
            found = _stored_runs(connection, "run_id = ?", (queries.clean(run_id),))
        return next(iter(found.values()), None)

    def find_runs(self, wanted: RunFilter) -> RunPage:
        """Matching runs of all traces, a page at a time; pages neither overlap nor skip."""
        after = queries.place_after(wanted)
        limit = max(1, min(wanted.limit, _MAX_PAGE))
        words = self._words(wanted.text)
        found: list[tuple[int | None, int]] = []
        with self._reader.use() as connection:
            if after is None or after.start_ns is not None:
                query = queries.page(wanted, words, after)
                found += connection.execute(*query.places(limit + 1))
            if len(found) <= limit:
                query = queries.page_without_start(wanted, words, after)
                found += connection.execute(*query.places(limit + 1 - len(found)))
            shown = rows.as_json([number for _, number in found[:limit]])
            runs = _stored_runs(
                connection, "runs.number IN (SELECT value FROM json_each(?))", (shown,)
            )
        last = queries.Place(*found[limit - 1]) if len(found) > limit else None
        return RunPage(
            tuple(runs[number] for _, number in found[:limit] if number in runs),
            queries.cursor(wanted, last) if last else None,
        )

    def projects(self) -> list[ProjectSummary]:
        """Every project that holds traces, by name; traces without a project come first."""
        with self._reader.use() as connection:
            found = connection.execute(
                "SELECT project, count(*), min(start_ns), max(start_ns) FROM traces "
                "GROUP BY project ORDER BY project"
            ).fetchall()
        return [ProjectSummary(*row) for row in found]

    def put_blob(self, content: bytes, trace_id: str) -> str:
        """Keep bytes that belong to a trace; returns their reference."""
        with self._writer.transaction() as connection:
            return blobs.put(connection, content, trace_id)

    def get_blob(self, reference: str) -> bytes | None:
        """The bytes behind a reference; None when they are not kept."""
        with self._reader.use() as connection:
            return blobs.get(connection, reference)

    def get_trace(self, trace_id: str) -> Trace | None:
        """A whole trace, runs in tree order; None when there is none of that id."""
        key = queries.clean(trace_id)
        with self._reader.use() as connection:
            about = connection.execute(
                "SELECT number, source, project FROM traces WHERE trace_id = ?", (key,)
            ).fetchone()
            if about is None:
                return None
            found = _stored_runs(connection, "trace = ?", about[:1])
        runs = [found[number].run for number in sorted(found)]
        return Trace(key, in_tree_order(runs), *about[1:]) if runs else None

    def list_traces(self, wanted: TraceFilter) -> list[TraceSummary]:
        """Matching traces, newest start first."""
        words = self._words(wanted.text)
        found: list[Any] = []
        with self._reader.use() as connection:
            walked = walking.summaries(connection, wanted, words) if words else None
            if walked is not None:
                return [_summary(row) for row in walked]
            for sql, arguments in queries.listings(wanted, words):
                arguments[-1] -= len(found)
                found += connection.execute(sql, arguments).fetchall()
        return [_summary(row) for row in found]

    def rank_traces(self, wanted: TraceFilter, kind: str | None = None) -> list[RankedTrace]:
        """Traces with any of the rarer words of `wanted.text`, best fit first."""
        words = self._words(wanted.text) or []
        with self._reader.use() as connection:
            best = ranking.best_runs(connection, words, wanted, kind)
            found = ranking.summaries(connection, [number for number, _, _ in best])
        return [
            RankedTrace(_summary(found[number]), run_id, score)
            for number, run_id, score in best
            if number in found
        ]

    def tally(self, field: str, limit: int = 1_000) -> list[Tally]:
        """Values of a field of traces, those with the latest trace first; null is none."""
        with self._reader.use() as connection:
            found = connection.execute(queries.tally(field), (queries.bounded(limit),)).fetchall()
        return [Tally(*row) for row in found]

    def find_ids(self, prefix: str, limit: int = 10) -> list[str]:
        """Ids of traces that begin with a prefix, in lexical order."""
        start = queries.clean(prefix)
        with self._reader.use() as connection:
            found = connection.execute(
                "SELECT trace_id FROM traces WHERE trace_id >= ? AND trace_id < ? "
                "ORDER BY trace_id LIMIT ?",
                (start, start + chr(0x10FFFF), queries.bounded(max(0, limit))),
            ).fetchall()
        return [row[0] for row in found]

    def write_feedback(self, feedback: Iterable[Feedback]) -> None:
        """Write feedback; an id that is stored already is replaced."""
        given = list(feedback)
        with self._writer.transaction() as connection:
            judged.write(connection, given)

    def get_feedback(self, trace_id: str) -> list[Feedback]:
        """Feedback of a trace and its runs, oldest first."""
        with self._reader.use() as connection:
            return judged.read(connection, trace_id)

    def delete_traces(self, trace_ids: Sequence[str]) -> int:
        """Delete traces with all they hold; returns how many there were."""
        with self._writer.transaction() as connection:
            deleted = sum(writing.delete(connection, queries.clean(one)) for one in trace_ids)
            texts.close_gap(connection)
        return deleted

    def index(self, limit: int | None = None) -> int:
        """Put runs into the full-text index that are not in it yet.

        Searches do this themselves; doing it when nothing else is to be done makes them quick.

        Args:
            limit: runs to look at, about; None: all.

        Returns:
            The number of runs that still wait.
        """
        done = 0
        with self._writer.use() as connection:
            while limit is None or done < limit:
                if not texts.is_behind(connection):
                    return 0
                taken = texts.index_slice(connection)
                if taken == 0:  # a damaged file counts runs that it cannot show
                    raise rows.damaged("runs to be indexed cannot be found")
                done += taken
            return texts.waiting(connection)

    def analytics(self) -> Path:
        """The DuckDB file beside the store with the columns of all runs, brought up to date."""
        own = Connection(self.path)  # a long copy must not keep others from reading
        try:
            with own.use() as connection:
                return sqlite_copy.update(connection, self.path)
        finally:
            own.close()

    def stats(self) -> dict[str, Json]:
        """`{"traces", "runs", "size_bytes", "schema_version", "url"}`."""
        with self._reader.use() as connection:
            counts = [
                connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608  # our own names
                for table in ("traces", "runs")
            ]
        files = [self.path, self.path.with_name(self.path.name + "-wal")]
        return {
            "traces": counts[0],
            "runs": counts[1],
            "size_bytes": sum(file.stat().st_size for file in files if file.exists()),
            "schema_version": schema.SCHEMA_VERSION,
            "url": f"sqlite://{self.path}",
        }

    def close(self) -> None:
        """Release the file; further calls are errors. Closing twice is harmless."""
        with suppress(StoreError):  # what is not indexed now is indexed by the next search
            until_s = clock.monotonic_s() + _CLOSING_S
            while clock.monotonic_s() < until_s and self.index(limit=texts.SLICE):
                continue
        self._reader.close()
        self._writer.close()

    def _catch_up(self) -> None:
        """Index what waits, for a bounded time; says what is left out of the search."""
        until_s = clock.monotonic_s() + _SEARCHING_S
        while (left := self.index(limit=texts.SLICE)) and clock.monotonic_s() < until_s:
            continue
        if left:
            _log.warning(
                "%d of the latest runs are not searched yet; the next search takes more of them",
                left,
            )

    def _words(self, text: str | None) -> list[str] | None:
        """Words of a search, with the index brought up to date; None when nothing is searched."""
        if text is None or not text.strip():
            return None
        with self._reader.use() as connection:
            is_behind = texts.is_behind(connection)
        if is_behind:
            self._catch_up()
        return texts.words(queries.asked_words(text))[: queries.MAX_WORDS]


def _stored_runs(
    connection: sqlite3.Connection, condition: str, arguments: Sequence[Any]
) -> dict[int, StoredRun]:
    """Runs by number."""
    found = connection.execute(
        f"SELECT source, project, {rows.RUN} FROM runs "  # noqa: S608  # conditions of this file
        f"JOIN traces ON traces.number = runs.trace WHERE {condition}",
        arguments,
    ).fetchall()
    runs = rows.runs_of(connection, [row[2:] for row in found])
    return {row[2]: StoredRun(run, row[0], row[1]) for row, run in zip(found, runs, strict=True)}


_STATUSES = {str(status): status for status in RunStatus}


def _summary(row: Sequence[Any]) -> TraceSummary:
    try:
        return TraceSummary(row[0], row[1], _STATUSES[row[2]], *row[3:])
    except KeyError as error:
        raise StoreError(
            f"trace {row[0]} in the trace store is damaged: no status {error}",
            hint="delete the trace, or restore the store from a copy",
        ) from error
