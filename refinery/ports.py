"""Every Protocol between floors, on one page."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, runtime_checkable

from refinery.model.failure import Signal
from refinery.model.patch import FileChange
from refinery.model.trace import Feedback, Json, Run, Trace, TraceSummary
from refinery.model.verdict import Remark


@dataclass(frozen=True, slots=True)
class TraceFilter:
    """Which traces to list; None leaves a field open."""

    status: str | None = None
    """A `RunStatus`, or `failed` for status error or label fail."""
    project: str | None = None
    name: str | None = None
    session_id: str | None = None
    user_id: str | None = None
    owner: str | None = None
    """Only traces that are this user's alone (`Trace.owner`)."""
    source: str | None = None
    since_ns: int | None = None
    until_ns: int | None = None
    """Half-open: since <= start < until, nanoseconds UTC."""
    text: str | None = None
    """Words that must occur somewhere in the trace (full-text search)."""
    label: str | None = None
    limit: int = 100
    after: tuple[int | None, str] | None = None
    """`start_ns` and `trace_id` of the last trace of the page before; None: the first page.

    Pages neither overlap nor skip; when that trace is gone, those of the very same start may
    come twice."""


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs to list, over all traces; None leaves a field open."""

    trace_id: str | None = None
    run_ids: Sequence[str] | None = None
    parent_id: str | None = None
    is_root: bool | None = None
    """Whether the run has no parent."""
    project: str | None = None
    kind: str | None = None
    status: str | None = None
    name: str | None = None
    session_id: str | None = None
    user_id: str | None = None
    owner: str | None = None
    """Only runs of traces that are this user's alone (`Trace.owner`)."""
    since_ns: int | None = None
    until_ns: int | None = None
    """Half-open: since <= start < until, nanoseconds UTC."""
    text: str | None = None
    """Words that must occur in the run (full-text search)."""
    is_oldest_first: bool = False
    limit: int = 100
    after: str | None = None
    """Cursor: `RunPage.next` of the page before."""


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run and what the store knows of its trace."""

    run: Run
    source: str = "unknown"
    project: str | None = None


@dataclass(frozen=True, slots=True)
class RunPage:
    """One page of runs, newest start first unless asked otherwise."""

    runs: tuple[StoredRun, ...]
    next: str | None = None
    """Cursor of the next page; None on the last one."""


@dataclass(frozen=True, slots=True)
class RunBatch:
    """Runs of one source and project, to be written with others in one transaction."""

    runs: Sequence[Run]
    source: str = "unknown"
    project: str | None = None


@dataclass(frozen=True, slots=True)
class PackedRuns:
    """Runs of any sources and projects, encoded in another process for one kind of store."""

    content: bytes
    count: int
    """How many runs there are."""


@dataclass(frozen=True, slots=True)
class ProjectSummary:
    """A project that holds traces."""

    name: str | None
    """None: traces filed under no project."""
    traces: int
    first_ns: int | None
    """Earliest and latest start of a trace, nanoseconds UTC."""
    last_ns: int | None


class Store(Protocol):
    """Where traces live. Each public file of `refinery.stores` has `open_store(url) -> Store`."""

    def write_runs(
        self, runs: Iterable[Run], *, source: str = "unknown", project: str | None = None
    ) -> int:
        """Write runs, joined with what is stored by `model.merge`; idempotent, atomic.

        Returns the number of runs that were new.

        Raises:
            StoreError: the store is corrupt, locked for more than 5 s, or full.
        """
        ...

    def write_batches(self, batches: Sequence[RunBatch]) -> int:
        """Write several batches in one transaction, as `write_runs` does each of them.

        Returns the number of runs that were new.

        Raises:
            StoreError: as `write_runs` does; then nothing of any batch is written.
        """
        ...

    def get_run(self, run_id: str) -> StoredRun | None:
        """One run of any trace; None when there is none of that id."""
        ...

    def find_runs(self, wanted: RunFilter) -> RunPage:
        """Matching runs of all traces, a page at a time; pages neither overlap nor skip.

        Raises:
            InputError: the cursor is none of this store's.
        """
        ...

    def projects(self) -> list[ProjectSummary]:
        """Every project that holds traces, by name."""
        ...

    def put_blob(self, content: bytes, trace_id: str) -> str:
        """Keep bytes that belong to a trace (an attachment, a request as it came).

        Returns a reference, `sha256:` and 64 hexadecimal digits; the same bytes of the same
        trace are kept once, and go when the trace is deleted.
        """
        ...

    def get_blob(self, reference: str) -> bytes | None:
        """The bytes behind a reference; None when they are not kept."""
        ...

    def get_trace(self, trace_id: str) -> Trace | None:
        """A whole trace, runs in tree order; None when there is none of that id."""
        ...

    def list_traces(self, wanted: TraceFilter) -> list[TraceSummary]:
        """Matching traces, newest start first."""
        ...

    def find_ids(self, prefix: str, limit: int = 10) -> list[str]:
        """Ids of traces that begin with a prefix, in lexical order."""
        ...

    def write_feedback(self, feedback: Iterable[Feedback]) -> None:
        """Write feedback; an id that is stored already is replaced."""
        ...

    def get_feedback(self, trace_id: str) -> list[Feedback]:
        """Feedback of a trace and its runs, oldest first.

        Feedback on a run may be written before the run is there, with an empty `trace_id`.
        """
        ...

    def delete_traces(self, trace_ids: Sequence[str]) -> int:
        """Delete traces with all they hold; returns how many there were."""
        ...

    def stats(self) -> dict[str, Json]:
        """`{"traces", "runs", "size_bytes", "schema_version", "url"}`."""
        ...

    def close(self) -> None:
        """Release the store; further calls are errors."""
        ...


@runtime_checkable
class Indexing(Protocol):
    """What a `Store` can do besides whose full-text index is filled after the runs."""

    def index(self, limit: int | None = None) -> int:
        """Make about so many more runs searchable (None: all); returns how many still wait."""
        ...


@runtime_checkable
class Packing(Protocol):
    """What a `Store` can do besides for which another process may encode runs."""

    packer: str
    """`module:function`; the function makes `PackedRuns` of batches where no store is open."""

    def write_packed(self, given: Sequence[RunBatch | PackedRuns]) -> int:
        """As `Store.write_batches`, in order of arrival."""
        ...


@dataclass(frozen=True, slots=True)
class RankedTrace:
    """A trace whose words fit, and where."""

    trace: TraceSummary
    run_id: str
    """The run that fits best."""
    score: float
    """Higher fits better; comes from all traces of the store, so only the order means anything."""


@runtime_checkable
class Ranking(Protocol):
    """What a `Store` can do besides whose full-text index can say what fits better."""

    def rank_traces(self, wanted: TraceFilter, kind: str | None = None) -> list[RankedTrace]:
        """Traces with any of the rarer words of `wanted.text`, best fit first.

        Args:
            wanted: text and filters.
            kind: only runs of this kind count; None: any.
        """
        ...


@dataclass(frozen=True, slots=True)
class Tally:
    """A value of one field of traces, and how many have it."""

    name: str
    traces: int
    errors: int
    """Traces that ended in an error or are labelled as failures."""
    first_ns: int | None
    """Earliest and latest start, nanoseconds UTC."""
    last_ns: int | None


@runtime_checkable
class Tallying(Protocol):
    """What a `Store` can do besides that counts traces by a field without reading them."""

    def tally(self, field: str, limit: int = 1_000) -> list[Tally]:
        """Values of `project`, `user_id`, `session_id`, `name` or `source`, the latest first."""
        ...


@runtime_checkable
class Analysing(Protocol):
    """What a `Store` can do besides that keeps a copy for SQL."""

    def analytics(self) -> Path:
        """The DuckDB file with the columns of all runs, brought up to date.

        Raises:
            StoreError: another program holds the file.
            PluginError: DuckDB is not installed.
        """
        ...


class TraceService(Protocol):
    """A service traces are fetched from. `connect` of an adapter opens one; used with `with`."""

    def __enter__(self) -> "TraceService":
        """The service itself."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        stack: TracebackType | None,
    ) -> None:
        """Close it."""
        ...

    def fetch_trace(self, reference: str) -> tuple[Trace, tuple[Feedback, ...]]:
        """One whole trace by id or address, with what was said of it.

        Raises:
            NotFoundError: there is none.
            CredentialsError: a key is missing or was refused.
            InputError: the reference cannot be read, or the service not be reached.
        """
        ...

    def fetch_traces(
        self,
        project: str | None = None,
        *,
        since_ns: int | None = None,
        until_ns: int | None = None,
        only_failed: bool = True,
        limit: int = 100,
    ) -> Iterator[tuple[Trace, tuple[Feedback, ...]]]:
        """Traces of a project, newest first where the service can tell, loaded one by one.

        Args:
            project: name or id; None: as the vendor's variables say, else its default.
            since_ns: earliest start, nanoseconds UTC.
            until_ns: end of the range, not included.
            only_failed: only traces in which something failed.
            limit: most traces.

        Raises:
            NotFoundError: there is no such project.
            CredentialsError, InputError: as `fetch_trace`.
        """
        ...


