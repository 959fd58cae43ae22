"""Plays labelled conversations again with the code as it is now and holds them to their checks.

What was recorded is answered from the recording, what a proof asked beside that from the receipt
of the change, and anything else by the agent's own model, when one is configured. The code is that
of the work tree: HEAD with uncommitted changes of tracked files.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum

from refinery.codebase.repository import Repository
from refinery.detectors import observe
from refinery.errors import NotFoundError, RefineryError
from refinery.model.codec import encode
from refinery.model.trace import Json, Label, Trace
from refinery.model.verdict import Change, CheckResult
from refinery.replay import checks, scoring
from refinery.replay.cases import Case, Planned, TrialRequest
from refinery.replay.checks import Judge
from refinery.replay.configure import LIVE_REQUESTS, configure
from refinery.replay.live_answers import Answer, Asked, Exchange, key_of
from refinery.replay.program import Code
from refinery.replay.runner import Batch, replay
from refinery.replay.session import Rules
from refinery.replay.tape import Tape, entry_point, with_entry
from refinery.settings import Settings
from refinery.workflows import changes
from refinery.workflows import checks as expectations
from refinery.workflows import receipt as receipts
from refinery.workflows.guide import conversation
from refinery.workflows.wiring import Workspace

MAX_CASES = 1_000
"""Most conversations of one suite."""


class State(StrEnum):
    """How a conversation came out."""

    HELD = "held"
    FAILED = "failed"
    UNANSWERED = "unanswered"
    """The agent asked something that nobody could answer, so nothing is known."""


@dataclass(frozen=True, slots=True)
class SuiteCase:
    """One conversation, what is right for it, and what is needed to play it again."""

    name: str
    """Unique in a suite; letters, digits and underscores."""
    trace: Trace
    checks: tuple[str, ...]
    expectation: str | None = None
    outcome: str = "fail"
    """Label of the recording: `fail` or `pass`."""
    change_id: str | None = None
    """The change in force that was made for it."""
    touched: tuple[str, ...] = ()
    """Paths that change changed: what depends on them runs, and is not served as recorded."""
    exchanges: tuple[Exchange, ...] = ()
    """What live models answered when that change was proven."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of one conversation."""

    case: SuiteCase
    state: State
    results: tuple[CheckResult, ...]
    output: Json
    error: str | None
    duration_ms: float

    @property
    def held(self) -> bool:
        """Whether every check holds."""
        return self.state is State.HELD

    @property
    def told(self) -> str:
        """Why not, on one line; empty when it held."""
        if self.held:
            return ""
        missed = [r for r in self.results if not r.held]
        why = "; ".join(f"{r.check}: {r.detail}" if r.detail else r.check for r in missed)
        return f"{self.state.value}: {why or self.error or 'it did not end'}"[:2000]


@dataclass(frozen=True, slots=True)
class How:
    """How a suite is played."""

    is_offline: bool = False
    """Whether the agent's own model is never asked."""
    unsandboxed: bool = False
    judge: Judge | None = None
    say: Callable[[str], None] = lambda _: None


class Remembering:
    """Answers what a proof asked as it was answered then, and asks a live model for the rest."""

    def __init__(self, exchanges: Sequence[Exchange], live: Asked | None) -> None:
        """Keep the answers by request; of several to one request the last counts."""
        self._known = {(item.path, item.key): item.answer for item in exchanges}
        self._live = live

    def ask(
        self, path: str, body: bytes, headers: Mapping[str, str], lane: str = ""
    ) -> Answer | str:
        """The answer, or why there is none."""
        known = self._known.get((path, key_of(body)))
        if known is not None:
            return known
        if self._live is None:
            return "this was neither recorded nor asked in a proof, and no live model may be asked"
        return self._live.ask(path, body, headers, lane)


def collect(workspace: Workspace, *, only_fixed: bool = False) -> list[SuiteCase]:
    """The labelled conversations that have checks, oldest label last.

    Args:
        workspace: store, settings and receipts.
        only_fixed: leave out failing ones that no change in force was made for.

    Raises:
        RefusedError: the ledger was altered.
    """
    proofs = list(_proofs(workspace))
    found: dict[str, SuiteCase] = {}
    for trace, label in _labelled(workspace):
        proof = next((one for one in proofs if trace.trace_id in one.mended), None)
        if only_fixed and label.outcome == "fail" and proof is None:
            continue
        name = _name(trace, found)
        found[name] = SuiteCase(
            name=name,
            trace=with_entry(trace, workspace.settings.values.agent.entrypoint),
            checks=label.checks,
            expectation=label.expectation,
            outcome=label.outcome,
            change_id=proof.change.change_id if proof else None,
            touched=proof.change.paths if proof else (),
            exchanges=proof.exchanges if proof else (),
        )
    return list(found.values())[:MAX_CASES]


