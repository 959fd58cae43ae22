"""Failures of many traces grouped into issues: one kind of fault, one owner, its count.

Traces belong together when their best findings have one fingerprint (`agents/fingerprint`). The
detectors do the reading, so the cost of a group does not grow with a model's price.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from refinery.agents.fingerprint import fingerprint, owner
from refinery.model.codec import encode
from refinery.model.failure import Diagnosis, Finding, Likelihood, SourceLocation
from refinery.model.trace import Json, Trace
from refinery.ports import TraceFilter
from refinery.workflows.diagnose import by_detectors
from refinery.workflows.wiring import Workspace

MAX_TRACES = 1_000
"""Most failing traces of one call; newest first."""
UNKNOWN = "unknown"
"""Category of traces in which nothing was found."""
_ORDER = (Likelihood.CERTAIN, Likelihood.LIKELY, Likelihood.POSSIBLE)


@dataclass(frozen=True, slots=True)
class Member:
    """One failing trace of a group."""

    trace_id: str
    start_ns: int | None
    confidence: float


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Failing traces that share a fault."""

    category: str
    owner: str
    """Name of the run that caused it; empty when nothing was found."""
    title: str
    """Of the representative trace's finding."""
    likelihood: Likelihood | None
    source: SourceLocation | None
    representative: str
    """The trace whose finding is surest, the newest of equals: the one to fix first."""
    members: tuple[Member, ...]
    """Newest first."""

    @property
    def count(self) -> int:
        """Number of failing traces."""
        return len(self.members)


@dataclass(frozen=True, slots=True)
class FailureGroups:
    """The issues of a project, largest first."""

    groups: tuple[FailureGroup, ...]
    traces: int
    """Failing traces that were read."""
    is_cut: bool
    """Whether there were more than were read."""


def group_failures(
    workspace: Workspace,
    wanted: TraceFilter,
    *,
    root: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> FailureGroups:
    """Diagnose the failing traces that match and group them.

    Args:
        workspace: store and settings.
        wanted: which traces; `status` is ignored, `limit` bounded by `MAX_TRACES`.
        root: the agent's repository; None: this folder's.
        say: is told of progress.
    """
    limit = min(wanted.limit, MAX_TRACES)
    listed = workspace.store.list_traces(
        TraceFilter(
            status="failed",
            project=wanted.project,
            name=wanted.name,
            session_id=wanted.session_id,
            user_id=wanted.user_id,
            since_ns=wanted.since_ns,
            until_ns=wanted.until_ns,
            limit=limit + 1,
        )
    )
    found: list[tuple[Trace, Diagnosis]] = []
    for number, summary in enumerate(listed[:limit], start=1):
        trace = workspace.store.get_trace(summary.trace_id)
        if trace is not None:
            found.append((trace, by_detectors(workspace, trace, root=root, failed=True)))
        if number % 50 == 0:
            say(f"{number} of {min(len(listed), limit)} failing traces read")
    return FailureGroups(tuple(grouped(found)), len(found), len(listed) > limit)


def grouped(found: Iterable[tuple[Trace, Diagnosis]]) -> list[FailureGroup]:
    """Groups of diagnosed traces, largest first, then by the surest finding."""
    members: dict[tuple[str, ...], list[tuple[Trace, Finding | None]]] = {}
    for trace, diagnosis in found:
        best = diagnosis.findings[0] if diagnosis.findings else None
        members.setdefault(_key(trace, best), []).append((trace, best))
    groups = [_group(traces) for traces in members.values()]
    return sorted(groups, key=lambda group: (-group.count, _rank(group.likelihood), group.title))


def _key(trace: Trace, best: Finding | None) -> tuple[str, ...]:
    if best is None:
        return (UNKNOWN,)
    return fingerprint(trace, best)


def _group(traces: list[tuple[Trace, Finding | None]]) -> FailureGroup:
    newest = sorted(traces, key=lambda pair: -(_start(pair[0]) or 0))
    trace, best = max(newest, key=lambda pair: _confidence(pair[1]))
    return FailureGroup(
        category=best.category if best else UNKNOWN,
        owner=owner(trace, best) if best else "",
        title=best.title if best else "Nothing deterministic was found",
        likelihood=best.likelihood if best else None,
        source=best.source if best else None,
        representative=trace.trace_id,
        members=tuple(
            Member(one.trace_id, _start(one), _confidence(finding)) for one, finding in newest
        ),
    )


def _start(trace: Trace) -> int | None:
    return trace.root.start_ns if trace.root else None


def _confidence(finding: Finding | None) -> float:
    return finding.confidence if finding else 0.0


def _rank(likelihood: Likelihood | None) -> int:
    return _ORDER.index(likelihood) if likelihood else len(_ORDER)


def to_document(found: FailureGroups) -> dict[str, Json]:
    """The groups as the JSON document of `refinery diagnose --project`."""
    groups: list[Json] = [{**encode(group), "count": group.count} for group in found.groups]
    return {"groups": groups, "traces": found.traces, "more": found.is_cut}
