"""Open runs of this process: ids, order and times of each trace, and what is sent of it when.

A view goes to the sink when a run starts, so that a killed process leaves a trace, and a whole
one when it ends. Times inside a trace come from one reading of the wall clock and the monotonic
clock, so a jump of the wall clock never makes a run end before it began.
"""

import os
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from refinery.model.trace import RunError, RunStatus
from refinery.recorders._failures import Failure
from refinery.recorders._order import Place
from refinery.recorders._origin import Entry, OriginReader, command_line, shared_reader
from refinery.recorders._snapshot import snapshot
from refinery.recorders._source import Subject
from refinery.recorders._view import Teller, View
from refinery.recorders.sink import Record
from refinery.safety.redact import Redaction, chosen_redaction

KNOWN_RUNS = 20_000
"""Most runs whose place in their trace is remembered (at least half as many), so that late
children find their parent."""
_GENERATION = KNOWN_RUNS // 2
OPEN_RUNS = 20_000
"""Runs that may be open at once, and half as many again before it is looked; older ones, most
likely abandoned, are let go."""
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

OpenRun = View
"""A run that has started: `fields` may be added to until it is finished."""


class Sink(Protocol):
    """Where views go."""

    def put(self, record: Record) -> bool:
        """Take a record; False when it was dropped."""
        ...

    def lose(self, reason: str) -> None:
        """Count a view that could not be made."""
        ...

    def leave_out(self, *, traces: int = 0, failed: int = 0) -> None:
        """Count traces that sampling leaves out, and those of them that failed."""
        ...


@dataclass(slots=True)
class Scope:
    """One call of an entry point: every trace begun inside it is part of its trace."""

    entry: Entry
    root: Place | None = None
    """The first root run; later ones become its children."""

    @property
    def root_id(self) -> str | None:
        """Id of the trace; None while there is none."""
        return None if self.root is None else self.root.run_id


class Listener(Protocol):
    """Who is told of the runs of a book while they happen."""

    def started(self, run: View, fields: Mapping[str, Any]) -> None:
        """A run is about to begin; it has neither place nor fields yet."""

    def placed(self, run: View) -> None:
        """It has its place now."""

    def ended(self, run: View) -> None:
        """It has ended."""


