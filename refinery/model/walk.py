"""Walks: over the tree of runs, and over the strings inside a JSON value."""

import json
from collections.abc import Iterator, Sequence

from refinery.model.trace import Json, Run, RunKind, Trace

MAX_DEPTH = 200
"""Deepest nesting that is read; deeper values are cut (THREATS 4, limits)."""


def children(trace: Trace, run_id: str) -> tuple[Run, ...]:
    """Direct children of a run, in tree order."""
    return tuple(run for run in trace.runs if run.parent_id == run_id)


def ancestors(trace: Trace, run_id: str) -> tuple[Run, ...]:
    """Runs above a run, nearest first."""
    by_id = {run.run_id: run for run in trace.runs}
    found: list[Run] = []
    run = by_id.get(run_id)
    while run and run.parent_id and (run := by_id.get(run.parent_id)) and run not in found:
        found.append(run)
    return tuple(found)


def of_kind(trace: Trace, *kinds: RunKind) -> tuple[Run, ...]:
    """Runs of the given kinds, in tree order."""
    return tuple(run for run in trace.runs if run.kind in kinds)


def leaves(trace: Trace) -> tuple[Run, ...]:
    """Runs without children, in tree order."""
    parents = {run.parent_id for run in trace.runs}
    return tuple(run for run in trace.runs if run.run_id not in parents)


def in_tree_order(runs: Sequence[Run]) -> tuple[Run, ...]:
    """Runs by dotted order; where one has none, parents before children, siblings by start.

    Args:
        runs: in order of arrival, which decides between equals.
    """
    if all(run.dotted_order for run in runs):
        return tuple(sorted(runs, key=lambda run: run.dotted_order or ""))
    known = {run.run_id for run in runs}
    by_start = sorted(runs, key=lambda run: (run.start_ns is None, run.start_ns or 0))
    below: dict[str | None, list[Run]] = {}
    for run in by_start:
        below.setdefault(run.parent_id if run.parent_id in known else None, []).append(run)
    ordered: dict[str, Run] = {}
    waiting = list(reversed(below.get(None, [])))
    while waiting:
        run = waiting.pop()
        ordered[run.run_id] = run
        waiting.extend(reversed(below.get(run.run_id, [])))
    # Runs that are each other's ancestors hang below no root: show them rather than lose them.
    ordered.update((run.run_id, run) for run in by_start if run.run_id not in ordered)
    return tuple(ordered.values())


def strings(value: Json, path: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Every string inside a JSON value, as (path, text); keys are not included."""
    if isinstance(value, str):
        yield path, value
    elif depth < MAX_DEPTH and isinstance(value, dict):
        for key, item in value.items():
            yield from strings(item, f"{path}.{key}" if path else str(key), depth + 1)
    elif depth < MAX_DEPTH and isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from strings(item, f"{path}[{index}]", depth + 1)


def texts(run: Run) -> Iterator[tuple[str, str]]:
    """Every string of a run's inputs, outputs, error, reasoning and metadata, as (path, text)."""
    yield from strings(run.inputs, "inputs")
    yield from strings(run.outputs, "outputs")
    if run.error:
        yield "error.message", run.error.message
        yield "error.stack", run.error.stack
    if run.reasoning:
        yield "reasoning", run.reasoning
    yield from strings(run.metadata, "metadata")


def occurs(run: Run, quote: str) -> str | None:
    """Path of the first string of the run that holds the quote verbatim; None when none does.

    A quote of structured data may also stand in the compact or the spaced JSON of the inputs,
    the outputs, the params or the error.
    """
    if not quote:
        return None
    for path, text in texts(run):
        if quote in text:
            return path
    error = {"type": run.error.type, "message": run.error.message} if run.error else None
    parts = {"inputs": run.inputs, "outputs": run.outputs, "params": run.params, "error": error}
    for path, value in parts.items():
        if value is None:
            continue
        for separators in ((",", ":"), (", ", ": ")):
            if quote in json.dumps(value, ensure_ascii=False, separators=separators, default=str):
                return path
    return None
