"""What would have happened if: replays a recorded run with another model, prompt or value.

    outcome = what_if(workspace, trace, [Variation(model="small-2")], WhatIfRequest(), print)

Each variation is a replay of its own. Unchanged requests keep their recorded answers, changed
ones go to the agent's own model, tools and retrievers answer from the recording. Beside them the
unchanged run is replayed as a control, so that a difference can be told from a recording that
does not replay. The original stays as it is; each new run is stored as a trace of its own, whose
root says in `metadata.refinery` what it is a `variation_of` and what was different.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from refinery import clock
from refinery.codebase.repository import Repository
from refinery.errors import InputError
from refinery.llm.purse import Purse
from refinery.model.codec import decode_run, encode
from refinery.model.trace import Json, Run, RunKind, Trace
from refinery.model.verdict import Fidelity, ReplayResult
from refinery.model.walk import in_tree_order, of_kind
from refinery.replay import divergence
from refinery.replay.configure import LIVE_REQUESTS, configure
from refinery.replay.program import Agent, Code
from refinery.replay.runner import Batch, Replayed, replay, require_entry
from refinery.replay.session import Rules
from refinery.replay.spending import Metered, spent_by
from refinery.replay.tape import Tape, entry_point, with_entry
from refinery.replay.variation import Variation, changed_tape, resolved
from refinery.replay.varied_runs import as_sent
from refinery.replay.varying import Recorded
from refinery.workflows import one_call, repositories, turns
from refinery.workflows.diff import diff
from refinery.workflows.what_if_outcome import Cell, WhatIfOutcome, to_document
from refinery.workflows.wiring import Workspace

SOURCE = "replay"
"""Source of the traces that replays leave in the store."""

__all__ = ["Cell", "WhatIfOutcome", "WhatIfRequest", "to_document", "what_if"]


@dataclass(frozen=True, slots=True)
class WhatIfRequest:
    """How counterfactuals are replayed."""

    repository: Path | None = None
    """Where the agent's code is; None: this folder's."""
    unsandboxed: bool = False
    """Run without a sandbox when none holds here."""
    max_requests: int = LIVE_REQUESTS
    """Most live model requests, all variations together; 0 asks nobody."""
    budget_usd: float | None = None
    """Most money for live requests; None: no ceiling."""
    alone: bool = False
    """Ask only the one model call again, and run nothing of the agent."""
    base_url: str | None = None
    """Endpoint of a call that is asked alone; None: the agent's own, else the vendor's."""


def what_if(
    workspace: Workspace,
    trace: Trace,
    variations: Sequence[Variation],
    request: WhatIfRequest | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> WhatIfOutcome:
    """Replay a trace once for each variation, and compare with the original.

    A trace that does not say how its program was started is replayed as one model call: the one
    at `Variation.at`, or the only one there is.

    Args:
        workspace: whose settings say how the agent is run, and whose store keeps the new traces.
        trace: the original; it is not changed.
        variations: steps may be named by id, the beginning of one, or name.
        request: how far it may go.
        say: is told what is going on, a line at a time.

    Raises:
        InputError: a step or path is not there, a model is of another vendor, or the code or
            repository cannot be read.
        CredentialsError: a call that is asked alone needs a key.
        RefusedError: no sandbox holds here.
    """
    request = request or WhatIfRequest()
    variations = [resolved(variation, trace) for variation in variations]
    traced = with_entry(trace, workspace.settings.values.agent.entrypoint)
    entry = entry_point(traced.root) if traced.root else None
    if request.alone or entry is None or entry.kind != "callable":
        asked = one_call.OneCall(request.max_requests, request.budget_usd, request.base_url)
        alone = one_call.ask_alone(workspace, trace, variations, asked, say)
        kept = tuple(_kept(workspace, alone.before, cell) for cell in alone.cells)
        return WhatIfOutcome(
            trace, kept, warnings=alone.warnings, spent=alone.spent, call=alone.call
        )
    _refuse_varied(trace)
    for variation in variations:
        _refuse_other_vendor(trace, variation)
    return _replayed(workspace, traced, variations, request, say)


def _refuse_varied(trace: Trace) -> None:
    """Refuse a trace whose requests the agent's code never made: they were changed on the way."""
    kept = (trace.root.metadata or {}).get("refinery") if trace.root else None
    varied = any("varied" in _ours(run) for run in of_kind(trace, RunKind.LLM))
    if not isinstance(kept, dict) or "variation_of" not in kept or not varied:
        return
    raise InputError(
        f"trace {trace.trace_id} is itself a variation, with changed requests",
        hint=f"vary the original with all changes at once: refinery replay {kept['variation_of']}",
    )


def _ours(run: Run) -> Mapping[str, Json]:
    kept = (run.metadata or {}).get("refinery")
    return kept if isinstance(kept, dict) else {}


def _refuse_other_vendor(trace: Trace, variation: Variation) -> None:
    """Say before anything runs that a request cannot be translated for another vendor."""
    calls = of_kind(trace, RunKind.LLM)
    own = {run.provider for run in calls if variation.at in (None, run.run_id) and run.provider}
    if variation.vendor is None or not own or variation.vendor in own:
        return
    raise InputError(
        f"the agent asks {', '.join(sorted(own))}; only the name of the model can change there, "
        f"so {variation.vendor}:{variation.model} cannot be asked",
        hint="add --alone and --at STEP to ask it this one call, or point the agent's base URL "
        "to a server that translates",
    )


