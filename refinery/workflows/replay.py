"""Runs a recorded trace again, unpatched and from its tape alone, and compares the two."""

import sys
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from refinery.codebase.repository import Repository
from refinery.errors import InputError
from refinery.model import codec
from refinery.model.codec import encode
from refinery.model.trace import EntryPoint, Json, Trace
from refinery.model.verdict import Fidelity, ReplayResult
from refinery.replay import divergence
from refinery.replay.answers import wire_answer
from refinery.replay.commands import replay_command
from refinery.replay.configure import LIVE_REQUESTS, configure
from refinery.replay.divergence import Divergence
from refinery.replay.program import Code
from refinery.replay.runner import Batch, replay, require_entry
from refinery.replay.session import Rules
from refinery.replay.tape import Tape, with_entry
from refinery.workflows import repositories, turns
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
    divergence: Divergence | None
    """The first thing that is not as recorded; None when nothing differs."""
    warnings: tuple[str, ...] = ()

    @property
    def is_same(self) -> bool:
        """Whether the replay ended as the recording did, with the same result."""
        return self.divergence is None

    @property
    def summary(self) -> str:
        """How many steps were answered how, e.g. `3 exact, 1 normalised`."""
        counts = Counter(step.fidelity for step in self.result.steps)
        told = [f"{counts[one]} {one.value}" for one in Fidelity if counts[one]]
        return ", ".join(told) or "no steps"


def replay_trace(
    workspace: Workspace, trace: Trace, request: ReplayRequest | None = None
) -> ReplayOutcome:
    """Replay a trace with the code it was recorded with; no model is asked, no tool runs.

    Args:
        workspace: whose settings say how the agent is run.
        trace: what to replay.
        request: where its code is, and what may differ; default: nothing.

    Raises:
        InputError: the trace names no entry point, its code or repository cannot be read, or it
            has no such step.
        RefusedError: no sandbox holds here.
    """
    request = request or ReplayRequest()
    settings = workspace.settings
    tape = _tape(workspace, trace, settings.values.agent.entrypoint)
    is_command = tape.entry is not None and tape.entry.kind == "command"
    entry = tape.entry if tape.entry and is_command else require_entry(tape)
    found = Repository.open(repositories.choose(request.repository, trace))
    start = turns.step(trace, request.from_step) if request.from_step else None
    configured = configure(
        settings,
        found.root,
        allow_unsandboxed=request.unsandboxed,
        live_requests=LIVE_REQUESTS if start else 0,
    )
    warnings = [*configured.warnings, *differing_interpreter(entry, configured.agent.python)]
    commit = entry.commit
    if commit is None:
        commit = found.head_commit()
        warnings.append(f"the recording names no commit: replayed at {commit[:12]}")
    agent = replace(configured.agent, live=())
    rules = request.rules or Rules(is_unchanged=entry.commit is not None)
    if start is not None:
        rules = replace(rules, live_from_ns=start.start_ns)
        if agent.upstream is None:
            warnings.append("no model is configured: what follows the step comes from the tape")
    before = [] if is_command else turns.before(workspace.store, trace)
    earlier = tuple(_tape(workspace, one, settings.values.agent.entrypoint) for one in before)
    if earlier:
        warnings.append(f"replayed after {len(earlier)} earlier turns of its conversation")
    code = Code(commit, entry.dirty_diff)
    if is_command:
        replayed = replay_command(agent, code, trace, tape, rules)
    else:
        replayed = replay(Batch(agent, code, (tape,), rules=rules, before=earlier))[0]
    runs = [codec.decode_run(run) for run in replayed.result.replayed or ()]
    functions = divergence.functions(trace, tape, runs)
    result = replace(replayed.result, steps=(*replayed.result.steps, *functions))
    return ReplayOutcome(
        trace_id=trace.trace_id,
        result=result,
        commit=commit,
        sandbox=agent.tier,
        divergence=divergence.first(trace, tape, replayed),
        warnings=tuple(warnings),
    )


def _tape(workspace: Workspace, trace: Trace, entrypoint: str | None) -> Tape:
    """The tape of a trace, with the bytes that were kept of its calls."""
    made = Tape.from_trace(with_entry(trace, entrypoint))
    kept = {run.run_id: run.raw_ref for run in trace.runs if run.raw_ref}
    calls = []
    for call in made.calls:
        reference = kept.get(call.run_id)
        content = workspace.store.get_blob(reference) if reference else None
        calls.append(replace(call, wire=wire_answer(content)) if content else call)
    return replace(made, calls=tuple(calls))


def differing_interpreter(entry: EntryPoint, python: Path | None) -> list[str]:
    """What to tell when another interpreter runs the agent than did when it was recorded."""
    used = str(python or sys.executable)
    if entry.python is None or entry.python == used:
        return []
    gone = "" if Path(entry.python).exists() else ", which is gone"
    return [f"recorded with {entry.python}{gone}; replayed with {used}"]


def to_document(outcome: ReplayOutcome) -> dict[str, Json]:
    """The outcome as the JSON of the command line."""
    result = outcome.result
    return {
        "trace_id": outcome.trace_id,
        "same": outcome.is_same,
        "divergence": encode(outcome.divergence) if outcome.divergence else None,
        "summary": outcome.summary,
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
