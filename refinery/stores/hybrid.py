"""LMDB takes each write and is the truth; a background sync fills DuckDB for SQL."""

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TypeVar
from urllib.parse import parse_qsl

from refinery import clock
from refinery.errors import InputError, StoreError
from refinery.model.trace import Feedback, Json, Run, Trace, TraceSummary
from refinery.model.walk import in_tree_order
from refinery.ports import (
    ProjectSummary,
    RunBatch,
    RunFilter,
    RunPage,
    StoredRun,
    Tally,
    TraceFilter,
)
from refinery.stores._shared import (
    hybrid_answers,
    hybrid_env,
    hybrid_feedback,
    hybrid_keys,
    hybrid_queries,
    hybrid_records,
    hybrid_sessions,
    hybrid_sync,
    hybrid_words,
    hybrid_writing,
    preparing,
    queries,
)
from refinery.stores._shared.analytics import Copy
from refinery.stores._shared.hybrid_background import Background
from refinery.stores._shared.hybrid_env import FULL, PROCESS
from refinery.stores._shared.hybrid_records import Records
from refinery.stores._shared.hybrid_sessions import Session

T = TypeVar("T")
_log = logging.getLogger("refinery.stores")

_MAX_PAGE = 10_000
"""Most runs of one page, whatever is asked."""
_SEARCHING_S = 5.0
"""Seconds a search may spend on the full-text index; what is left it leaves out, and says so."""
_CLOSING_S = 0.5
"""Seconds `close` waits for a DuckDB file that others hold; the next sync takes what waits."""


def open_store(url: str) -> "HybridStore":
    """Open a store: `hybrid://` and a path, `?` and options.

    Beside the path lie `PATH.lmdb` and `PATH.duckdb`. Options: `auto_sync=off`;
    `durability=process` (what is written survives a killed process, not the machine's end) or
    `full`; `max_map_mb=N`; `session=NAME` (the path is a folder, a new session in it is begun).

    Raises:
        StoreError: the files cannot be used.
        InputError: an option is wrong.
    """
    text, _, asked = url.removeprefix("hybrid://").partition("?")
    options = dict(parse_qsl(asked, keep_blank_values=True))
    unknown = options.keys() - {"auto_sync", "durability", "max_map_mb", "session"}
    if not text or text.endswith("/.") or unknown:
        what = f"unknown option {min(unknown)!r}" if unknown else "it names no file"
        raise InputError(f"{url!r}: {what}", hint="e.g. hybrid:///home/me/traces?auto_sync=off")
    base = Path(text).expanduser()
    if "session" in options:
        base = hybrid_sessions.new_session(base, options["session"])
    return HybridStore(
        base,
        auto_sync=_choice(options, "auto_sync", ("on", "off")) == "on",
        durability=_choice(options, "durability", (FULL, PROCESS)),
        max_map_bytes=_megabytes(options.get("max_map_mb")),
    )


def open_session(
    folder: Path, name: str, *, auto_sync: bool = True, durability: str = PROCESS
) -> "HybridStore":
    """Begin a session `{name}_{timestamp}` in a folder.

    Raises:
        InputError: the name cannot be a file's.
        StoreError: the files cannot be made.
    """
    base = hybrid_sessions.new_session(folder, name)
    return HybridStore(base, auto_sync=auto_sync, durability=durability)


def sessions(folder: Path) -> list[Session]:
    """Sessions in a folder, oldest first; those of the archive are not among them."""
    return hybrid_sessions.sessions(folder)


def archive_sessions(folder: Path, before_ns: int) -> list[Session]:
    """Move sessions that started before a moment to `archive/`, synced and compacted.

    One that any process has open stays. Returns those moved.

    Raises:
        StoreError: one cannot be synced or moved; it is left where it was.
    """
    return hybrid_sessions.archive(folder, before_ns)


def _choice(options: dict[str, str], name: str, allowed: tuple[str, str]) -> str:
    value = options.get(name, allowed[0])
    if value not in allowed:
        raise InputError(f"{name}={value!r} is not known", hint=f"one of: {', '.join(allowed)}")
    return value


def _megabytes(text: str | None) -> int:
    if text is None:
        return hybrid_env.MAX_MAP_BYTES
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 2**24):
        raise InputError(f"max_map_mb={text[:20]!r} is no size", hint="megabytes, e.g. 4096")
    return int(text) * 2**20


