"""Passing traces that a patch must not break, and failing ones that fail alike."""

from dataclasses import dataclass

from refinery.model.failure import Likelihood
from refinery.model.trace import RunStatus, Trace
from refinery.ports import TraceFilter
from refinery.replay.variation import is_variation
from refinery.workflows import repositories, traces
from refinery.workflows.wiring import Workspace

SEARCHED = 50
"""Newest traces looked at when none is labelled; bounds the work, chosen by us."""
MOST_LABELLED = 1000
MOST_ALIKE = 11
"""Other failing traces that are added to the one named, at most; chosen by us."""


@dataclass(frozen=True, slots=True)
class Control:
    """A passing trace and the checks it was labelled with."""

    trace_id: str
    checks: tuple[str, ...] = ()


def choose(workspace: Workspace, failing: Trace) -> list[Control]:
    """Passing traces of the failing trace's entry point: labelled ones, else unsuspicious ones.

    Which of them are replayed is decided once it is known what a patch changes. Returns them
    newest first; none when `replay.max_controls` is 0 or when the trace does not say how it was
    started.
    """
    entry = repositories.entry_point(failing)
    if entry is None or workspace.settings.values.replay.max_controls == 0:
        return []
    labelled = [
        Control(summary.trace_id, _checks(workspace, summary.trace_id))
        for summary in workspace.store.list_traces(TraceFilter(label="pass", limit=MOST_LABELLED))
        if _is_same_program(workspace, summary.trace_id, entry.target)
    ]
    if labelled:
        return labelled
    found: list[Control] = []
    for summary in workspace.store.list_traces(TraceFilter(status="ok", limit=SEARCHED)):
        if summary.trace_id != failing.trace_id and summary.label is None:
            trace = workspace.store.get_trace(summary.trace_id)
            is_real = trace is not None and not is_variation(trace)
            if trace and is_real and _target(trace) == entry.target and _is_unsuspicious(trace):
                found.append(Control(summary.trace_id))
    return found


def alike(workspace: Workspace, failing: Trace) -> list[Control]:
    """Other traces labelled as failing that fail like this one.

    They have its entry point, and the same checks or a likely finding of the same category.
    """
    entry = repositories.entry_point(failing)
    if entry is None:
        return []
    wanted, seen = _checks(workspace, failing.trace_id), _categories(failing)
    found: list[Control] = []
    for summary in workspace.store.list_traces(TraceFilter(label="fail", limit=SEARCHED)):
        trace = workspace.store.get_trace(summary.trace_id)
        if trace is None or trace.trace_id == failing.trace_id or _target(trace) != entry.target:
            continue
        own = _checks(workspace, trace.trace_id)
        if (wanted and own == wanted) or seen & _categories(trace):
            found.append(Control(trace.trace_id, own))
    return found[:MOST_ALIKE]


def _categories(trace: Trace) -> frozenset[str]:
    from refinery.detectors import observe

    doubts = (Likelihood.CERTAIN, Likelihood.LIKELY)
    return frozenset(s.detector for s in observe(trace) if s.likelihood in doubts)


def _checks(workspace: Workspace, trace_id: str) -> tuple[str, ...]:
    label = traces.label_of(workspace.store, trace_id)
    return label.checks if label else ()


def _target(trace: Trace) -> str | None:
    entry = repositories.entry_point(trace)
    return entry.target if entry else None


def _is_same_program(workspace: Workspace, trace_id: str, target: str) -> bool:
    trace = workspace.store.get_trace(trace_id)
    return trace is not None and _target(trace) == target


def _is_unsuspicious(trace: Trace) -> bool:
    """Whether the trace ended well and no detector finds anything likely."""
    return trace.status is RunStatus.OK and not _categories(trace)
