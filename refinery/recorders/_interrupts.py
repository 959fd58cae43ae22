"""Which interrupted run a LangGraph run takes up again.

A resumed graph is a new trace. Within one process the run that is resumed is known by its
thread: the graph that gets `Command(resume=…)`, or no input at all, links to the runs that were
interrupted on that thread, or else to the graph that stopped there (`interrupt_before`); a node
that runs again links to its own interrupted run, which had the same `langgraph_checkpoint_ns`.

    {"kind": "resumes", "run_id": …, "trace_id": …, "thread_id": …}

When another process was interrupted, the link names the thread alone. The interrupted run is then
the latest one before it of the same `session_id` with `metadata["refinery"]["cancelled"]` equal
to `interrupt`; node for node, it is the one with the same `metadata["langgraph_checkpoint_ns"]`.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from refinery.model.trace import Json
from refinery.recorders._book import OpenRun

MAX_THREADS = 2_000
"""Threads whose interrupts are remembered; older ones are found as another process's are."""
MAX_INTERRUPTS = 100
"""Most interrupted runs remembered of one thread."""
_NAMESPACE = "langgraph_checkpoint_ns"


@dataclass(slots=True)
class _Thread:
    """What is known of one conversation."""

    graph: "tuple[str, str] | None" = None
    """Run and trace of the last graph that ran on it."""
    interrupted: list[tuple[str, str]] = field(default_factory=list)
    """Runs that wait to be resumed, with their traces."""
    nodes: dict[str, tuple[str, str]] = field(default_factory=dict)
    """The same by `langgraph_checkpoint_ns`, kept until the next interrupt."""
    above: set[str] = field(default_factory=set)
    """Runs around interrupted ones, which end by the same interrupt."""


class Interrupts:
    """Remembers interrupted runs by thread."""

    def __init__(self) -> None:
        self._threads: OrderedDict[str, _Thread] = OrderedDict()

    def interrupted(self, run: OpenRun) -> None:
        """Remember a run that ended by an interrupt; the innermost one counts."""
        thread = self._thread(run.fields.get("session_id"))
        if thread is None or len(thread.interrupted) >= MAX_INTERRUPTS:
            return
        if run.parent_id:
            thread.above.add(run.parent_id)
        if run.place.run_id in thread.above:
            return
        found = (run.place.run_id, run.place.trace_id)
        thread.interrupted.append(found)
        namespace = _namespace(run.fields)
        if namespace:
            thread.nodes[str(namespace)] = found

    def began(self, run: OpenRun) -> None:
        """Remember the outermost graph of a thread."""
        thread = self._thread(run.fields.get("session_id"))
        if thread is not None and _namespace(run.fields) is None:
            thread.graph = (run.place.run_id, run.place.trace_id)

    def links(self, inputs: Any, is_graph: bool, fields: Mapping[str, Any]) -> list[Json]:
        """Links of a run that begins, to the runs it resumes.

        Args:
            inputs: what LangGraph was given.
            is_graph: whether the run is a whole graph.
            fields: `session_id` and `metadata` of the run.
        """
        name = fields.get("session_id")
        thread = self._threads.get(str(name)) if name else None
        namespace = _namespace(fields)
        if is_graph and namespace is None and name and _resumes(inputs):
            found = [] if thread is None else thread.interrupted or _listed(thread.graph)
            if thread is not None:
                thread.interrupted, thread.above = [], set()
            return [_link(name, *run) for run in found] or [_link(name)]
        if thread is not None and namespace and not is_graph:
            return [_link(name, *run) for run in _listed(thread.nodes.pop(namespace, None))]
        return []

    def _thread(self, name: Any) -> _Thread | None:
        if not name:
            return None
        thread = self._threads.setdefault(str(name), _Thread())
        self._threads.move_to_end(str(name))
        if len(self._threads) > MAX_THREADS:
            self._threads.popitem(last=False)
        return thread


def _namespace(fields: Mapping[str, Any]) -> Any:
    """Where a node stands in its graph; None of a run outside of all graphs."""
    metadata = fields.get("metadata")
    return metadata.get(_NAMESPACE) if type(metadata) is dict else None


def _resumes(inputs: Any) -> bool:
    """Whether a graph's input tells it to go on where it stopped."""
    if inputs is None:
        return True
    cls = type(inputs)
    is_command = cls.__name__ == "Command" and cls.__module__.startswith("langgraph")
    return is_command and getattr(inputs, "resume", None) is not None


def _listed(run: "tuple[str, str] | None") -> list[tuple[str, str]]:
    return [] if run is None else [run]


def _link(thread: Any, run_id: str | None = None, trace_id: str | None = None) -> Json:
    link = {"kind": "resumes", "thread_id": str(thread)}
    return {**link, "run_id": run_id, "trace_id": trace_id} if run_id else link