class HybridStore:
    """The store of an LMDB folder with its DuckDB copy; see `refinery.ports.Store`."""

    def __init__(
        self,
        base: Path,
        *,
        auto_sync: bool = True,
        durability: str = FULL,
        max_map_bytes: int = hybrid_env.MAX_MAP_BYTES,
    ) -> None:
        self.base = base.absolute()
        self.copy = Copy(self.base.with_name(self.base.name + ".duckdb"))
        self._env = hybrid_env.acquire(
            self.base.with_name(self.base.name + ".lmdb"), durability, max_map_bytes
        )
        self._is_closed = False
        try:
            hybrid_records.write(
                self._env, lambda records: hybrid_answers.check(records, self.base)
            )
        except BaseException:
            hybrid_env.release(self._env)
            raise
        self._background = Background(self._env, self.copy) if auto_sync else None

    @property
    def sync_error(self) -> str | None:
        """Why the last background sync failed; None when it did not."""
        return self._background.error if self._background else None

    def __enter__(self) -> "HybridStore":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        stack: TracebackType | None,
    ) -> None:
        self.close()

    def _read(self, work: Callable[[Records], T]) -> T:
        self._refuse_closed()
        return hybrid_records.read(self._env, work)

    def _write(self, work: Callable[[Records], T]) -> T:
        self._refuse_closed()
        done = hybrid_records.write(self._env, work)
        if self._background is not None:
            self._background.wake()
        return done

    def _refuse_closed(self) -> None:
        if self._is_closed:
            raise StoreError(f"the hybrid store {self.base} is closed", hint="open it again")

    def write_runs(
        self, runs: Iterable[Run], *, source: str = "unknown", project: str | None = None
    ) -> int:
        """Write runs, joined with what is stored, in one transaction; returns how many are new."""
        return self.write_batches([RunBatch(list(runs), source, project)])

    def write_batches(self, batches: Sequence[RunBatch]) -> int:
        """Write several batches in one transaction; returns how many runs are new."""
        prepared = preparing.prepare(batches)
        if not prepared.runs:
            return 0
        return self._write(lambda records: hybrid_writing.write(records, prepared))

    def get_run(self, run_id: str) -> StoredRun | None:
        """One run of any trace; None when there is none of that id."""

        def find(records: Records) -> StoredRun | None:
            number = records.run_number(queries.clean(run_id))
            head = records.head(number) if number else None
            return hybrid_answers.stored(records, head) if head else None

        return self._read(find)

    def find_runs(self, wanted: RunFilter) -> RunPage:
        """Matching runs of all traces, a page at a time; pages neither overlap nor skip."""
        after = queries.place_after(wanted)
        limit = max(1, min(wanted.limit, _MAX_PAGE))
        words = self._words(wanted.text)

        def find(records: Records) -> RunPage:
            found = hybrid_queries.heads(records, wanted, words, after)
            heads = [head for _, head in zip(range(limit + 1), found, strict=False)]
            last = heads[limit - 1] if len(heads) > limit else None
            place = queries.Place(last.start_ns, last.number) if last else None
            return RunPage(
                tuple(hybrid_answers.stored(records, head) for head in heads[:limit]),
                queries.cursor(wanted, place) if place else None,
            )

        return self._read(find)

    def projects(self) -> list[ProjectSummary]:
        """Every project that holds traces, by name; traces without a project come first."""

        def find(records: Records) -> dict[str | None, list[int | None]]:
            found: dict[str | None, list[int | None]] = {}
            for record in hybrid_queries.traces(records, TraceFilter(), None):
                found.setdefault(record.project, []).append(record.start_ns)
            return found

        listed = []
        for name, starts in self._read(find).items():
            known = [start for start in starts if start is not None]
            ends = (min(known, default=None), max(known, default=None))
            listed.append(ProjectSummary(name, len(starts), *ends))
        return sorted(listed, key=lambda one: (one.name is not None, one.name or ""))

    def tally(self, field: str, limit: int = 1_000) -> list[Tally]:
        """Values of `project`, `user_id`, `session_id`, `name` or `source`, the latest first."""
        return self._read(lambda records: hybrid_answers.tally(records, field, limit))

    def put_blob(self, content: bytes, trace_id: str) -> str:
        """Keep bytes that belong to a trace; returns their reference."""
        return self._write(lambda records: hybrid_feedback.put_blob(records, content, trace_id))

    def get_blob(self, reference: str) -> bytes | None:
        """The bytes behind a reference; None when they are not kept."""
        return self._read(lambda records: hybrid_feedback.get_blob(records, reference))

    def get_trace(self, trace_id: str) -> Trace | None:
        """A whole trace, runs in tree order; None when there is none of that id."""

        def find(records: Records) -> Trace | None:
            record = records.trace_by_id(queries.clean(trace_id))
            if record is None:
                return None
            runs = [records.run(head) for head in records.heads_of(record.number)]
            about = (record.source, record.project)
            return Trace(record.trace_id, in_tree_order(runs), *about) if runs else None

        return self._read(find)

    def list_traces(self, wanted: TraceFilter) -> list[TraceSummary]:
        """Matching traces, newest start first."""
        words = self._words(wanted.text)

        def find(records: Records) -> list[TraceSummary]:
            found = hybrid_queries.traces(records, wanted, words)
            limit = max(0, wanted.limit)
            return [
                hybrid_answers.summary(one) for _, one in zip(range(limit), found, strict=False)
            ]

        return self._read(find)

    def find_ids(self, prefix: str, limit: int = 10) -> list[str]:
        """Ids of traces that begin with a prefix, in lexical order."""
        start = queries.clean(prefix)
        key = b"=" + start.encode()[: hybrid_keys.MAX_TEXT]

        def find(records: Records) -> list[str]:
            found: list[str] = []
            for one in records.keys("trace_ids", key):
                if len(found) >= limit:
                    break
                raw = records.get("trace_ids", one)
                record = records.trace(hybrid_keys.to_number(raw)) if raw else None
                if record and record.trace_id.startswith(start):
                    found.append(record.trace_id)
            return sorted(found)

        return self._read(find)

    def write_feedback(self, feedback: Iterable[Feedback]) -> None:
        """Write feedback; an id that is stored already is replaced."""
        given = list(feedback)
        self._write(lambda records: hybrid_feedback.write(records, given))

    def get_feedback(self, trace_id: str) -> list[Feedback]:
        """Feedback of a trace and its runs, oldest first."""
        key = queries.clean(trace_id)
        return self._read(lambda records: hybrid_feedback.read(records, key))

    def delete_traces(self, trace_ids: Sequence[str]) -> int:
        """Delete traces with all they hold; returns how many there were."""
        given = [queries.clean(one) for one in trace_ids]
        return self._write(lambda records: hybrid_answers.delete(records, given))

    def index(self, limit: int | None = None) -> int:
        """Make about so many more runs searchable (None: all); returns how many still wait."""
        done = 0
        while self._read(hybrid_words.is_behind):
            if limit is not None and done >= limit:
                return self._read(hybrid_words.waiting)
            self._write(hybrid_words.index_slice)
            done += hybrid_words.SLICE
        return 0

    def _words(self, text: str | None) -> list[str] | None:
        """Words of a search, with the index brought up to date; None when nothing is searched."""
        if text is None or not text.strip():
            return None
        until_s = clock.monotonic_s() + _SEARCHING_S
        while (left := self.index(limit=hybrid_words.SLICE)) and clock.monotonic_s() < until_s:
            continue
        if left:
            _log.warning(
                "about %d runs are not searched yet; the next search takes more of them", left
            )
        found = sorted(hybrid_words.words(queries.asked_words(text)))
        return found[: queries.MAX_WORDS]

    def sync(self, timeout_s: float = hybrid_env.BUSY_TIMEOUT_S) -> int:
        """Bring DuckDB up to date with everything written so far; returns the runs copied.

        Raises:
            StoreError: another program holds the DuckDB file for longer than `timeout_s`.
        """
        self._refuse_closed()
        if self.copy.is_of(hybrid_sync.moment(self._env)):
            return 0
        return hybrid_sync.sync(self._env, self.copy, timeout_s)

    def unsynced(self) -> int:
        """Number of writes that are not known to be in DuckDB yet."""
        self._refuse_closed()
        return hybrid_sync.unsynced(self._env)

    def analytics(self) -> Path:
        """The DuckDB file with the columns of all runs, brought up to date."""
        self.sync()
        return self.copy.path

    def stats(self) -> dict[str, Json]:
        """`{"traces", "runs", "size_bytes", "schema_version", "url", "unsynced"}`."""
        counts = self._read(
            lambda records: [records.count(one) for one in ("traces", "heads", "log")]
        )
        files = [self._env.folder / "data.mdb", self.copy.path]
        return {
            "traces": counts[0],
            "runs": counts[1],
            "size_bytes": sum(file.stat().st_size for file in files if file.exists()),
            "schema_version": hybrid_records.SCHEMA_VERSION,
            "url": f"hybrid://{self.base}",
            "unsynced": counts[2],
        }

    def close(self) -> None:
        """Sync, unless that is off, and release the files; further calls are errors.

        When DuckDB is in use elsewhere, what waits stays in LMDB for the next sync. Closing
        twice is harmless.
        """
        if self._is_closed:
            return
        if self._background is not None:
            self._background.stop()
            with suppress(StoreError):
                if self.unsynced():
                    self.sync(timeout_s=_CLOSING_S)
        with suppress(StoreError):
            self._env.flush()
        self._is_closed = True
        hybrid_env.release(self._env)