class Detector(Protocol):
    """One file of `refinery.detectors`: a module with these names.

    `CLEAN` (traces it must be silent on) and `FAILING` (pairs of a trace and the expected cause
    run ids) are its examples and its tests.
    """

    CLEAN: Sequence[Trace]
    FAILING: Sequence[tuple[Trace, Sequence[str]]]

    def detect(self, trace: Trace) -> Iterable[Signal]:
        """Signals of this kind in the trace, in tree order."""
        ...


class GuardRule(Protocol):
    """One file of `refinery.safety.rules`: a module with this function.

    `PASSES` and `REFUSED` (lists of `GuardInput`) are its examples and its tests.
    """

    def check(self, given: "GuardInput") -> Iterable[Remark]:
        """Remarks on the patch; none when the rule has nothing against it."""
        ...


@dataclass(frozen=True, slots=True)
class GuardInput:
    """What a guard rule may look at: final bytes and their context, never intentions."""

    changes: tuple[FileChange, ...]
    repository: Path
    """Root of the work tree, for path checks only."""
    located: tuple[tuple[str, int, int], ...] = ()
    """Places the diagnosis points to, as (path, first line, last line)."""
    trace_texts: tuple[str, ...] = ()
    """Strings of the trace, to see text copied from it."""
    limits: Mapping[str, Json] | None = None
    """Settings that tighten rules: `max_changed_lines` (int), `core_files` (list of globs),
    `protected_files` (list of globs)."""
    columns: tuple[tuple[str, int, int, int], ...] = ()
    """Places of `located` that are a part of one line, as (path, line, first, last character)."""
    fills: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Calls of the program that fill in a changed template, as (path, names they pass), shown from
    the source at the patch's base; empty when that cannot be shown."""


class Embedder(Protocol):
    """Turns texts into vectors.

    Each public file of `refinery.embedders` has `create(option: str) -> Embedder`; none downloads
    anything unless named by the user.
    """

    name: str
    dimensions: int

    def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """One unit-length vector of `dimensions` floats per text, in order."""
        ...
