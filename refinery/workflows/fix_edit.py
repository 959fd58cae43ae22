"""Proves a patch a person wrote in the place of the proposed one, which waits for approval."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from refinery.agents.attempt import Attempt
from refinery.agents.state import FixState
from refinery.codebase.repository import Repository
from refinery.errors import InputError, NotFoundError, RefusedError
from refinery.model.codec import decode, encode
from refinery.model.patch import Patch
from refinery.model.verdict import GuardReport, Outcome
from refinery.settings import Settings
from refinery.workflows import fix, trial
from refinery.workflows.fix_outcome import FixOutcome
from refinery.workflows.fix_start import Say
from refinery.workflows.wiring import Workspace

PERSON = "person"
"""Engine of a hypothesis whose patch a person wrote."""
EDITED = "its patch was edited, and the edited one took its place"
ASIDE = "set aside when a person edited another patch"
_KEPT = ("attempts", "chosen", "exchanges", "proof_seal")
"""What of a session's state an edit replaces."""


@dataclass(frozen=True, slots=True)
class Edited:
    """What became of a patch a person wrote."""

    outcome: FixOutcome
    """Waits with the edited patch when that is proven, else with the proposed one."""
    attempt: Attempt
    """The edited patch, what the guard says of it, and its trial."""

    @property
    def is_proven(self) -> bool:
        """Whether the edited patch is the one that waits now."""
        chosen = self.outcome.chosen
        return chosen is not None and chosen.hypothesis == self.attempt.hypothesis


@dataclass(frozen=True, slots=True)
class _Place:
    repository: Repository
    settings: Settings


def edit(
    workspace: Workspace, session_id: str, diff: str, say: Say, repository: Path | None = None
) -> Edited:
    """Prove another patch for a session that waits for approval.

    Args:
        workspace: store and settings.
        session_id: as told when the session began.
        diff: unified diff on the session's commit: the whole patch, not what differs from the
            proposed one.
        say: is told what is going on, a line at a time.
        repository: the one the session is about; None: that of the working directory.

    Raises:
        NotFoundError: no session of that id, or its trace is gone.
        InputError: the diff does not apply, the branch has moved on, or the session does not
            wait.
        RefusedError: the guard blocks the patch, or the session is not this user's. The proposed
            patch still waits.
    """
    from refinery.agents import nodes

    state = fix.saved_state(workspace, session_id)
    opened = Repository.open(repository or Path.cwd())
    fix.require_own_request(state, opened)
    patch = trial.of_diff(opened, diff, "the edited patch")
    if patch.base_commit != state["base_commit"]:
        raise InputError(
            f"the branch has moved on from {state['base_commit'][:12]}",
            hint="start again: refinery fix",
        )
    trace = workspace.store.get_trace(state["trace_id"])
    if trace is None:
        raise NotFoundError(f"trace {state['trace_id']} is gone", hint="import it again")
    with fix.open_graph(workspace, opened, fix.asked_in(state), say) as graph:
        config = {"configurable": {"thread_id": session_id}}
        before = graph.get_state(config)
        if before.next != ("approve",):
            raise InputError(f"session {session_id} does not wait for an approval")
        nodes.require_own_proof(before.values)
        guard = nodes.review(before.values, patch, trace, _Place(opened, workspace.settings))
        graph.update_state(config, _redrafted(before.values, patch, guard), as_node="draft")
        fix.advance(graph, None, config)
        after = graph.get_state(config)
        attempt = decode(Attempt, after.values["attempts"][0])
        if after.next != ("approve",):
            say("the edited patch is not proven; the proposed one still waits")
            _restore(graph, config, before.values)
        return Edited(fix.outcome_of(graph.get_state(config).values), attempt)


def _redrafted(state: FixState, patch: Patch, guard: GuardReport) -> FixState:
    """The session's state with the edited patch as the only one to prove."""
    if guard.outcome is Outcome.BLOCK:
        reasons = "; ".join(remark.message for remark in guard.remarks)
        raise RefusedError(
            f"the guard blocks the edited patch: {reasons}", hint="the proposed one still waits"
        )
    earlier = [decode(Attempt, value) for value in state["attempts"]]
    waiting = next(a for a in earlier if a.hypothesis.hypothesis_id == state["chosen"])
    number = sum(a.hypothesis.engine == PERSON for a in earlier) + 1
    hypothesis = replace(
        waiting.hypothesis, hypothesis_id=f"E{number}", edits=(), citations=(), engine=PERSON
    )
    others = [
        replace(a, patch=None, trial=None, problem=EDITED if a is waiting else ASIDE)
        for a in earlier
    ]
    attempts = [Attempt(hypothesis, patch, guard), *others]
    return {"attempts": [encode(a) for a in attempts], "chosen": None, "exchanges": []}


def _restore(graph: Any, config: dict[str, Any], values: FixState) -> None:
    """Let the session wait again with what it waited with before."""
    kept = {name: values.get(name) for name in _KEPT}
    graph.update_state(config, kept, as_node="prove")
    fix.advance(graph, None, config)
