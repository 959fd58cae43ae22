"""Open runs of this process: ids, order and times of each trace, and what is sent of it when.

A view goes to the sink when a run starts, so that a killed process leaves a trace, and a whole
one when it ends. Times inside a trace come from one reading of the wall clock and the monotonic
clock, so a jump of the wall clock never makes a run end before it began.
"""

import time
import traceback
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from refinery import clock
from refinery.model.trace import RunError, RunStatus
from refinery.recorders._origin import Entry, OriginReader, command_line, shared_reader
from refinery.recorders._snapshot import Snapshot, snapshot
from refinery.recorders._source import Subject
from refinery.recorders._view import View
from refinery.recorders.sink import Record

KNOWN_RUNS = 20_000
"""Runs whose place in their trace is remembered, so that late children find their parent."""
OPEN_RUNS = 20_000
"""Runs that may be open at once; older ones, most likely abandoned, are let go."""
MAX_STACK = 100_000
"""Longest traceback text kept, in characters."""
MAX_EVENTS = 1_000
"""Most events kept of one run."""

_CANCELS = {
    "GraphInterrupt": "interrupt",
    "NodeInterrupt": "interrupt",
    "GraphDrained": "drained",
    "GeneratorExit": "abandoned stream",
    "CancelledError": "cancelled task",
    "KeyboardInterrupt": "keyboard interrupt",
}
"""Exceptions that end a run without it having failed, by class name, with the reason noted."""


class Sink(Protocol):
    """Where views go."""

    def put(self, record: Record) -> bool:
        """Take a record; False when it was dropped."""
        ...

    def lose(self, reason: str) -> None:
        """Count a view that could not be made."""
        ...


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a run stands in its trace."""

    trace_id: str
    dotted_order: str
    wall_ns: int
    """Wall clock when the trace began."""
    monotonic_ns: int
    """Monotonic clock at that moment."""


@dataclass(slots=True)
class OpenRun:
    """A run that has started; `fields` are the arguments of `model.trace.Run` known so far."""

    fields: dict[str, Any]
    subject: Subject | None
    place: _Place
    size_bytes: int
    extra: dict[str, Any]
    entry: Entry | None


@dataclass(slots=True)
class Scope:
    """One call of an entry point: every trace begun inside it is part of its trace."""

    entry: Entry
    root_id: str | None = None
    """The first root run; later ones become its children."""


class Book:
    """Keeps open runs and sends views of them."""

    def __init__(
        self, sink: Sink, *, project: str | None = None, origin: OriginReader | None = None
    ) -> None:
        self.sink = sink
        self.project = project
        self.origin = origin or shared_reader()
        self.scope: Scope | None = None
        self._open: OrderedDict[str, OpenRun] = OrderedDict()
        self._places: OrderedDict[str, _Place] = OrderedDict()

    def start(
        self,
        run_id: str,
        parent_id: str | None,
        fields: dict[str, Any],
        *,
        size_bytes: int = 0,
        subject: Subject | None = None,
    ) -> OpenRun:
        """Open a run and send its first view.

        A parent nobody has heard of makes the run a root, as LangSmith's tracer does; inside a
        scope a further root becomes a child of the first one.
        """
        parent = self._places.get(parent_id) if parent_id else None
        if parent is None:
            parent_id = None
        entry: Entry | None = None
        if parent is None and self.scope:
            if self.scope.root_id is None:
                self.scope.root_id, entry = run_id, self.scope.entry
            else:
                parent_id = self.scope.root_id
                parent = self._places.get(parent_id)
        if parent is None:
            entry = entry or command_line()
            self.origin.begin()
        place, start_ns = _place(run_id, parent)
        known = {
            "run_id": run_id,
            "trace_id": place.trace_id,
            "parent_id": parent_id,
            "dotted_order": place.dotted_order,
            "start_ns": start_ns,
            "status": RunStatus.RUNNING,
            **fields,
        }
        run = OpenRun(known, subject, place, size_bytes, {}, entry)
        _remember(self._places, run_id, place, KNOWN_RUNS)
        _remember(self._open, run_id, run, OPEN_RUNS)
        self._send(run)
        return run

    def get(self, run_id: str) -> OpenRun | None:
        """An open run; None when it is unknown or has ended."""
        return self._open.get(run_id)

    def add_event(self, run_id: str, name: str, about: Any) -> None:
        """Note something that happened during an open run; sent when it ends."""
        run = self._open.get(run_id)
        if run is None:
            return
        events = run.fields.setdefault("events", [])
        if len(events) < MAX_EVENTS:
            taker = Snapshot()
            events.append({"name": name, "time_ns": self.now(run), "kwargs": taker.take(about)})
            run.size_bytes += taker.size_bytes

    def now(self, run: OpenRun) -> int:
        """The time of a run's trace, nanoseconds UTC."""
        return run.place.wall_ns + time.monotonic_ns() - run.place.monotonic_ns

    def finish(self, run_id: str, fields: Mapping[str, Any], *, size_bytes: int = 0) -> None:
        """End an open run and send it whole; a run that is not open is ignored."""
        run = self._open.pop(run_id, None)
        if run is None:
            return
        run.fields = {
            **run.fields,
            "end_ns": self.now(run),
            "status": RunStatus.OK,
            **fields,
        }
        run.size_bytes += size_bytes
        self._send(run)

    def _send(self, run: OpenRun) -> None:
        is_taken = self.sink.put(
            View(
                key=run.fields["run_id"],
                size_bytes=run.size_bytes + 500,
                fields=dict(run.fields),
                project=self.project,
                source="langchain",
                origin=self.origin.get,
                subject=run.subject,
                entry=run.entry,
                extra=dict(run.extra),
            )
        )
        if is_taken:
            run.entry = None  # told once: it holds the diff of everything uncommitted


