"""From a failing trace to an approved commit: runs the pipeline and stops for the approval."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

from refinery.agents.attempt import Attempt
from refinery.agents.state import FixState, request_of
from refinery.codebase.repository import Repository
from refinery.errors import InputError, NotFoundError, RefusedError
from refinery.llm.purse import Purse
from refinery.model.codec import decode, encode
from refinery.model.failure import Diagnosis
from refinery.model.patch import Hypothesis
from refinery.model.trace import Trace
from refinery.model.verdict import Change
from refinery.replay.tape import with_entry
from refinery.safety.seal import is_sealed
from refinery.workflows import changes, repositories
from refinery.workflows import checks as expectations
from refinery.workflows import receipt as receipts
from refinery.workflows.fix_outcome import FixOutcome
from refinery.workflows.fix_start import FixRequest as FixRequest
from refinery.workflows.fix_start import Say as Say
from refinery.workflows.fix_start import initial_state
from refinery.workflows.wiring import Workspace, connect_model, open_library, state_folder


@dataclass(frozen=True, slots=True)
class Decision:
    """What the approver said of exactly the proposed patch."""

    answer: str
    """`yes`, `no`, or `later`: the session stays open and can be resumed."""
    approver: str
    covers_held: bool = False
    """Whether the items the guard holds were shown and accepted."""


Ask = Callable[[FixOutcome], Decision]


def fix(
    workspace: Workspace,
    request: FixRequest,
    ask: Ask,
    say: Say,
    began: Callable[[str], None] = lambda session_id: None,
) -> FixOutcome:
    """Diagnose, propose, prove, ask, commit.

    Args:
        workspace: store and settings.
        request: what to fix.
        ask: decides on a proven patch; called at most once, before anything is written.
        say: is told what is going on, a line at a time.
        began: is told the id of the session before the work begins.

    Raises:
        InputError: the repository, the entry point or a check is not usable.
        NotFoundError: nothing was found wrong with the trace.
        RefusedError: no sandbox, or the approval does not cover the patch.
    """
    repository = Repository.open(repositories.choose(request.repository, request.trace))
    state = initial_state(workspace, request, repository, say)
    began(state["session_id"])
    say(f"session {state['session_id']}; resume with: refinery fix --resume {state['session_id']}")
    asked = asked_in(state, run_hooks=request.run_hooks)
    with open_graph(workspace, repository, asked, say) as graph:
        config = {"configurable": {"thread_id": state["session_id"]}}
        advance(graph, state, config)
        outcome = conclude(graph, config, ask)
    _learn(workspace, outcome)
    return outcome


def resume(
    workspace: Workspace,
    session_id: str,
    ask: Ask,
    say: Say,
    *,
    repository: Path | None = None,
    run_hooks: bool = False,
) -> FixOutcome:
    """Go on with a session another process left, from the last finished stage.

    Args:
        workspace: store and settings.
        session_id: as told when the session began.
        ask: as for `fix`.
        say: as for `fix`.
        repository: the one the session is about; None: that of the working directory.
        run_hooks: run the repository's own commit hooks, on a copy.

    Raises:
        NotFoundError: no session of that id.
        InputError: the session is about another repository, or the branch has moved on.
        RefusedError: the session was not begun by this user, or was altered.
    """
    state = saved_state(workspace, session_id)
    opened = Repository.open(repository or Path.cwd())
    require_own_request(state, opened)
    with open_graph(workspace, opened, asked_in(state, run_hooks=run_hooks), say) as graph:
        config = {"configurable": {"thread_id": session_id}}
        waiting = graph.get_state(config).next
        if waiting and waiting != ("approve",):
            say(f"going on with: {waiting[0]}")
            advance(graph, None, config)
        outcome = conclude(graph, config, ask)
    if waiting:
        _learn(workspace, outcome)
    return outcome


def abandon(
    workspace: Workspace, session_id: str, who: str, say: Say, repository: Path | None = None
) -> FixOutcome:
    """End a session where it stands: nothing is committed, and it keeps no traces any more.

    Args:
        workspace: store and settings.
        session_id: as told when the session began.
        who: ends it.
        say: is told what became of it.
        repository: the one the session is about; None: that of the working directory.

    Raises:
        NotFoundError: no session of that id.
        InputError: the session is about another repository, or has ended.
        RefusedError: the session was not begun by this user, or was altered.
    """
    from refinery.agents import pipeline

    for state, saver in _saved(workspace.home, session_id):
        require_own_request(state, Repository.open(repository or Path.cwd()))
        if not pipeline.following(saver, session_id):
            raise InputError(f"session {session_id} has ended", hint="there is nothing to abandon")
        decision = {"answer": "no", "approver": who, "covers_held": False}
        ended = cast("FixState", {**state, "decision": decision})
        pipeline.end(saver, session_id, ended)
        say(f"session {session_id} is abandoned; nothing was committed")
    values = saved_state(workspace, session_id)
    if values.get("diagnosis") is None:
        nothing = Diagnosis(values["trace_id"], "detectors", ())
        values = cast("FixState", {**values, "diagnosis": encode(nothing)})
    return outcome_of(values)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a session was asked to use."""

    model: str | None
    """`provider:model`; None: the setting."""
    purse: Purse
    """What all models together may still cost."""
    run_hooks: bool = False
    """Whether the repository's own commit hooks run, on a copy."""


