"""A fix in stages, for sessions in which a person chooses what is tried.

`workflows.fix` goes through to the approval in one call. Here it stops before anything is tried,
tries one hypothesis at a time, and commits what a person said yes to.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from refinery.agents.attempt import Attempt
from refinery.codebase.repository import Repository
from refinery.errors import InputError, NotFoundError, RefineryError
from refinery.model.codec import decode, encode
from refinery.workflows import fix, learning, repositories
from refinery.workflows.fix import Decision, FixRequest, Say, outcome_of
from refinery.workflows.fix_outcome import FixOutcome
from refinery.workflows.fix_start import initial_state
from refinery.workflows.wiring import Workspace

NOT_CHOSEN = "not tried: another change was chosen"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a session lives."""

    workspace: Workspace
    repository: Path | None
    """The agent's repository; None: this folder's."""


def propose(place: Place, request: FixRequest, say: Say) -> FixOutcome:
    """Diagnose, propose and draft; nothing is tried and nothing is written.

    Args:
        place: where the agent and the session are.
        request: what to fix.
        say: is told what is going on.

    Returns:
        The outcome so far: a diagnosis, and an attempt for each hypothesis, none tried.

    Raises:
        InputError: the repository, the entry point or a check is not usable.
    """
    workspace = place.workspace
    repository = Repository.open(repositories.choose(request.repository, request.trace))
    state = initial_state(workspace, request, repository, say)
    with fix.open_graph(workspace, repository, fix.asked_in(state), say) as graph:
        config = {"configurable": {"thread_id": state["session_id"]}}
        fix.advance(graph, state, config, interrupt_before=["prove"])
        return outcome_of(graph.get_state(config).values)


def look(place: Place, session_id: str) -> FixOutcome:
    """How far a session has come; nothing is done.

    Raises:
        NotFoundError: no session of that id.
    """
    return outcome_of(fix.saved_state(place.workspace, session_id))


def prove(place: Place, session_id: str, hypothesis_id: str, say: Say) -> FixOutcome:
    """Try one hypothesis of a session; what was tried before stays told, and is not chosen again.

    Args:
        place: where the agent and the session are.
        session_id: as `propose` answered.
        hypothesis_id: which of its hypotheses.
        say: is told what is going on.

    Raises:
        NotFoundError: no such session, or no such hypothesis in it.
        InputError: the hypothesis has no change that may be tried, or the session is about
            another repository.
        RefusedError: no sandbox holds here, or the session is not this user's.
    """
    workspace = place.workspace
    state = fix.saved_state(workspace, session_id)
    repository = _opened(place)
    fix.require_own_request(state, repository)
    with fix.open_graph(workspace, repository, fix.asked_in(state), say) as graph:
        config = {"configurable": {"thread_id": session_id}}
        # The drafts are made again: those of an earlier choice were put aside.
        hypotheses = state.get("hypotheses") or []
        again = {"hypotheses": hypotheses, "attempts": [], "chosen": None}
        graph.update_state(config, again, as_node="hypothesise")
        fix.advance(graph, None, config, interrupt_before=["prove"])
        drafts = [decode(Attempt, a) for a in graph.get_state(config).values["attempts"]]
        attempts = _only(drafts, hypothesis_id, _told_before(state.get("attempts") or []))
        values = {"attempts": [encode(attempt) for attempt in attempts]}
        graph.update_state(config, values, as_node="draft")
        fix.advance(graph, None, config)
        return outcome_of(graph.get_state(config).values)


def decide(place: Place, session_id: str, decision: Decision, say: Say) -> FixOutcome:
    """Commit what was proven, or end the session; kept as decided by a domain expert.

    Raises:
        NotFoundError: no such session.
        RefusedError: the proof is not this user's, or the approval does not cover the patch.
        InputError: the branch has moved on, git knows no identity, or the repository is busy. The
            session waits for the approval again.
    """
    workspace = place.workspace
    state = fix.saved_state(workspace, session_id)
    repository = _opened(place)
    fix.require_own_request(state, repository)
    with fix.open_graph(workspace, repository, fix.asked_in(state), say) as graph:
        config = {"configurable": {"thread_id": session_id}}
        if graph.get_state(config).next == ("commit",):  # a process died on the way
            _ask_again(graph, config)
        try:
            outcome = fix.conclude(graph, config, lambda _: decision)
        except (RefineryError, OSError):
            if graph.get_state(config).next == ("commit",):
                _ask_again(graph, config)
            raise
    trace = workspace.store.get_trace(outcome.trace_id)
    failed_ns = trace.root.end_ns if trace and trace.root else None
    known = {record.session_id for record in learning.records(workspace.home)}
    if not outcome.is_waiting and session_id not in known:
        session = learning.Session(outcome.started_ns, failed_ns, by_expert=True)
        learning.learn(workspace, outcome, session)
    return outcome


def _ask_again(graph: Any, config: dict[str, Any]) -> None:
    """Put a session whose commit did not come about back to where it waits for the approval."""
    graph.update_state(config, {"decision": None}, as_node="prove")
    fix.advance(graph, None, config)


def _opened(place: Place) -> Repository:
    folder = repositories.find(place.repository)
    if folder is None:
        raise InputError("this folder is not in a repository", hint="add --repo DIR")
    return Repository.open(folder)


def _told_before(attempts: list[dict[str, object]]) -> dict[str, str]:
    """What earlier trials of the session showed, by hypothesis."""
    found = {}
    for value in attempts:
        attempt = decode(Attempt, value)
        name = attempt.hypothesis.hypothesis_id
        if attempt.trial is not None:
            found[name] = f"tried, {attempt.trial.verdict.value}: {attempt.trial.reason}"
        elif attempt.problem and attempt.problem.startswith("tried, "):
            found[name] = attempt.problem
    return found


def _only(drafts: list[Attempt], hypothesis_id: str, told: dict[str, str]) -> list[Attempt]:
    """The drafts with all but one put aside."""
    known = {draft.hypothesis.hypothesis_id: draft for draft in drafts}
    if hypothesis_id not in known:
        raise NotFoundError(f"the session has no hypothesis {hypothesis_id!r}")
    if not known[hypothesis_id].is_provable:
        problem = known[hypothesis_id].problem or "it has no change"
        raise InputError(f"{hypothesis_id} cannot be tried: {problem}")
    return [
        draft if name == hypothesis_id else _aside(draft, told.get(name))
        for name, draft in known.items()
    ]


def _aside(draft: Attempt, told: str | None) -> Attempt:
    return replace(draft, patch=None, trial=None, problem=told or draft.problem or NOT_CHOSEN)
