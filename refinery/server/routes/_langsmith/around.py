"""What a request needs to know around runs: their trees, their feedback, who an id means."""

import threading
import uuid
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from refinery import clock
from refinery.adapters._shared.langsmith_tree import NO_PROJECT, TraceShape, project_id, public_id
from refinery.model.trace import Feedback, Run
from refinery.ports import RunFilter, Store, StoredRun

BATCH = 200
"""Runs read from the store at once."""

SEARCH_S = 5.0
"""Longest search for an id of a source without UUIDs; clients give up after 10 s."""

_SHAPE_S = 60.0
_SHAPE_RUNS = 100_000
_IDS = 100_000
_TRACES = 500


@dataclass(slots=True)
class Memory:
    """What is remembered between requests; bounded, and never the truth.

    Trees are used again only for the later pages of a listing, so that each page need not read
    its traces anew.
    """

    natives: OrderedDict[str, str] = field(default_factory=OrderedDict)
    """Native ids of runs and traces whose UUID was made, by that UUID."""
    shapes: OrderedDict[str, tuple[float, TraceShape]] = field(default_factory=OrderedDict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def learn(self, native: str) -> None:
        """Remember a native id that is shown as another UUID."""
        public = public_id(native)
        if public != native:
            with self.lock:
                self.natives[public] = native
                while len(self.natives) > _IDS:
                    self.natives.popitem(last=False)

    def keep(self, trace_id: str, shape: TraceShape) -> None:
        """Remember a tree for a minute, the latest ones up to a number of runs."""
        with self.lock:
            self.shapes[trace_id] = (clock.monotonic_s(), shape)
            self.shapes.move_to_end(trace_id)
            held = sum(len(one) for _, one in self.shapes.values())
            while held > _SHAPE_RUNS and len(self.shapes) > 1:
                _, (_, dropped) = self.shapes.popitem(last=False)
                held -= len(dropped)

    def shape(self, trace_id: str) -> TraceShape | None:
        """A tree remembered within the last minute."""
        with self.lock:
            kept = self.shapes.get(trace_id)
        return kept[1] if kept and clock.monotonic_s() - kept[0] < _SHAPE_S else None


class Library:
    """The store as one request reads it."""

    def __init__(self, store: Store, memory: Memory, *, is_later_page: bool = False) -> None:
        self.store = store
        self.memory = memory
        self.began_s = clock.monotonic_s()
        self._is_later_page = is_later_page
        self._fresh: set[str] = set()
        self._feedback: OrderedDict[str, list[Feedback]] = OrderedDict()

    def runs(self, wanted: RunFilter) -> Iterator[StoredRun]:
        """Every matching run, read in batches."""
        wanted = replace(wanted, limit=BATCH)
        while True:
            page = self.store.find_runs(wanted)
            yield from page.runs
            if page.next is None:
                return
            wanted = replace(wanted, after=page.next)

    def shape(self, run: Run) -> TraceShape:
        """The tree the run is in."""
        trace_id = run.trace_id
        known = self.memory.shape(trace_id)
        if (
            known is not None
            and run.run_id in known
            and (self._is_later_page or trace_id in self._fresh)
        ):
            return known
        shape = TraceShape(
            stored.run for stored in self.runs(RunFilter(trace_id=trace_id, is_oldest_first=True))
        )
        self.memory.keep(trace_id, shape)
        self._fresh.add(trace_id)
        return shape

    def feedback(self, run: Run) -> list[Feedback]:
        """What was said of the run; of the whole trace, when it is the root."""
        if run.trace_id not in self._feedback:
            self._feedback[run.trace_id] = self.store.get_feedback(run.trace_id)
            while len(self._feedback) > _TRACES:
                self._feedback.popitem(last=False)
        said = self._feedback[run.trace_id]
        is_root = run.parent_id is None
        return [f for f in said if f.run_id == run.run_id or (is_root and f.run_id is None)]

    def root(self, trace_id: str) -> StoredRun | None:
        """The run of a trace that has no parent; None when it never arrived."""
        found = self.store.find_runs(RunFilter(trace_id=trace_id, is_root=True, limit=1)).runs
        return found[0] if found else None

    def run(self, text: str) -> StoredRun | None:
        """The run a UUID of the API, or a native id, names."""
        for candidate in self._candidates(text):
            if (found := self.store.get_run(candidate)) is not None:
                return found
        return next(self._searched(text, is_trace=False), None)

    def native_run(self, text: str) -> str:
        """The native id of a run; the text itself when there is none."""
        found = self.run(text)
        return found.run.run_id if found else text

    def native_runs(self, texts: Sequence[str]) -> list[str]:
        """Every spelling under which runs may be stored."""
        spellings: list[str] = []
        for text in texts:
            spellings += self._candidates(text)
            if _is_made(text) and public_id(text) not in self.memory.natives:
                spellings.append(self.native_run(text))
        return list(dict.fromkeys(spellings))

    def native_trace(self, text: str) -> str:
        """The native id of a trace; the text itself when there is none."""
        for candidate in self._candidates(text):
            if self.store.find_runs(RunFilter(trace_id=candidate, limit=1)).runs:
                return candidate
        found = next(self._searched(text, is_trace=True), None)
        return found.run.trace_id if found else text

    def project_names(self) -> dict[str, frozenset[str | None]]:
        """Names of the projects that hold traces, by UUID; those without one are shown as one."""
        names: dict[str, set[str | None]] = {}
        for summary in self.store.projects():
            names.setdefault(project_id(summary.name), set()).add(summary.name)
        return {key: frozenset(group) for key, group in names.items()}

    def _candidates(self, text: str) -> list[str]:
        """Spellings under which an id may be stored, the likeliest first."""
        canonical = public_id(text)
        remembered = self.memory.natives.get(canonical)
        return list(dict.fromkeys(one for one in (text, canonical, remembered) if one))

    def _searched(self, text: str, *, is_trace: bool) -> Iterator[StoredRun]:
        """The runs whose UUID was made of a native id; only such UUIDs are worth a search."""
        if not _is_made(text):
            return
        wanted, end = public_id(text), clock.monotonic_s() + SEARCH_S
        for stored in self.runs(RunFilter(is_root=True if is_trace else None)):
            native = stored.run.trace_id if is_trace else stored.run.run_id
            if public_id(native) == wanted:
                self.memory.learn(native)
                yield stored
            if clock.monotonic_s() > end:
                return


def shown_project(name: str | None) -> str:
    """A project's name as the API shows it."""
    return name or NO_PROJECT


def _is_made(text: str) -> bool:
    """Whether an id is a UUID of the version that `public_id` makes."""
    try:
        return uuid.UUID(text).version == 5
    except ValueError:
        return False