def asked_in(state: Mapping[str, Any], *, run_hooks: bool = False) -> Asked:
    """What a saved session was asked to use."""
    purse = Purse(state.get("budget_usd"), state.get("spending"))
    return Asked(state.get("model"), purse, run_hooks)


@contextmanager
def open_graph(
    workspace: Workspace, repository: Repository, asked: Asked, say: Say
) -> Iterator[Any]:
    """The pipeline over real parts, for a model and with or without the commit hooks."""
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
    from langgraph.checkpoint.sqlite import SqliteSaver

    from refinery.agents import nodes, pipeline

    folder = state_folder(repository.root)
    load_trace = _loader(workspace)
    connected = connect_model(workspace, asked.model, purse=asked.purse)
    parts = nodes.Parts(
        load_trace=load_trace,
        repository=repository,
        home=folder,
        settings=workspace.settings,
        open_library=partial(open_library, workspace),
        model=connected,
        judge=expectations.judge_of(connected),
        commit=lambda patch, hypothesis, state: changes.commit_change(
            repository,
            patch,
            trace_id=state["trace_id"],
            title=hypothesis.title,
            body=hypothesis.rationale,
            home=folder,
            branch=state.get("branch"),
            run_hooks=asked.run_hooks,
            receipt=lambda change, text: receipts.pack(
                receipts.make(
                    receipts.Occasion(change.change_id, change.title, change.created_ns, text),
                    patch,
                    state,
                    load_trace,
                )
            ),
        ),
        say=say,
        purse=asked.purse,
    )
    with closing(_sessions(workspace.home)) as connection:
        # State is plain JSON, so nothing but JSON is ever revived from a checkpoint.
        serializer = JsonPlusSerializer(allowed_msgpack_modules=None)
        yield pipeline.build(parts, SqliteSaver(connection, serde=serializer))


def _sessions(home: Path) -> sqlite3.Connection:
    return sqlite3.connect(home / "sessions.db", check_same_thread=False)


def _loader(workspace: Workspace) -> Callable[[str], Trace]:
    kept: dict[str, Trace] = {}

    def load(trace_id: str) -> Trace:
        if trace_id not in kept:
            trace = workspace.store.get_trace(trace_id)
            if trace is None:
                raise NotFoundError(
                    f"trace {trace_id} is no longer in the store", hint="import it again"
                )
            kept[trace_id] = with_entry(trace, workspace.settings.values.agent.entrypoint)
        return kept[trace_id]

    return load


def saved_state(workspace: Workspace, session_id: str) -> FixState:
    """The state of a session as it was kept last.

    Raises:
        NotFoundError: no session of that id.
    """
    for state in saved_states(workspace.home, session_id):
        return state
    raise NotFoundError(
        f"no session {session_id!r}", hint="the id is printed when `refinery fix` starts"
    )


def saved_states(home: Path, session_id: str | None = None) -> Iterator[FixState]:
    """The states of the sessions kept in a folder, or of one, as they were kept last."""
    for state, _ in _saved(home, session_id):
        yield state


def advance(graph: Any, values: Any, config: Any, **more: Any) -> None:
    """Run a graph on; every checkpoint is on the disk before the next node begins.

    Args:
        graph: the graph.
        values: what it begins with, or the answer it waits for; None: what is kept.
        config: the session's.
        more: further arguments of its `invoke`.
    """
    graph.invoke(values, config, durability="sync", **more)


