"""Places in recorded conversations: a step of a trace, and the turns before it."""

from refinery.errors import InputError, NotFoundError
from refinery.model.trace import Run, Trace
from refinery.ports import Store, TraceFilter
from refinery.replay.variation import is_variation
from refinery.workflows import repositories

MAX_TURNS = 50
"""Most earlier turns of a conversation that are replayed before one."""
_SHOWN = 8


def step(trace: Trace, text: str) -> Run:
    """The run a person means by its id, a beginning of it, or its name (the first of that name).

    Raises:
        NotFoundError: no run fits, or the one that does has no time.
        InputError: several ids begin like that.
    """
    exact = trace.run(text)
    beginning = [run for run in trace.runs if len(text) >= 4 and run.run_id.startswith(text)]
    if exact is None and len(beginning) > 1:
        found = ", ".join(run.run_id for run in beginning[:_SHOWN])
        raise InputError(f"{len(beginning)} steps begin with {text!r}", hint=f"one of: {found}")
    named = sorted((r for r in trace.runs if r.name == text), key=lambda run: run.start_ns or 0)
    chosen = exact or next(iter([*beginning, *named]), None)
    if chosen is None or chosen.start_ns is None:
        names = ", ".join(dict.fromkeys(run.name for run in trace.runs[:50] if run.name))
        raise NotFoundError(f"the trace has no step {text!r}", hint=f"its steps: {names[:300]}")
    return chosen


def before(store: Store, trace: Trace) -> list[Trace]:
    """Earlier turns of a LangGraph thread, oldest first; empty when the trace stands alone.

    A turn is one that was started by the same entry point and ran a graph of the same thread.
    """
    root = trace.root
    threads = _threads(trace)
    entry = repositories.entry_point(trace)
    if root is None or root.start_ns is None or not threads or entry is None:
        return []
    found: dict[str, Trace] = {}
    for thread in sorted(threads):
        wanted = TraceFilter(session_id=thread, until_ns=root.start_ns, limit=MAX_TURNS)
        for summary in store.list_traces(wanted):
            earlier = store.get_trace(summary.trace_id)
            if earlier is None or earlier.trace_id == trace.trace_id or is_variation(earlier):
                continue
            started = repositories.entry_point(earlier)
            if started and (started.target, started.commit) == (entry.target, entry.commit):
                found[earlier.trace_id] = earlier
    return sorted(found.values(), key=_start)[-MAX_TURNS:]


def _start(trace: Trace) -> int:
    return (trace.root.start_ns if trace.root else None) or 0


def _threads(trace: Trace) -> set[str]:
    """Threads of the graphs in a trace, as LangGraph's metadata names them."""
    found = set()
    for run in trace.runs:
        name = (run.metadata or {}).get("thread_id")
        if isinstance(name, str) and run.session_id == name:
            found.add(name)
    return found