def _place(run_id: str, parent: _Place | None) -> tuple[_Place, int]:
    """Where a run stands, and when it starts.

    Its order is LangSmith's: `YYYYMMDDTHHMMSSffffffZ<run id>`, joined from the root by dots.
    """
    monotonic = time.monotonic_ns()
    if parent is None:
        wall = clock.now_ns()
        return _Place(run_id, _segment(wall, run_id), wall, monotonic), wall
    now = parent.wall_ns + monotonic - parent.monotonic_ns
    order = f"{parent.dotted_order}.{_segment(now, run_id)}"
    return _Place(parent.trace_id, order, parent.wall_ns, parent.monotonic_ns), now


def _segment(time_ns: int, run_id: str) -> str:
    seconds, rest = divmod(time_ns, 1_000_000_000)
    start = datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y%m%dT%H%M%S")
    return f"{start}{rest // 1000:06d}Z{run_id}"


def _remember(book: "OrderedDict[str, Any]", key: str, value: Any, limit: int) -> None:
    book[key] = value
    if len(book) > limit:
        book.popitem(last=False)


def run_error(error: BaseException) -> RunError:
    """An exception as data; never raises, whatever the exception's own methods do."""
    try:
        message = str(error)
    except Exception:  # noqa: BLE001  # the exception class is the host's
        message = "<the error's text could not be read>"
    try:
        stack = "".join(traceback.format_exception(error))
    except Exception:  # noqa: BLE001  # the same
        stack = "".join(traceback.format_tb(error.__traceback__))
    return RunError(type(error).__name__, message[:MAX_STACK], stack[-MAX_STACK:])


def ending(error: BaseException) -> tuple[dict[str, Any], dict[str, Any]]:
    """How a run ended that raised: fields of `Run`, and notes for `metadata["refinery"]`.

    An interrupt, an abandoned stream and a cancelled task are `cancelled`, not errors; a node
    that hands over to the graph above it ended well.
    """
    named = {cls.__name__ for cls in type(error).__mro__}
    first = error.args[0] if error.args else None
    if "ParentCommand" in named:
        return {"outputs": {"output": snapshot(first)[0]}, "status": RunStatus.OK}, {}
    reason = next((_CANCELS[name] for name in _CANCELS if name in named), None)
    if isinstance(error, SystemExit) and error.code in (None, 0):
        reason = "exit"
    if reason is None:
        return {"status": RunStatus.ERROR, "error": run_error(error)}, {}
    notes = {"cancelled": reason}
    if reason == "interrupt":
        notes["interrupts"] = snapshot(first)[0]
    return {"status": RunStatus.CANCELLED}, notes