def open_states(home: Path) -> Iterator[tuple[FixState, str]]:
    """The sessions that can be resumed, each with the node it would go on with."""
    from refinery.agents.pipeline import following

    for state, saver in _saved(home):
        for name in following(saver, state["session_id"])[:1]:
            yield state, name


def _saved(home: Path, session_id: str | None = None) -> Iterator[tuple[FixState, Any]]:
    """States as they were kept last, with what keeps them."""
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
    from langgraph.checkpoint.sqlite import SqliteSaver

    with closing(_sessions(home)) as connection:
        saver = SqliteSaver(connection, serde=JsonPlusSerializer(allowed_msgpack_modules=None))
        saver.setup()
        listed = connection.execute("SELECT DISTINCT thread_id FROM checkpoints").fetchall()
        for (known,) in listed if session_id is None else [(session_id,)]:
            saved = saver.get({"configurable": {"thread_id": known}})
            values = saved["channel_values"] if saved else {}
            # A session killed before its first node is kept as what it was begun with.
            begun = values.get("__start__")
            state = begun if isinstance(begun, dict) and "repository" not in values else values
            if "repository" in state and state.get("session_id") == known:
                yield cast("FixState", state), saver


def require_own_request(state: FixState, opened: Repository) -> None:
    """Check that this user began the session, and about this repository.

    Raises:
        RefusedError: it was begun by somebody else, or was altered.
        InputError: it is about another repository.
    """
    if not is_sealed(request_of(state), state.get("request_seal")):
        raise RefusedError(
            f"session {state['session_id']} was not begun by your Refinery, or was altered",
            hint="start again: refinery fix",
        )
    if Path(state["repository"]) != opened.root:
        raise InputError(
            f"session {state['session_id']} is about {state['repository']}",
            hint=f"add --repo {state['repository']}",
        )


def _learn(workspace: Workspace, outcome: FixOutcome) -> None:
    """Keep what the session taught, once it has ended."""
    from refinery.workflows import learning

    trace = workspace.store.get_trace(outcome.trace_id)
    failed_ns = trace.root.end_ns if trace and trace.root else None
    learning.learn(workspace, outcome, learning.Session(outcome.started_ns, failed_ns))


def conclude(graph: Any, config: dict[str, Any], ask: Ask) -> FixOutcome:
    """Ask for the approval when the graph waits for it, and go on with the answer.

    Raises:
        RefusedError: the proof is not this user's, or the approval does not cover the patch.
    """
    from langgraph.types import Command

    from refinery.agents import nodes

    snapshot = graph.get_state(config)
    if snapshot.next == ("approve",):
        nodes.require_own_proof(snapshot.values)
        outcome = outcome_of(snapshot.values)
        decision = ask(outcome)
        if decision.answer == "later":
            return outcome
        _refuse_if_uncovered(outcome, decision)
        advance(
            graph,
            Command(
                resume={
                    "answer": decision.answer,
                    "approver": decision.approver,
                    "covers_held": decision.covers_held,
                }
            ),
            config,
        )
        snapshot = graph.get_state(config)
    return outcome_of(snapshot.values)


def _refuse_if_uncovered(outcome: FixOutcome, decision: Decision) -> None:
    if decision.answer == "yes" and not decision.covers_held and (reason := outcome.uncovered):
        raise RefusedError(
            reason, hint=f"run `refinery fix --resume {outcome.session_id}` in a terminal"
        )


def outcome_of(values: FixState) -> FixOutcome:
    """How far a session has come.

    Raises:
        InputError: it ended before the diagnosis.
    """
    attempts = tuple(decode(Attempt, value) for value in values.get("attempts") or [])
    chosen_id = values.get("chosen")
    change = values.get("change")
    diagnosis = values.get("diagnosis")
    if diagnosis is None:
        raise InputError("the session ended before the diagnosis", hint="run `refinery fix` again")
    return FixOutcome(
        session_id=values["session_id"],
        trace_id=values["trace_id"],
        repository=Path(values["repository"]),
        diagnosis=decode(Diagnosis, diagnosis),
        attempts=attempts,
        hypotheses=tuple(decode(Hypothesis, v) for v in values.get("hypotheses") or []),
        chosen=next((a for a in attempts if a.hypothesis.hypothesis_id == chosen_id), None),
        change=decode(Change, change) if change else None,
        decision=values.get("decision"),
        expected=values.get("expected"),
        started_ns=values.get("started_ns", 0),
        spending=values.get("spending"),
    )
