"""Remembers what a list shows of traces and is not in their summaries: cost, texts."""

import threading
from collections import OrderedDict

from refinery.model.trace import Json, TraceSummary
from refinery.ports import Store
from refinery.workflows import overview

_KEPT = 20_000
"""Lines kept, about 1 kB each."""
MAX_RUNS = 2_000
"""Runs a trace may have to be read for a list: 2,000 take about 0.1 s."""


class Digests:
    """Lines of a list by trace, each good as long as the trace's summary stays the same."""

    def __init__(self) -> None:
        self._lines: OrderedDict[str, tuple[TraceSummary, dict[str, Json]]] = OrderedDict()
        self._lock = threading.Lock()

    def line(self, store: Store, summary: TraceSummary) -> dict[str, Json]:
        """The line of a trace, read from the store when the trace changed since."""
        with self._lock:
            kept = self._lines.get(summary.trace_id)
            if kept and kept[0] == summary:
                self._lines.move_to_end(summary.trace_id)
                return kept[1]
        trace = store.get_trace(summary.trace_id) if summary.runs <= MAX_RUNS else None
        line = overview.line(summary, trace)
        with self._lock:
            self._lines[summary.trace_id] = (summary, line)
            while len(self._lines) > _KEPT:
                self._lines.popitem(last=False)
        return line
