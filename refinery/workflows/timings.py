"""How long traces and model calls take, by name, project or model, and over time."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from refinery.errors import InputError
from refinery.model.trace import TIMELESS_SOURCES, Json, RunKind, RunStatus
from refinery.ports import RunFilter, Store, TraceFilter
from refinery.workflows import overview
from refinery.workflows.what_if_outcome import cost_of

MAX_TRACES = 20_000
"""Newest traces that are read; more would take longer than a page may."""
MAX_CALLS = 5_000
"""Newest model calls that are read: unlike traces each must be unpacked."""
BUCKETS = 24
MAX_GROUPS = 100
DETAILED = 12
"""Largest groups whose course over time is told."""
_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class Question:
    """What to measure."""

    group: str = "name"
    """`name` or `project` of traces, or `model` of model calls."""
    since_ns: int | None = None
    until_ns: int | None = None
    project: str | None = None


@dataclass(frozen=True, slots=True)
class _Sample:
    group: str
    start_ns: int
    duration_ms: float | None
    failed: bool
    tokens: int | None
    cost_usd: float | None


def measure(store: Store, question: Question) -> dict[str, Json]:
    """Counts, percentiles, errors, tokens and costs, in all and by group, over time.

    Percentiles are of what has ended, by nearest rank; sources without times have none. Costs are
    known of model calls alone.

    Raises:
        InputError: there is no such group.
    """
    if question.group not in ("name", "project", "model"):
        raise InputError(f"no group {question.group!r}", hint="name, project or model")
    by_model = question.group == "model"
    most = MAX_CALLS if by_model else MAX_TRACES
    read = _calls(store, question) if by_model else _traces(store, question)
    samples = list(islice(read, most))
    edges = _edges(samples, question)
    grouped: dict[str, list[_Sample]] = {}
    for one in samples:
        grouped.setdefault(one.group, []).append(one)
    largest = sorted(grouped.items(), key=lambda pair: (-len(pair[1]), pair[0]))[:MAX_GROUPS]
    return {
        "group": question.group,
        "groups": [
            {
                "name": name,
                **_figures(members),
                "buckets": _buckets(members, edges) if place < DETAILED else [],
            }
            for place, (name, members) in enumerate(largest)
        ],
        "total": _figures(samples),
        "buckets": _buckets(samples, edges),
        "read": len(samples),
        "is_cut": len(samples) == most,
    }


def _traces(store: Store, question: Question) -> Iterator[_Sample]:
    wanted = TraceFilter(
        since_ns=question.since_ns,
        until_ns=question.until_ns,
        project=question.project,
        limit=MAX_TRACES,
    )
    for one in store.list_traces(wanted):
        if one.start_ns is None:
            continue
        ended = None if one.source in TIMELESS_SOURCES else one.end_ns
        yield _Sample(
            group=(one.name if question.group == "name" else one.project) or "",
            start_ns=one.start_ns,
            duration_ms=None if ended is None else (ended - one.start_ns) / 1e6,
            failed=one.status is RunStatus.ERROR or one.label == "fail",
            tokens=one.total_tokens,
            cost_usd=None,
        )


def _calls(store: Store, question: Question) -> Iterator[_Sample]:
    wanted = RunFilter(
        kind=RunKind.LLM.value,
        since_ns=question.since_ns,
        until_ns=question.until_ns,
        project=question.project,
        limit=_PAGE,
    )
    while True:
        page = store.find_runs(wanted)
        for stored in page.runs:
            run = stored.run
            if run.start_ns is None:
                return  # those without a start come last
            yield _Sample(
                group=overview.cut(run.model_responded or run.model_requested or ""),
                start_ns=run.start_ns,
                duration_ms=None if stored.source in TIMELESS_SOURCES else run.duration_ms,
                failed=run.is_failed,
                tokens=overview.tokens(run.usage),
                cost_usd=overview.money(cost_of(run)[0]),
            )
        if page.next is None:
            return
        wanted = replace(wanted, after=page.next)


def _edges(samples: Sequence[_Sample], question: Question) -> tuple[int, int]:
    """Start of the first bucket and width of all, in nanoseconds."""
    starts = [one.start_ns for one in samples]
    first = question.since_ns if question.since_ns is not None else min(starts, default=0)
    last = question.until_ns if question.until_ns is not None else max(starts, default=0) + 1
    return first, max(1, -(-(last - first) // BUCKETS))


def _buckets(samples: Iterable[_Sample], edges: tuple[int, int]) -> list[dict[str, Json]]:
    first, width = edges
    cells: dict[int, list[_Sample]] = {}
    for one in samples:
        cells.setdefault((one.start_ns - first) // width, []).append(one)
    return [
        {
            "start_ms": (first + number * width) / 1e6,
            "end_ms": (first + (number + 1) * width) / 1e6,
            **_figures(members),
        }
        for number, members in sorted(cells.items())
    ]


def _figures(samples: Sequence[_Sample]) -> dict[str, Json]:
    took = sorted(one.duration_ms for one in samples if one.duration_ms is not None)
    failed = sum(one.failed for one in samples)
    used = [one.tokens for one in samples if one.tokens is not None]
    spent = [one.cost_usd for one in samples if one.cost_usd is not None]
    return {
        "count": len(samples),
        "errors": failed,
        "error_rate": failed / len(samples) if samples else None,
        "p50_ms": percentile(took, 50),
        "p90_ms": percentile(took, 90),
        "p99_ms": percentile(took, 99),
        "tokens": sum(used) if used else None,
        "cost_usd": sum(spent) if spent else None,
    }


def percentile(ordered: Sequence[float], percent: int) -> float | None:
    """The nearest-rank percentile of ascending values; None of none.

    >>> percentile([1.0, 2.0, 3.0, 4.0], 50), percentile([1.0, 2.0, 3.0, 4.0], 99)
    (2.0, 4.0)
    """
    if not ordered:
        return None
    return ordered[max(0, -(-percent * len(ordered) // 100) - 1)]
