"""Passing traces that a patch must not break."""

from dataclasses import dataclass

from refinery.model.failure import Likelihood
from refinery.model.trace import RunStatus, Trace
from refinery.ports import TraceFilter
from refinery.workflows import repositories, traces
from refinery.workflows.wiring import Workspace

SEARCHED = 50
"""Newest traces looked at when too few are labelled; bounds the work, chosen by us."""


@dataclass(frozen=True, slots=True)
class Control:
    """A passing trace and the checks it was labelled with."""

    trace_id: str
    checks: tuple[str, ...] = ()


def choose(workspace: Workspace, failing: Trace) -> list[Control]:
    """Passing traces of the failing trace's entry point: labelled ones, else unsuspicious ones.

    Returns at most `replay.max_controls`, newest first; empty when there are none or when the
    trace does not say how it was started.
    """
    entry = repositories.entry_point(failing)
    most = workspace.settings.values.replay.max_controls
    if entry is None or most == 0:
        return []
    labelled = [
        Control(summary.trace_id, _checks(workspace, summary.trace_id))
        for summary in workspace.store.list_traces(TraceFilter(label="pass", limit=1000))
        if _is_same_program(workspace, summary.trace_id, entry.target)
    ]
    if labelled:
        return labelled[:most]
    found: list[Control] = []
    for summary in workspace.store.list_traces(TraceFilter(status="ok", limit=SEARCHED)):
        if len(found) == most:
            break
        if summary.trace_id != failing.trace_id and summary.label is None:
            trace = workspace.store.get_trace(summary.trace_id)
            if trace and _target(trace) == entry.target and _is_unsuspicious(trace):
                found.append(Control(summary.trace_id))
    return found


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
    from refinery.detectors import observe

    doubts = (Likelihood.CERTAIN, Likelihood.LIKELY)
    return trace.status is RunStatus.OK and not any(
        signal.likelihood in doubts for signal in observe(trace)
    )