class Book:
    """Keeps open runs and sends views of them; any recorder may share it.

    Args:
        sink: where views go.
        project: name the traces are filed under; None: none.
        origin: what knows the state of the code; default: that of the working directory.
    """

    def __init__(
        self, sink: Sink, *, project: str | None = None, origin: OriginReader | None = None
    ) -> None:
        self.sink = sink
        self.project = project
        self.origin = origin or shared_reader()
        self.scope: Scope | None = None
        self.listener: Listener | None = None
        redaction = chosen_redaction()
        looks = (redaction or Redaction()).suspects()
        self._teller = Teller(project, self.origin.get, redaction, looks)
        self._sampled = sampled_share()
        self._has_begun = False
        self._open: dict[str, View] = {}
        # Two generations: forgetting the older one as a whole costs less than one run at a time.
        self._places: dict[str, Place] = {}
        self._older: dict[str, Place] = {}

    def start(
        self,
        run_id: str,
        parent_id: str | None,
        fields: dict[str, Any],
        *,
        size_bytes: int = 0,
        subject: Subject | None = None,
        source: str = "langchain",
        given: Any = None,
    ) -> OpenRun:
        """Open a run and send its first view.

        A parent nobody has heard of makes the run a root, as LangSmith's tracer does; inside a
        scope a further root becomes a child of the first one.

        Args:
            run_id: a UUID string, see `clock.new_uuid`.
            parent_id: the run around it; None for a root.
            fields: arguments of `model.trace.Run`, values as `snapshot` gave them; the book
                owns the dictionary from now on.
            size_bytes: size of the values, as `snapshot` estimated it.
            subject: the user's function that runs.
            source: the recorder; the whole trace has the one of its root.
            given: what `fragment` said of the inputs.
        """
        run = View()
        run.subject = subject
        run.given = given
        run.size_bytes = size_bytes
        parent = self.place_of(parent_id) if parent_id is not None else None
        self.open(run, fields, parent, source, run_id)
        return run

    def open(
        self,
        run: View,
        fields: dict[str, Any],
        parent: Place | None,
        source: str,
        run_id: str | None = None,
    ) -> None:
        """Give a new run its place and send its first view.

        Args:
            run: the run, whose `subject`, `given` and `size_bytes` are set.
            fields: as for `start`.
            parent: the place of the run around it; None for a root.
            source: as for `start`.
            run_id: None: it gets an id when one is asked for, see `known`.
        """
        if parent is None and self.scope is not None:
            parent = self.scope.root
        if self.listener is not None:
            self.listener.started(run, fields)
        place = Place()
        place.take(run_id, parent, source)
        run.set_up(place, fields, self._teller)
        if parent is None:
            is_plain = self._has_begun and self.scope is None and self._sampled >= 1
            run.entry = command_line() if is_plain else self._entry_of(place)
        if run_id is not None:
            self._keep(run_id, place, run)
        if self.listener is not None:
            self.listener.placed(run)
        if place.is_sampled:
            self.sink.put(run)

    def known(self, place: Place, run: View | None) -> str:
        """Id of a run, by which others find it here from now on.

        Args:
            place: its place.
            run: None when it has ended.
        """
        run_id = place.run_id
        if self.place_of(run_id) is None:
            self._keep(run_id, place, run)
        return run_id

    def place_of(self, run_id: str) -> Place | None:
        """Where a run stands, be it over or not; None when it is unknown or long ago."""
        return self._places.get(run_id) or self._older.get(run_id)

    def _keep(self, run_id: str, place: Place, run: View | None) -> None:
        self._places[run_id] = place
        if run is not None:
            self._open[run_id] = run
        if len(self._places) > _GENERATION:
            self._older, self._places = self._places, {}
            self._let_go()

    def _let_go(self) -> None:
        """Forget the open runs that began first, but for as many as may be."""
        for run_id in list(self._open)[:-OPEN_RUNS]:
            self._open.pop(run_id, None)

    def _entry_of(self, root: Place) -> Entry:
        """How the program came to a root run; decides as well whether its trace is recorded."""
        if not self._has_begun:
            self._has_begun = True
            self.origin.begin()
        if self.scope is not None:
            self.scope.root = root
            return self.scope.entry
        if self._sampled < 1 and zlib.crc32(root.run_id.encode()) >= self._sampled * 2**32:
            root.is_sampled = False
            self.sink.leave_out(traces=1)
        return command_line()

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
            held, size_bytes = snapshot(about)
            events.append({"name": name, "time_ns": self.now(run), "kwargs": held})
            run.size_bytes += size_bytes

    def now(self, run: OpenRun) -> int:
        """The time of a run's trace, nanoseconds UTC."""
        return run.place.wall_ns + time.monotonic_ns() - run.place.monotonic_ns

    def finish(
        self, run_id: str, fields: dict[str, Any], *, size_bytes: int = 0, gave: Any = None
    ) -> None:
        """End an open run and send it whole; a run that is not open is ignored.

        Args:
            run_id: the run.
            fields: further arguments of `model.trace.Run`; without `status` it ended well. The
                book owns the dictionary from now on.
            size_bytes: size of their values.
            gave: what `fragment` said of the outputs.
        """
        run = self._open.get(run_id)
        if run is not None:
            self.close(run, fields, size_bytes, gave)

    def close(self, run: View, fields: dict[str, Any], size_bytes: int, gave: Any) -> None:
        """End a run and send it whole; arguments as for `finish`."""
        place = run.place
        if place.name is not None:
            self._open.pop(place.name, None)
        fields["end_ns"] = place.wall_ns + time.monotonic_ns() - place.monotonic_ns
        run.size_bytes += size_bytes
        run.gave = gave
        run.ended = fields
        if not place.is_sampled:
            if place.root is None and fields.get("status") is RunStatus.ERROR:
                self.sink.leave_out(failed=1)
        elif not self.sink.put(run) and run.queue is not None:
            # The queue is full but holds the start of this run: its end goes with it, lightly.
            run.ended = {**fields, "outputs": None, "events": None}
        if self.listener is not None:
            self.listener.ended(run)


def sampled_share() -> float:
    """The share of traces that are recorded, from 0 to 1: `REFINERY_SAMPLE`, else all."""
    try:
        share = float(os.environ.get("REFINERY_SAMPLE", "1"))
    except ValueError:
        return 1.0
    return min(1.0, max(0.0, share)) if share == share else 1.0


def run_error(error: BaseException) -> RunError:
    """An exception as data; never raises, whatever the exception's own methods do."""
    return Failure(error).told()


def ending(error: BaseException) -> tuple[dict[str, Any], dict[str, Any]]:
    """How a run ended that raised: fields for `finish`, and notes for `metadata["refinery"]`.

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
        return {"status": RunStatus.ERROR, "error": Failure(error)}, {}
    notes = {"cancelled": reason}
    if reason == "interrupt":
        notes["interrupts"] = snapshot(first)[0]
    return {"status": RunStatus.CANCELLED}, notes
