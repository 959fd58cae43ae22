"""Records of the hybrid store's LMDB, read and written inside one transaction.

meta             name → number or text
run_ids          run id → number of the run, in order of arrival
heads            number → trace's number and `layout.COLUMNS`
bodies           number → codec, checksum, line packed by `packing`
by_start         start, number → nothing
of_trace         trace's number, number → nothing
by_parent        parent's id (hash), number → nothing
trace_ids        trace id → number of the trace
traces           number → id, source, project, summary, label
traces_by_start  start, number → nothing
log              sequence number → numbers of runs, traces and feedback that changed
words            word, number of a run → nothing
unindexed        number → nothing: a run that changed since its words were indexed
"""

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any, TypeVar

from refinery.model.trace import Run
from refinery.stores._shared import hybrid_keys as keys
from refinery.stores._shared import layout, packing
from refinery.stores._shared.hybrid_env import Environment
from refinery.stores._shared.summaries import RunColumns, Summary

T = TypeVar("T")

SCHEMA_VERSION = 1
"""Version of the records; a store of a later one is refused."""

_FIELDS = tuple(one.name for one in fields(Summary))
_values = attrgetter(*_FIELDS)


@dataclass(slots=True)
class TraceRecord:
    """A trace as it lies in the store."""

    number: int
    trace_id: str
    source: str
    project: str | None
    label: str | None
    summary: Summary | None
    """None: it is new."""

    @property
    def start_ns(self) -> int | None:
        """Start of the trace."""
        return self.summary.start_ns if self.summary else None


@dataclass(frozen=True, slots=True)
class Head:
    """A run without its line."""

    number: int
    trace: int
    columns: tuple[Any, ...]
    """Values of `layout.COLUMNS`."""

    @property
    def start_ns(self) -> int | None:
        """Start of the run."""
        start: int | None = self.columns[6]
        return start

    def summary_columns(self) -> RunColumns:
        """What the summary of its trace needs."""
        return RunColumns(self.number, self.columns[0], *self.columns[2:])


