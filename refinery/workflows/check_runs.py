"""The recorded runs a new check is held against."""

from dataclasses import dataclass

from refinery.model.trace import Trace
from refinery.model.verdict import ReplayResult
from refinery.ports import TraceFilter
from refinery.replay import conduct
from refinery.replay.checks import recorded_result
from refinery.workflows import controls, repositories, traces
from refinery.workflows.wiring import Workspace

MAX_GOOD = 30
"""Good runs a check is held against, newest first; bounds the work, chosen by us."""


@dataclass(frozen=True, slots=True)
class Run:
    """A recorded run a check is held against."""

    result: ReplayResult
    is_good: bool
    has_same_input: bool
    is_bare: bool = False
    """Labelled as passing with neither checks nor an expectation of its own."""

    def binds(self, *, is_about_content: bool) -> bool:
        """Whether a check has to be right about it."""
        return self.has_same_input or self.is_bare or not is_about_content


def tools_of(trace: Trace) -> tuple[str, ...]:
    """Names of the tools a trace calls or offers to its models."""
    called = [call.name for call in conduct.calls_of(trace)]
    offered = [
        str(tool.get("name") or (tool.get("function") or {}).get("name") or "")
        for run in trace.runs
        for tool in run.tools or ()
        if isinstance(tool, dict) and isinstance(tool.get("function") or {}, dict)
    ]
    return tuple(dict.fromkeys(name for name in (*called, *offered) if name))[:200]


def good_runs(workspace: Workspace, bad: Trace) -> list[Run]:
    """Good runs of the program of a bad one: labelled as passing, else unsuspicious ones."""
    found: list[Run] = []
    for summary in workspace.store.list_traces(TraceFilter(label="pass", limit=1000)):
        if len(found) == MAX_GOOD:
            break
        trace = workspace.store.get_trace(summary.trace_id)
        if trace is not None and trace.trace_id != bad.trace_id and _is_same_program(trace, bad):
            label = traces.label_of(workspace, trace.trace_id)
            is_bare = label is None or not (label.checks or label.expectation)
            found.append(Run(recorded_result(trace), True, _is_same_input(trace, bad), is_bare))
    if found:
        return found
    quiet = (workspace.store.get_trace(c.trace_id) for c in controls.choose(workspace, bad))
    return [Run(recorded_result(t), True, _is_same_input(t, bad)) for t in quiet if t]


def failing_alike(workspace: Workspace, bad: Trace, words: str) -> tuple[ReplayResult, ...]:
    """Other runs of the program that are labelled as failing the same expectation."""
    found: list[ReplayResult] = []
    for summary in workspace.store.list_traces(TraceFilter(label="fail", limit=1000)):
        label = traces.label_of(workspace, summary.trace_id)
        if summary.trace_id == bad.trace_id or not label or label.expectation != words:
            continue
        trace = workspace.store.get_trace(summary.trace_id)
        if trace is not None and _is_same_program(trace, bad) and len(found) < MAX_GOOD:
            found.append(recorded_result(trace))
    return tuple(found)


def _is_same_program(one: Trace, other: Trace) -> bool:
    left, right = (repositories.entry_point(trace) for trace in (one, other))
    if left is not None and right is not None:
        return left.target == right.target
    names = [trace.root.name if trace.root else None for trace in (one, other)]
    return names[0] == names[1]


def _is_same_input(one: Trace, other: Trace) -> bool:
    left, right = (trace.root.inputs if trace.root else None for trace in (one, other))
    return bool(left == right)
