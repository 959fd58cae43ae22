"""Runs a recorded trace again, unpatched and from its tape alone, and compares the two."""

from dataclasses import dataclass, replace
from pathlib import Path

from refinery.codebase.repository import Repository
from refinery.errors import InputError
from refinery.model.codec import encode
from refinery.model.trace import Json, RunStatus, Trace
from refinery.model.verdict import Fidelity, ReplayResult
from refinery.replay import compare
from refinery.replay.configure import configure
from refinery.replay.program import Code
from refinery.replay.runner import Batch, replay, require_entry
from refinery.replay.session import Rules
from refinery.replay.tape import Tape, with_entry
from refinery.workflows import repositories
from refinery.workflows.wiring import Workspace


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """What is asked of a replay."""

    repository: Path | None = None
    """Where the agent's code is; None: this folder's, else the recorded one."""
    unsandboxed: bool = False
    """Run without a sandbox when none holds here."""
    from_step: str | None = None
    """Id, prefix of an id, or name of the run from which on the agent's own model is asked;
    None: everything comes from the tape."""
    rules: Rules | None = None
    """How requests are judged; None: the program is the recorded one."""


@dataclass(frozen=True, slots=True)
class ReplayOutcome:
    """One exact replay."""

    trace_id: str
    result: ReplayResult
    commit: str
    """The commit whose code ran."""
    sandbox: str
    """Tier that held it."""
    divergence: str | None
    """The first thing that is not as recorded; None when nothing differs."""
    warnings: tuple[str, ...] = ()

    @property
    def is_same(self) -> bool:
        """Whether the replay ended as the recording did, with the same result."""
        return self.divergence is None


def replay_trace(
    workspace: Workspace, trace: Trace, request: ReplayRequest | None = None
) -> ReplayOutcome:
    """Replay a trace with the code it was recorded with; no model is asked, no tool runs.

    Args:
        workspace: whose settings say how the agent is run.
        trace: what to replay.
        request: where its code is, and what may differ; default: nothing.

    Raises:
        InputError: the trace names no entry point, or its code or repository cannot be read.
        RefusedError: no sandbox holds here.
    """
    request = request or ReplayRequest()
    settings = workspace.settings
    tape = Tape.from_trace(with_entry(trace, settings.values.agent.entrypoint))
    entry = require_entry(tape)
    found = Repository.open(repositories.choose(request.repository, trace))
    configured = configure(
        settings, found.root, allow_unsandboxed=request.unsandboxed, live_requests=0
    )
    warnings = list(configured.warnings)
    commit = entry.commit
    if commit is None:
        commit = found.head_commit()
        warnings.append(f"the recording names no commit: replayed at {commit[:12]}")
    agent = replace(configured.agent, live=())
    rules = request.rules or Rules(is_unchanged=entry.commit is not None)
    batch = Batch(agent, Code(commit, entry.dirty_diff), (tape,), rules=rules)
    result = replay(batch)[0].result
    return ReplayOutcome(
        trace_id=trace.trace_id,
        result=result,
        commit=commit,
        sandbox=agent.tier,
        divergence=_divergence(trace, tape, result),
        warnings=tuple(warnings),
    )


def _divergence(trace: Trace, tape: Tape, result: ReplayResult) -> str | None:
    """The first step without an answer, else another end, else another result."""
    step = next((s for s in result.steps if s.fidelity is Fidelity.UNANSWERED), None)
    if step:
        return f"{step.kind} {step.name} was not recorded like this: {step.detail}"
    if trace.status is RunStatus.ERROR:
        error = trace.root.error if trace.root else None
        if error is None:
            return None if result.status == "error" else f"the replay ended as {result.status}"
        wanted = f"{error.type}: {error.message}"
        if result.status == "error" and compare.is_same_error(tape, wanted, result.error or ""):
            return None
        return (
            f"recorded error {wanted[:300]!r}, replayed {(result.error or result.status)[:300]!r}"
        )
    if result.status != "ok":
        return f"the replay ended as {result.status}: {result.error or 'no reason given'}"
    return compare.difference(tape, result.output)


def to_document(outcome: ReplayOutcome) -> dict[str, Json]:
    """The outcome as the JSON of the command line."""
    result = outcome.result
    return {
        "trace_id": outcome.trace_id,
        "same": outcome.is_same,
        "divergence": outcome.divergence,
        "status": result.status,
        "output": result.output,
        "error": result.error,
        "steps": [encode(step) for step in result.steps],
        "duration_ms": result.duration_ms,
        "commit": outcome.commit,
        "sandbox": outcome.sandbox,
        "warnings": list(outcome.warnings),
    }


def require_repository(folder: Path | None) -> None:
    """Check a folder named on the command line.

    Raises:
        InputError: it does not exist.
    """
    if folder is not None and not folder.is_dir():
        raise InputError(f"{folder} is not a folder", hint="name the agent's repository")