@dataclass(slots=True)
class Records:
    """The records as one transaction sees them, and the numbers it has changed."""

    txn: Any
    dbs: dict[str, Any]
    runs: set[int] = field(default_factory=set)
    traces: set[int] = field(default_factory=set)
    feedback: set[int] = field(default_factory=set)

    def get(self, name: str, key: bytes) -> bytes | None:
        """The value of a key; None when there is none."""
        found: bytes | None = self.txn.get(key, db=self.dbs[name])
        return found

    def put(self, name: str, key: bytes, value: bytes = b"") -> None:
        """Write a key."""
        self.txn.put(key, value, db=self.dbs[name])

    def drop(self, name: str, key: bytes) -> None:
        """Delete a key; one that is not there is no error."""
        self.txn.delete(key, db=self.dbs[name])

    def count(self, name: str) -> int:
        """Number of keys."""
        return int(self.txn.stat(self.dbs[name])["entries"])

    def keys(self, name: str, prefix: bytes = b"") -> Iterator[bytes]:
        """Keys that begin with a prefix, in order; the database must not change meanwhile."""
        cursor = self.txn.cursor(db=self.dbs[name])
        if cursor.set_range(prefix) if prefix else cursor.first():
            for key in cursor.iternext(keys=True, values=False):
                if not key.startswith(prefix):
                    return
                yield key

    def number(self, name: str) -> int:
        """A number of `meta`; 0 when it was never set."""
        raw = self.get("meta", name.encode())
        return int.from_bytes(raw, "big") if raw else 0

    def set_number(self, name: str, value: int) -> None:
        """Set a number of `meta`."""
        self.put("meta", name.encode(), keys.of_number(value))

    def next_number(self, name: str) -> int:
        """The next number of a count that is never given twice."""
        value = self.number(name) + 1
        self.set_number(name, value)
        return value

    def run_number(self, run_id: str) -> int | None:
        """Number of a run; None when there is none of that id."""
        raw = self.get("run_ids", keys.of_text(run_id))
        return keys.to_number(raw) if raw else None

    def head(self, number: int) -> Head | None:
        """A run without its line; None when it is gone."""
        raw = self.get("heads", keys.of_number(number))
        if raw is None:
            return None
        trace, *columns = keys.unpack(raw)
        if len(columns) != len(layout.COLUMNS):
            raise keys.damaged("a run has other columns")
        return Head(number, trace, tuple(columns))

    def line(self, number: int) -> bytes:
        """The line of a run.

        Raises:
            StoreError: it is missing or damaged.
        """
        raw = self.get("bodies", keys.of_number(number))
        if raw is None or len(raw) < 5:
            raise keys.damaged("the payload of a run is missing")
        if zlib.crc32(raw[5:]) != int.from_bytes(raw[1:5], "big"):
            raise keys.damaged("the checksum of a payload does not fit")
        try:
            return packing.unpack(raw[0], raw[5:])
        except ValueError as error:
            raise keys.damaged(str(error)) from error

    def run(self, head: Head) -> Run:
        """The run of a head."""
        return layout.to_run(head.columns, self.line(head.number))

    def save_run(self, number: int, trace: int, row: layout.RunRow, old: Head | None) -> None:
        """Write a run with all its keys, those it had before being taken out."""
        key = keys.of_number(number)
        head = Head(number, trace, row.columns)
        self.put("heads", key, keys.pack([trace, *row.columns]))
        codec, body = packing.pack(row.line)
        checksum = zlib.crc32(body).to_bytes(4, "big")
        self.put("bodies", key, bytes((codec,)) + checksum + body)
        before = _indexes(old) if old else set()
        now = _indexes(head)
        for name, gone in before - now:
            self.drop(name, gone)
        for name, new in now - before:
            self.put(name, new)
        self.runs.add(number)

    def drop_run(self, head: Head) -> None:
        """Take a run out with all its keys but its words."""
        key = keys.of_number(head.number)
        for name, gone in _indexes(head):
            self.drop(name, gone)
        self.drop("run_ids", keys.of_text(head.columns[0]))
        self.drop("heads", key)
        self.drop("bodies", key)
        self.drop("unindexed", key)
        self.runs.add(head.number)

    def trace(self, number: int) -> TraceRecord | None:
        """A trace by number; None when it is gone."""
        raw = self.get("traces", keys.of_number(number))
        if raw is None:
            return None
        trace_id, source, project, label, *summary = keys.unpack(raw)
        if len(summary) != len(_FIELDS):
            raise keys.damaged("a trace has other columns")
        return TraceRecord(number, trace_id, source, project, label, Summary(*summary))

    def trace_by_id(self, trace_id: str) -> TraceRecord | None:
        """A trace by id; None when there is none."""
        raw = self.get("trace_ids", keys.of_text(trace_id))
        return self.trace(keys.to_number(raw)) if raw else None

    def save_trace(self, record: TraceRecord, summary: Summary) -> None:
        """Write a trace with its keys."""
        key = keys.of_number(record.number)
        if record.summary is None:
            self.put("trace_ids", keys.of_text(record.trace_id), key)
        if record.summary is None or record.summary.start_ns != summary.start_ns:
            if record.summary is not None:
                self.drop("traces_by_start", keys.of_start(record.start_ns, record.number))
            self.put("traces_by_start", keys.of_start(summary.start_ns, record.number))
        record.summary = summary
        self.put(
            "traces",
            key,
            keys.pack(
                [record.trace_id, record.source, record.project, record.label, *_values(summary)]
            ),
        )
        self.traces.add(record.number)

    def drop_trace(self, record: TraceRecord) -> None:
        """Take a trace out; its runs are taken out by themselves."""
        self.drop("trace_ids", keys.of_text(record.trace_id))
        self.drop("traces_by_start", keys.of_start(record.start_ns, record.number))
        self.drop("traces", keys.of_number(record.number))
        self.traces.add(record.number)

    def heads_of(self, trace: int) -> list[Head]:
        """Runs of a trace, in order of arrival."""
        numbers = [keys.to_number(key) for key in self.keys("of_trace", keys.of_number(trace))]
        return [head for number in numbers if (head := self.head(number))]

    def children(self, run_id: str) -> Sequence[Head]:
        """Runs whose parent has this id."""
        numbers = [keys.to_number(key) for key in self.keys("by_parent", keys.short(run_id))]
        heads = [head for number in numbers if (head := self.head(number))]
        return [head for head in heads if head.columns[2] == run_id]

    def log(self) -> None:
        """Note in the log what this transaction has changed, for the sync; once, at its end."""
        if not (self.runs or self.traces or self.feedback):
            return
        changed = [sorted(self.runs), sorted(self.traces), sorted(self.feedback)]
        self.put("log", keys.of_number(self.next_number("sequence")), keys.pack(changed))


def _indexes(head: Head) -> set[tuple[str, bytes]]:
    """Keys of a run in the indexes."""
    number = keys.of_number(head.number)
    found = {
        ("by_start", keys.of_start(head.start_ns, head.number)),
        ("of_trace", keys.of_number(head.trace) + number),
    }
    if head.columns[2] is not None:
        found.add(("by_parent", keys.short(head.columns[2]) + number))
    return found


def read(environment: Environment, work: Callable[[Records], T]) -> T:
    """Do something with the records of one moment."""
    return environment.read(lambda txn: work(Records(txn, environment.dbs)))


def write(environment: Environment, work: Callable[[Records], T]) -> T:
    """Do something with the records in one write transaction; it may be done again."""
    return environment.write(lambda txn: work(Records(txn, environment.dbs)))
