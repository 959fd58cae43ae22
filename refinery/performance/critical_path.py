"""Where the time of a trace goes: the chain of runs that its end waited for.

From the end of the root backwards, the child that ended last is what was waited for; what no
child covers is the run's own time (the last-returning-child rule: "Distributed
Latency Profiling through Critical Path Tracing", CACM 66:1, 2023).
Parallel children that ended earlier do not count: making them faster would change nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from refinery.performance.frames import Frame
from refinery.performance.sql import Reader

TRACES = 50
"""Slowest traces that are looked at unless asked otherwise."""
MAX_RUNS = 20_000
"""Most runs of one trace; longer traces are left out and counted."""


@dataclass(frozen=True, slots=True)
class Span:
    """A run as far as the path needs it."""

    run_id: str
    parent_id: str | None
    name: str
    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of the critical path in which a run itself was waited for."""

    run_id: str
    path: tuple[str, ...]
    """Names from the root down to the run."""
    own_ms: float


@dataclass(frozen=True, slots=True)
class Path:
    """One chain of names over several traces."""

    path: tuple[str, ...]
    traces: int
    own_ms: float
    """Time on the critical paths spent in the run itself, all traces together."""
    share: float
    """Of the time of all traces looked at."""
    example_trace: str
    example_run: str
    """Where it took longest."""


@dataclass(frozen=True, slots=True)
class Paths:
    """Critical paths of the slowest traces of a frame."""

    paths: tuple[Path, ...]
    """Those that take the most time first."""
    traces: int
    left_out: int
    """Traces with more than `MAX_RUNS` runs."""


@dataclass(slots=True)
class _Sum:
    own_ms: float = 0.0
    traces: set[str] = field(default_factory=set)
    longest: tuple[float, str, str] = (-1.0, "", "")


def critical_path(spans: Sequence[Span]) -> list[Segment]:
    """The critical path of one trace, from its start to its end; times add up to the root's.

    Args:
        spans: in any order; the longest one without a parent among them is the root.
    """
    known = {span.run_id: span for span in spans}
    roots = [span for span in spans if span.parent_id not in known]
    if not roots:
        return []
    below: dict[str, list[Span]] = {}
    for span in spans:
        if span.parent_id in known and span.parent_id != span.run_id:
            below.setdefault(span.parent_id or "", []).append(span)
    root = max(roots, key=lambda span: span.end_ns - span.start_ns)
    found: list[Segment] = []
    seen: set[str] = set()
    # (span, its names, from where on it counts, until when it is waited for)
    waiting: list[tuple[Span, tuple[str, ...], int, int]] = [
        (root, (root.name,), root.start_ns, root.end_ns)
    ]
    while waiting:
        span, path, start, until = waiting.pop()
        if span.run_id in seen:
            continue
        seen.add(span.run_id)
        own_ns, last = 0, until
        for child in sorted(below.get(span.run_id, ()), key=lambda one: -one.end_ns):
            end, begin = min(child.end_ns, last), max(child.start_ns, start)
            if begin >= end or end > until:
                continue
            own_ns += until - end
            waiting.append((child, (*path, child.name), begin, end))
            until = begin
        own_ns += max(0, until - start)
        found.append(Segment(span.run_id, path, own_ns / 1e6))
    return found


_SLOWEST = """SELECT trace_id, max(end_ns) - min(start_ns) AS took, count(*)
FROM runs WHERE duration_ms IS NOT NULL AND end_ns >= start_ns AND trace_id IN (
    SELECT trace_id FROM runs WHERE {where})
GROUP BY 1 ORDER BY took DESC, 1 LIMIT {limit}"""
_SPANS = """SELECT trace_id, run_id, parent_id, coalesce(name, ''), start_ns, end_ns FROM runs
WHERE trace_id IN (SELECT unnest(?)) AND start_ns IS NOT NULL AND end_ns >= start_ns"""


def critical_paths(reader: Reader, frame: Frame, traces: int = TRACES) -> Paths:
    """Critical paths of the slowest traces in a frame, added up by names."""
    where, parameters = frame.where()
    slowest = reader.query(_SLOWEST.format(where=where, limit=max(1, traces)), parameters)
    chosen = [row[0] for row in slowest if row[2] <= MAX_RUNS]
    spans: dict[str, list[Span]] = {}
    for trace_id, *rest in reader.query(_SPANS, [chosen]) if chosen else ():
        spans.setdefault(trace_id, []).append(Span(*rest))
    return Paths(_summed(spans), len(spans), len(slowest) - len(chosen))


def _summed(spans: Mapping[str, Sequence[Span]]) -> tuple[Path, ...]:
    sums: dict[tuple[str, ...], _Sum] = {}
    for trace_id, of_trace in spans.items():
        for segment in critical_path(of_trace):
            one = sums.setdefault(segment.path, _Sum())
            one.own_ms += segment.own_ms
            one.traces.add(trace_id)
            one.longest = max(one.longest, (segment.own_ms, trace_id, segment.run_id))
    total = sum(one.own_ms for one in sums.values()) or 1.0
    paths = [
        Path(path, len(one.traces), one.own_ms, one.own_ms / total, *one.longest[1:])
        for path, one in sums.items()
    ]
    return tuple(sorted(paths, key=lambda one: -one.own_ms))
