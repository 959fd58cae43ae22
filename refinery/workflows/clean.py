"""Deletes old traces, never one that a change, a lesson or an open session needs."""

from collections.abc import Callable
from dataclasses import dataclass

from refinery import clock
from refinery.errors import InputError, RefineryError
from refinery.model.trace import TraceSummary
from refinery.ports import TraceFilter
from refinery.workflows import search
from refinery.workflows.referring import referring
from refinery.workflows.wiring import Workspace

AT_ONCE = 200
"""Traces deleted in one transaction, so that other writers wait only briefly."""
_EVERYTHING = 2**62


@dataclass(frozen=True, slots=True)
class Cleaning:
    """What was deleted, or would be."""

    deleted: tuple[TraceSummary, ...]
    kept: tuple[TraceSummary, ...]
    """Old traces that stay, because something needs them."""
    reasons: dict[str, str]
    """What needs them, by id."""
    undated: int
    """Traces that do not say when they began; they have no age and stay."""
    is_index_clean: bool
    """Whether nothing of the deleted ones is left in the search index."""
    note: str = ""
    """Why something is left there."""


def clean(
    workspace: Workspace,
    before_ns: int,
    *,
    dry_run: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Cleaning:
    """Delete the traces whose last activity was before a time, with all they hold.

    They go from the trace store and from the search index. A process killed in between has
    deleted some whole traces and no part of another; running it again does the rest.

    Args:
        workspace: whose store is cleaned, and whose changes, lessons and sessions protect traces.
        before_ns: nanoseconds UTC.
        dry_run: delete nothing, say what would be.
        progress: told the number of traces deleted and to be deleted.

    Raises:
        RefusedError: the ledger was altered; without it nothing is known to be free.
        InputError: a receipt cannot be read, or the time is yet to come.
    """
    store = workspace.store
    needed = referring(workspace.home)
    listed = store.list_traces(TraceFilter(limit=_EVERYTHING))
    latest = max((one.end_ns or one.start_ns or 0 for one in listed), default=0)
    # Clocks of other machines may be ahead.
    if not dry_run and before_ns > max(clock.now_ns(), latest):
        raise InputError(
            "the time is yet to come, so every trace would be older",
            hint="give a time that is past; 0s means all that has happened",
        )
    undated = sum(one.start_ns is None for one in listed)
    old = [one for one in listed if _is_before(one, before_ns)]
    going = [one for one in old if one.trace_id not in needed]
    kept = tuple(one for one in old if one.trace_id in needed)
    reasons = {one.trace_id: needed[one.trace_id] for one in kept}
    if dry_run or not going:
        return Cleaning(tuple(going), kept, reasons, undated, is_index_clean=True)
    ids = [one.trace_id for one in going]
    for start in range(0, len(ids), AT_ONCE):
        store.delete_traces(ids[start : start + AT_ONCE])
        if progress:
            progress(min(start + AT_ONCE, len(ids)), len(ids))
    note = _forget(workspace, ids)
    return Cleaning(tuple(going), kept, reasons, undated, is_index_clean=not note, note=note)


def _is_before(one: TraceSummary, moment_ns: int) -> bool:
    """Whether a trace began, and did nothing since, before a moment."""
    if one.start_ns is None or one.start_ns >= moment_ns:
        return False
    return one.end_ns is None or one.end_ns < moment_ns


def _forget(workspace: Workspace, ids: list[str]) -> str:
    """Take traces out of the search index; says why not when that fails."""
    if not search.folder_of(workspace).is_dir():
        return ""
    try:
        with search.open_index(workspace) as index:
            if index.forget(ids, workspace.store):
                return ""
        return "another process is using the search index; the next search takes them out of it"
    except InputError as error:
        return f"they are still in the search index: {error}"
    except RefineryError as error:
        return f"they are still in the search index: {error}; {error.hint}"