def _replayed(
    workspace: Workspace,
    trace: Trace,
    variations: Sequence[Variation],
    request: WhatIfRequest,
    say: Callable[[str], None],
) -> WhatIfOutcome:
    tape = Tape.from_trace(trace)
    entry = require_entry(tape)
    repository = Repository.open(repositories.choose(request.repository, trace))
    configured = configure(
        workspace.settings,
        repository.root,
        allow_unsandboxed=request.unsandboxed,
        live_requests=request.max_requests,
    )
    warnings = list(configured.warnings)
    commit = entry.commit or repository.head_commit()
    if entry.commit is None:
        warnings.append(f"the recording names no commit: replayed at {commit[:12]}")
    agent = _metered(configured.agent, request.budget_usd)
    recorded = Recorded.of(trace)
    tapes = [tape, *(changed_tape(tape, variation) for variation in variations)]
    batch = Batch(
        agent=agent,
        code=Code(commit, entry.dirty_diff),
        tapes=tuple(tapes),
        rules=Rules(is_unchanged=entry.commit is not None),
        name="what if",
        before=_earlier(workspace, trace),
        variations=(None, *((variation, recorded) for variation in variations)),
    )
    many = f"{len(variations)} variations" if len(variations) > 1 else variations[0].label
    say(f"replaying {many} beside the unchanged run (sandbox: {agent.tier})")
    control, *found = replay(batch)
    other = divergence.first(trace, tape, control)
    if other is not None:
        warnings.append(f"unchanged, the replay already differs from the recording: {other}")
    before = _trace_of(control, tape, trace) if other is None else None
    cells = tuple(
        _kept(workspace, before or trace, _cell(one, done, given, trace))
        for one, done, given in zip(variations, found, tapes[1:], strict=True)
    )
    spent = spent_by(agent.upstream)
    return WhatIfOutcome(
        trace, cells, commit, agent.tier, warnings=tuple(warnings), spent=spent, before=before
    )


def _earlier(workspace: Workspace, trace: Trace) -> tuple[Tape, ...]:
    """The earlier turns of the trace's conversation, which are replayed first."""
    target = workspace.settings.values.agent.entrypoint
    found = turns.before(workspace.store, trace)
    return tuple(Tape.from_trace(with_entry(one, target)) for one in found)


def _metered(agent: Agent, budget_usd: float | None) -> Agent:
    asked = agent.upstream
    return replace(agent, upstream=Metered(asked, Purse(budget_usd))) if asked else agent


def _cell(variation: Variation, done: Replayed, tape: Tape, original: Trace) -> Cell:
    result = _told(done.result, variation)
    runs = _trace_of(done, tape, original)
    return Cell(variation, result, runs)


def _told(result: ReplayResult, variation: Variation) -> ReplayResult:
    """The result, with answers that were set told apart from recorded ones."""
    changed = {setting.step for setting in variation.settings if setting.side == "output"}
    steps = tuple(
        replace(step, fidelity=Fidelity.STUBBED, detail="its answer was set")
        if step.recorded_run_id in changed
        and step.fidelity not in (Fidelity.LIVE, Fidelity.UNANSWERED)
        else step
        for step in result.steps
    )
    return replace(result, steps=steps)


def _trace_of(done: Replayed, tape: Tape, original: Trace) -> Trace | None:
    """The runs of a replay as a trace that can be replayed itself; None when none were kept."""
    try:
        runs = [decode_run(run) for run in done.result.replayed or ()]
    except ValueError:
        return None
    if not runs:
        return None
    runs = as_sent(runs, done.varied, tape, done.result.steps)
    root = Trace(runs[0].trace_id, tuple(runs)).root
    if root is None:
        return None
    kept = (root.metadata or {}).get("refinery")
    ours = kept if isinstance(kept, dict) else {}
    ours = {**ours, "entry_point": encode(tape.entry), "folder": tape.folder}
    first = replace(root, metadata={**(root.metadata or {}), "refinery": ours})
    own = [first if run is root else run for run in runs if run.trace_id == root.trace_id]
    if root.end_ns is not None:
        # The clock of a replay tells the recorded time; the trace tells when it was replayed.
        by_ns = clock.now_ns() - root.end_ns
        own = [_later(run, by_ns) for run in own]
    return Trace(root.trace_id, in_tree_order(own), SOURCE, original.project)


def _later(run: Run, by_ns: int) -> Run:
    def moved(time_ns: int | None) -> int | None:
        return None if time_ns is None else time_ns + by_ns

    return replace(
        run,
        start_ns=moved(run.start_ns),
        end_ns=moved(run.end_ns),
        first_token_ns=moved(run.first_token_ns),
    )


def _kept(workspace: Workspace, before: Trace, cell: Cell) -> Cell:
    """Store the runs of a variation, linked to the original, and say what changed first."""
    trace = cell.trace
    if trace is None or trace.root is None:
        return cell
    root = trace.root
    kept = (root.metadata or {}).get("refinery")
    ours = {
        **(kept if isinstance(kept, dict) else {}),
        "variation_of": cell.result.trace_id,
        "variation": cell.variation.to_json(),
    }
    named = replace(root, metadata={**(root.metadata or {}), "refinery": ours})
    stored = replace(trace, runs=tuple(named if run is root else run for run in trace.runs))
    workspace.store.write_runs(stored.runs, source=SOURCE, project=trace.project)
    return replace(cell, trace=stored, diff=diff(before, stored))
