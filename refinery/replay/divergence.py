"""Where a replay first differs from its recording: which run was next, and what came instead."""

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from refinery import clock
from refinery.model.trace import Json, Run, RunKind, RunStatus, Trace
from refinery.model.verdict import Fidelity, ReplayResult, StepFidelity
from refinery.replay import canonical, compare
from refinery.replay.canonical import Fresh
from refinery.replay.runner import Replayed
from refinery.replay.tape import Tape

MAX_DIFF_LINES = 400
"""Longest diff that is kept; chosen by us, about eight screens."""
_MODEL = frozenset({RunKind.LLM, RunKind.EMBEDDING})
_SERVED = frozenset({RunKind.TOOL, RunKind.RETRIEVER})
_FUNCTIONS = frozenset({RunKind.CHAIN, RunKind.STEP})


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first thing in a replay that is not as recorded."""

    message: str
    """One sentence for people."""
    run_id: str | None
    """The recorded run that was next; None: everything recorded had happened already."""
    name: str | None
    """Its name."""
    expected: Json
    """What it asked or returned; None when there is no such run."""
    got: Json
    """What the replay asked or returned instead; None: nothing came."""
    diff: str
    """Unified diff of the two as JSON, `recorded` against `replayed`; empty when both are None."""

    def __str__(self) -> str:
        """The sentence."""
        return self.message


def first(trace: Trace, tape: Tape, replayed: Replayed) -> Divergence | None:
    """The first request without an answer, else another end, else another result."""
    result = replayed.result
    step = next((s for s in result.steps if s.fidelity is Fidelity.UNANSWERED), None)
    if step is not None:
        return _unanswered(trace, replayed, step)
    if trace.status is RunStatus.ERROR:
        return _other_error(trace, tape, result)
    if result.status != "ok":
        reason = result.error or "no reason given"
        return _at_root(trace, f"the replay ended as {result.status}: {reason}", result.error)
    found = compare.difference(tape, result.output)
    if found is not None:
        return _at_root(trace, found, result.output)
    return _not_asked(trace, result)


def _unanswered(trace: Trace, replayed: Replayed, step: StepFidelity) -> Divergence:
    """A request, tool call or retrieval that was not recorded."""
    message = f"{step.kind} {step.name} was not recorded like this: {step.detail}"
    missed, unmatched = replayed.missed, replayed.unmatched
    if step.kind in ("tool", "retriever") and isinstance(unmatched, Mapping):
        run = _next_served(trace, replayed.result.steps, str(unmatched.get("name")))
        expected = {"name": run.name, "arguments": run.inputs} if run else None
        got: Json = {"name": unmatched.get("name"), "arguments": unmatched.get("arguments")}
    elif missed is not None and step.kind != "network":
        run = trace.run(missed.expected) if missed.expected else None
        expected = canonical.document_of_run(run) if run else None
        got = missed.got
    else:
        return Divergence(message, None, None, None, None, "")
    if run is not None:
        message += f"; next was {run.kind.value if run.kind else 'run'} {run.name} ({run.run_id})"
    return _made(message, run, expected, got)


def _next_served(trace: Trace, steps: Iterable[StepFidelity], name: str) -> Run | None:
    """The recorded tool call or retrieval that was next, of that name when there is one."""
    done = {step.recorded_run_id for step in steps}
    waiting = [r for r in _by_start(trace) if r.kind in _SERVED and r.run_id not in done]
    return next((run for run in waiting if run.name == name), waiting[0] if waiting else None)


def _by_start(trace: Trace) -> list[Run]:
    return sorted(trace.runs, key=lambda run: run.start_ns or 0)


def _other_error(trace: Trace, tape: Tape, result: ReplayResult) -> Divergence | None:
    """A recorded run failed: the replay must fail the same way."""
    error = trace.root.error if trace.root else None
    if error is None:
        same = result.status == "error"
        return None if same else _at_root(trace, f"the replay ended as {result.status}", None)
    wanted = f"{error.type}: {error.message}"
    is_same = compare.is_same_error(tape, wanted, result.error or "")
    if result.status == "error" and is_same:
        return None
    replayed = result.error or result.status
    told = f"recorded error {wanted[:300]!r}, replayed {replayed[:300]!r}"
    return _made(told, trace.root, wanted, replayed)


def _at_root(trace: Trace, message: str, got: Json) -> Divergence:
    root = trace.root
    return _made(message, root, root.outputs if root else None, got)


def _not_asked(trace: Trace, result: ReplayResult) -> Divergence | None:
    """A recorded model call the replay did not make, outside of tools, which do not run."""
    done = {step.recorded_run_id for step in result.steps}
    if not done or any(step.fidelity is Fidelity.LIVE for step in result.steps):
        return None
    inside = _below(trace, _SERVED | _MODEL)
    for run in _by_start(trace):
        is_call = run.kind in _MODEL and run.run_id not in inside
        has_ended = run.outputs is not None or run.is_failed
        if is_call and has_ended and run.status is not RunStatus.CANCELLED:
            if run.run_id in done:
                continue
            message = f"{run.kind.value if run.kind else ''} {run.name} was not asked for again"
            return _made(message, run, canonical.document_of_run(run), None)
    return None


def _below(trace: Trace, kinds: frozenset[RunKind]) -> set[str]:
    """Ids of all runs below a run of those kinds."""
    by_id = {run.run_id: run for run in trace.runs}
    found: set[str] = set()
    for run in trace.runs:
        at, seen = run, 0
        while at.parent_id in by_id and seen < 200:
            at, seen = by_id[at.parent_id], seen + 1
            if at.kind in kinds:
                found.add(run.run_id)
                break
    return found


def _made(message: str, run: Run | None, expected: Json, got: Json) -> Divergence:
    name = run.name if run else None
    return Divergence(
        message, run.run_id if run else None, name, expected, got, _diff(expected, got)
    )


def _diff(expected: Json, got: Json) -> str:
    """Unified diff of two values as JSON, one line a member."""
    left, right = (_lines(value) for value in (expected, got))
    lines = list(difflib.unified_diff(left, right, "recorded", "replayed", lineterm=""))
    if len(lines) > MAX_DIFF_LINES:
        more = len(lines) - MAX_DIFF_LINES
        lines = [*lines[:MAX_DIFF_LINES], f"… and {more} lines more"]
    return "\n".join(lines)


def _lines(value: Json) -> list[str]:
    if value is None:
        return []
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, default=str)
    return text.splitlines()


def functions(trace: Trace, tape: Tape, runs: Iterable[Run]) -> list[StepFidelity]:
    """How true instrumented functions and blocks were, which run again in a replay.

    Those are compared in order by name: inputs and outputs equal, equal but for identifiers and
    times, or neither.

    Args:
        trace: what was recorded.
        tape: its tape.
        runs: what the replay recorded.
    """
    waiting: dict[str, list[Run]] = {}
    inside = _below(trace, _SERVED)
    for run in _by_start(trace):
        if _is_function(run) and run.run_id not in inside:
            waiting.setdefault(run.name or "", []).append(run)
    found = []
    for run in sorted(runs, key=lambda run: run.start_ns or 0):
        if not _is_function(run):
            continue
        same = waiting.get(run.name or "")
        kind = run.layer or "function"
        if not same:
            step = StepFidelity(run.name or "", kind, Fidelity.LIVE, None, "not recorded")
        else:
            step = _compared(same.pop(0), run, tape, kind)
        found.append(step)
    return found


def _is_function(run: Run) -> bool:
    return run.layer is not None and run.kind in _FUNCTIONS


def _compared(recorded: Run, replayed: Run, tape: Tape, kind: str) -> StepFidelity:
    known = frozenset(tape.known)
    fresh = Fresh(tape.start_ns, known, clock.now_ns())
    left = [recorded.inputs, recorded.outputs, recorded.status]
    right = [replayed.inputs, replayed.outputs, replayed.status]
    name = recorded.name or ""
    if left == right:
        return StepFidelity(name, kind, Fidelity.EXACT, recorded.run_id)
    if compare.plain(left, fresh) == compare.plain(right, fresh):
        detail = "identifiers or times differ"
        return StepFidelity(name, kind, Fidelity.NORMALISED, recorded.run_id, detail)
    detail = "it ran and came to something else"
    return StepFidelity(name, kind, Fidelity.LIVE, recorded.run_id, detail)
