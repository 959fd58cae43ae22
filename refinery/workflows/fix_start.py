"""What a fix is asked to do, and the state its session begins with."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from refinery import clock
from refinery.agents.state import FixState, request_of
from refinery.codebase.repository import Repository
from refinery.llm.purse import Purse
from refinery.model.trace import Label, Trace
from refinery.replay.cases import MAX_RUNS
from refinery.replay.checks import parse as parse_check
from refinery.replay.tape import with_entry
from refinery.safety.seal import seal
from refinery.workflows import checks as expectations
from refinery.workflows import controls, traces
from refinery.workflows.wiring import Workspace

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class FixRequest:
    """What to fix, and how far to go."""

    trace: Trace
    repository: Path | None = None
    """None: the repository of the working directory, else the one the trace was recorded in."""
    expectation: str | None = None
    checks: tuple[str, ...] = ()
    model: str | None = None
    branch: str | None = None
    """Commit to this branch instead of the current one."""
    repeats: int | None = None
    """Fewest replays of each failing trace in each arm."""
    unsandboxed: bool = False
    also: tuple[Trace, ...] = ()
    """More failing traces the same patch has to fix; none: those that fail alike."""
    max_runs: int | None = None
    """Most replays of one patch's trial."""
    budget_usd: float | None = None
    """Most the session may cost, all models together; None: as the settings say."""
    run_hooks: bool = False
    """Whether the repository's own commit hooks run, on a copy."""


def initial_state(
    workspace: Workspace, request: FixRequest, repository: Repository, say: Say
) -> FixState:
    """The state of a new session, sealed; a model may be asked to read the expectation.

    Raises:
        InputError: a check cannot be read, or the repository has no commit.
    """
    label = traces.label_of(workspace.store, request.trace.trace_id)
    values = workspace.settings.values
    budget_usd = values.budget_usd if request.budget_usd is None else request.budget_usd
    purse = Purse(budget_usd)
    expected = _expected(workspace, request, label, (say, purse))
    made = expected.accepted if expected else ()
    checks = [*request.checks] or [*made] or [*(label.checks if label else ())]
    for check in checks:
        parse_check(check)
    target = workspace.settings.values.agent.entrypoint
    trace = with_entry(request.trace, target)
    chosen = controls.choose(workspace, trace)
    failing = _failing(workspace, request, trace, say)
    state: FixState = {
        "session_id": clock.short_id("session"),
        "started_ns": clock.now_ns(),
        "trace_id": request.trace.trace_id,
        "expectation": request.expectation or (label.expectation if label else None),
        "checks": checks,
        "expected": expectations.to_document(expected) if expected else None,
        "failing_ids": [trace.trace_id, *(one.trace_id for one in failing)],
        "failing_checks": {one.trace_id: list(one.checks or checks) for one in failing},
        "control_ids": [control.trace_id for control in chosen],
        "control_checks": {c.trace_id: list(c.checks) for c in chosen if c.checks},
        "repository": str(repository.root),
        "base_commit": repository.head_commit(),
        "branch": request.branch,
        "repeats": request.repeats or values.replay.repeats,
        "max_runs": request.max_runs or MAX_RUNS,
        "budget_usd": budget_usd,
        "spending": purse.document(),
        "seed": secrets.randbits(48),
        "unsandboxed": request.unsandboxed,
        "model": request.model or values.model,
    }
    return {**state, "request_seal": seal(request_of(state))}


def _failing(
    workspace: Workspace, request: FixRequest, trace: Trace, say: Say
) -> list[controls.Control]:
    """The other failing traces: those named, else those that fail alike."""
    if request.also:
        named = {one.trace_id: one for one in request.also if one.trace_id != trace.trace_id}
        labels = {trace_id: traces.label_of(workspace.store, trace_id) for trace_id in named}
        return [controls.Control(i, label.checks if label else ()) for i, label in labels.items()]
    found = controls.alike(workspace, trace)
    if found:
        say(f"{len(found)} other failing traces fail alike and are tried too")
    return found


def _expected(
    workspace: Workspace, request: FixRequest, label: Label | None, told: tuple[Say, Purse]
) -> expectations.Expected | None:
    """Checks made of the expectation, where no check was written; None when there is nothing."""
    words = request.expectation
    if words is None and label is not None and not label.checks:
        words = label.expectation
    if words is None or not words.strip() or request.checks:
        return None
    say, purse = told
    expected = expectations.make(workspace, request.trace, words, request.model, purse)
    for line in expected.told():
        say(f"expectation: {line}")
    if not expected.accepted:
        say("the expectation gave no check; the trial is held to other checks, not to it")
    return expected