def run(
    settings: Settings, repository: Repository, cases: Sequence[SuiteCase], how: How
) -> list[Checked]:
    """Play conversations again with the code of the work tree.

    Args:
        settings: how the agent is run.
        repository: its code.
        cases: what to play.
        how: offline or not, in which sandbox.

    Raises:
        NotFoundError: there is nothing to play.
        InputError: the agent cannot be run here.
        RefusedError: no sandbox holds here.
    """
    if not cases:
        raise NotFoundError(
            "no conversation has checks", hint="refinery guide, or refinery checks add"
        )
    found = []
    for number, case in enumerate(cases, 1):
        found.append(play(settings, repository, case, how))
        how.say(f"{number} of {len(cases)}: {found[-1].state.value} ({case.name})")
    return found


def play(settings: Settings, repository: Repository, case: SuiteCase, how: How) -> Checked:
    """Play one conversation again; as `run`."""
    configured = configure(
        settings,
        repository.root,
        allow_unsandboxed=how.unsandboxed,
        live_requests=0 if how.is_offline else LIVE_REQUESTS,
    )
    live = configured.agent.upstream
    agent = replace(configured.agent, upstream=Remembering(case.exchanges, live))
    commit, dirty = repository.head_commit(), repository.dirty_diff()
    entry = entry_point(case.trace.root) if case.trace.root else None
    if entry is None or entry.kind != "callable":
        why = "the recording does not say how the agent was started"
        return Checked(case, State.UNANSWERED, (), None, why, 0.0)
    is_unchanged = (entry.commit, entry.dirty_diff) == (commit, dirty)
    touched = tuple(dict.fromkeys((*case.touched, *_differing(repository, entry.commit))))
    tape = Tape.from_trace(case.trace)
    held = Case(case.trace, tuple(checks.parse(text) for text in case.checks))
    batch = Batch(
        agent,
        Code(commit, dirty),
        (tape,),
        touched=touched,
        rules=Rules(is_unchanged=is_unchanged),
    )
    request = TrialRequest(
        "", None, (held,), (), agent, commit, observe=observe, judge=how.judge, touched=touched
    )
    planned = Planned(held, tape, False, dirty, is_unchanged)
    ((_, result),) = scoring.score(request, [(planned, replay(batch)[0])])
    state = State.HELD if result.passed else State.FAILED
    if result.unanswered:
        state = State.UNANSWERED
    return Checked(case, state, result.checks, result.output, result.error, result.duration_ms)


def _labelled(workspace: Workspace) -> Iterator[tuple[Trace, Label]]:
    for trace_id, label in expectations.kept(workspace):
        trace = workspace.store.get_trace(trace_id)
        if trace is not None and label.checks:
            yield trace, label


@dataclass(frozen=True, slots=True)
class _Proof:
    change: Change
    mended: frozenset[str]
    """Ids of the failing conversations it was proven on."""
    exchanges: tuple[Exchange, ...]


def _proofs(workspace: Workspace) -> Iterator[_Proof]:
    """Changes in force, newest first, with what their receipts keep."""
    for change in changes.history(workspace.home):
        if change.state != changes.APPLIED:
            continue
        mended: set[str] = {change.trace_id}
        exchanges: tuple[Exchange, ...] = ()
        with suppress(RefineryError):
            content = receipts.load(receipts.path_of(workspace.home, change.change_id))
            held = receipts.unpack(content, "the receipt")
            mended |= {case.trace.trace_id for case in held.failing}
            exchanges = held.exchanges
        yield _Proof(change, frozenset(mended), exchanges)


def _differing(repository: Repository, commit: str | None) -> list[str]:
    """Paths that are not as they were when the conversation was recorded."""
    dirty = repository.dirty_paths()
    if commit is None:
        return dirty
    try:
        known = repository.resolve(commit)
    except RefineryError:
        return dirty
    before, now = repository.tree(known), repository.tree("HEAD")
    changed = [path for path in {**before, **now} if before.get(path) != now.get(path)]
    return sorted({*changed, *dirty})


def _name(trace: Trace, taken: Mapping[str, SuiteCase]) -> str:
    """A name for a test: the first words the customer said."""
    words = re.findall(r"[a-z0-9]+", conversation.question(trace).casefold())[:8]
    base = "_".join(words)[:60] or "conversation"
    name, number = base, 2
    while name in taken:
        name, number = f"{base}_{number}", number + 1
    return name


def to_document(found: Sequence[Checked]) -> dict[str, Json]:
    """The outcome as the JSON of `refinery checks run --json`."""
    return {
        "held": sum(one.held for one in found),
        "failed": sum(one.state is State.FAILED for one in found),
        "unanswered": sum(one.state is State.UNANSWERED for one in found),
        "conversations": [
            {
                "name": one.case.name,
                "trace_id": one.case.trace.trace_id,
                "label": one.case.outcome,
                "expectation": one.case.expectation,
                "change": one.case.change_id,
                "state": one.state.value,
                "checks": [encode(result) for result in one.results],
                "output": one.output,
                "error": one.error,
                "duration_ms": one.duration_ms,
            }
            for one in found
        ],
    }
