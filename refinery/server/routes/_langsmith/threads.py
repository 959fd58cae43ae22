"""Conversations: the traces of a project that share a thread id."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from refinery.adapters._shared import langsmith_documents as documents
from refinery.adapters._shared.langsmith_tree import moment
from refinery.model.trace import Json
from refinery.ports import StoredRun
from refinery.server.routes._langsmith.around import Library
from refinery.server.routes._langsmith.summing import Sums, quantile

MAX_TRACES = 50_000
"""Root runs one question looks at, newest first."""

_PREVIEW = 250


@dataclass(slots=True)
class Thread:
    """The traces of one conversation, newest first, without what went in and out."""

    thread_id: str
    sums: Sums = field(default_factory=Sums)
    first: StoredRun | None = None
    last: StoredRun | None = None
    last_error: str | None = None

    def add(self, library: Library, stored: StoredRun) -> None:
        """Count a trace by its root run; the newest comes first."""
        self.sums.add(stored)
        self.sums.add_tokens(library.shape(stored.run).totals(stored.run))
        self.sums.feedback += library.feedback(stored.run)
        self.first = stored
        self.last = self.last or stored
        self.last_error = self.last_error or documents.error_text(stored.run)


def gathered(library: Library, roots: Iterable[StoredRun]) -> list[Thread]:
    """Threads of root runs, the one with the newest trace first."""
    threads: dict[str, Thread] = {}
    for number, stored in enumerate(roots):
        if number >= MAX_TRACES:
            break
        thread_id = stored.run.session_id
        if thread_id:
            threads.setdefault(thread_id, Thread(thread_id)).add(library, stored)
    return list(threads.values())


def document(thread: Thread) -> dict[str, Json]:
    """A thread as version 2 writes it."""
    sums, first, last = thread.sums, thread.first, thread.last
    first_item = documents.to_v1(first.run) if first else {}
    last_item = documents.to_v1(last.run) if last else {}
    error = thread.last_error
    return {
        "thread_id": thread.thread_id,
        "trace_id": last_item.get("trace_id"),
        "count": sums.runs,
        "num_errored_turns": sums.errors,
        "first_trace_id": first_item.get("trace_id"),
        "last_trace_id": last_item.get("trace_id"),
        "first_inputs": first_item.get("inputs_preview"),
        "last_outputs": last_item.get("outputs_preview"),
        "last_error": error[:_PREVIEW] if error else None,
        "start_time": _time(sums.last_ns),
        "min_start_time": _time(sums.first_ns),
        "max_start_time": _time(sums.last_ns),
        "latency_p50": quantile(sums.latencies_s, 0.5),
        "latency_p99": quantile(sums.latencies_s, 0.99),
        "total_tokens": sums.total,
        "total_cost": float(sums.cost_usd),
        "feedback_stats": documents.feedback_stats(sums.feedback),
    }


def turn(item: dict[str, Json], thread_id: str, number: int) -> dict[str, Json]:
    """A trace of a thread as version 2 writes it, made of its root run's document."""
    return {
        **item,
        "thread_id": thread_id,
        "trace_id": item.get("trace_id"),
        "latency": item.get("latency_seconds"),
        "turn_number": number,
    }


def summary(thread: Thread) -> dict[str, Json]:
    """Statistics of a thread, every field."""
    sums = thread.sums
    ends = [s.run.end_ns for s in (thread.first, thread.last) if s and s.run.end_ns is not None]
    return {
        "turns": sums.runs,
        "first_start_time": _time(sums.first_ns),
        "last_start_time": _time(sums.last_ns),
        "last_end_time": _time(max(ends, default=None)),
        "latency_p50_seconds": quantile(sums.latencies_s, 0.5),
        "latency_p99_seconds": quantile(sums.latencies_s, 0.99),
        "prompt_tokens": sums.input,
        "completion_tokens": sums.output,
        "total_tokens": sums.total,
        "total_cost": float(sums.cost_usd),
        "feedback_stats": documents.feedback_stats(sums.feedback),
    }


def _time(ns: int | None) -> str | None:
    return None if ns is None else moment(ns).isoformat()
