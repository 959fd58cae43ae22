"""The nodes of the fix pipeline: each reads the state, does one stage, returns what changed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, cast

from langgraph.types import interrupt

from refinery.agents import playbook, proof
from refinery.agents.analyst import AnalystTask
from refinery.agents.analyst import analyse as ask_analyst
from refinery.agents.attempt import Attempt, best
from refinery.agents.fingerprint import fingerprint
from refinery.agents.forecast import forecast_text
from refinery.agents.generator import GeneratorTask, generate
from refinery.agents.missed import with_missed
from refinery.agents.state import FixState, proof_of
from refinery.codebase import editor
from refinery.codebase.fills import fills
from refinery.codebase.locate import attach
from refinery.codebase.repository import Repository
from refinery.detectors import diagnose, observe
from refinery.errors import EditError, RefusedError
from refinery.knowledge.library import Library
from refinery.llm.purse import Purse
from refinery.llm.router import Model
from refinery.model.codec import decode, encode
from refinery.model.failure import Diagnosis, Finding, Forecast, Likelihood
from refinery.model.patch import Hypothesis, Patch
from refinery.model.trace import Trace
from refinery.model.verdict import WORK_TREE, Change, GuardReport, Outcome
from refinery.model.walk import texts
from refinery.ports import GuardInput
from refinery.replay.checks import Judge
from refinery.safety import approval, policy
from refinery.safety.seal import is_sealed, seal
from refinery.settings import Settings

PASSAGES = 4
"""Guide passages handed to the generator, and cited by the playbook at most."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the nodes work with; made by the workflow, never checkpointed."""

    load_trace: Callable[[str], Trace]
    repository: Repository
    home: Path
    settings: Settings
    open_library: Callable[[], Library]
    """Opens the guides; one process owns their index, so it is closed after use."""
    model: Model | None
    commit: Callable[[Patch, Hypothesis, FixState], Change]
    """Commits an approved patch and writes it into the ledger."""
    judge: Judge | None
    """Who evaluates checks of kind `judge`; None without a model."""
    say: Callable[[str], None]
    """Tells the person what is going on, one line at a time."""
    purse: Purse = field(default_factory=Purse)
    """What the session may spend, all models together."""


def detect(parts: Parts, state: FixState) -> FixState:
    """Run the deterministic detectors."""
    trace = parts.load_trace(state["trace_id"])
    found = with_missed(diagnose(trace), trace, state["checks"])
    parts.say(f"detectors: {_count(found.findings, 'finding')}")
    return {"diagnosis": encode(found)}


def analyse(parts: Parts, state: FixState) -> FixState:
    """Let the failure analyst read the trace; quotes it invents are thrown away."""
    if parts.model is None:
        return {}
    trace = parts.load_trace(state["trace_id"])
    task = AnalystTask(
        trace=trace,
        signals=tuple(observe(trace)),
        model=parts.model,
        root=parts.repository.root,
        expectation=state.get("expectation"),
        cache=parts.home / "cache",
        alike=_alike(parts, state, trace),
        foretell=lambda expected: _foretell(parts, expected),
    )
    found = ask_analyst(task)
    if found.reused_from:
        parts.say(f"analysis of trace {found.reused_from} reused: same failure")
    rejected = f", {_count(found.rejected, 'finding')} rejected" if found.rejected else ""
    parts.say(f"analyst: {_count(found.findings, 'finding')}{rejected}")
    return {"diagnosis": encode(found), "spending": parts.purse.document()}


def _foretell(parts: Parts, expected: Forecast) -> None:
    parts.say(f"analyst: {forecast_text(expected)}")
    parts.purse.foresee("analyse", expected.usd_most or 0.0)


def _alike(parts: Parts, state: FixState, trace: Trace) -> tuple[str, ...]:
    """What the trace shares with those that failed alike; empty when nothing is likely."""
    best = decode(Diagnosis, state["diagnosis"]).findings[:1]
    if not best or best[0].likelihood is Likelihood.POSSIBLE:
        return ()
    return fingerprint(trace, attach(best, trace, parts.repository.root)[0])


def locate(parts: Parts, state: FixState) -> FixState:
    """Tie the findings to lines of the repository."""
    trace = parts.load_trace(state["trace_id"])
    found = decode(Diagnosis, state["diagnosis"])
    placed = attach(found.findings, trace, parts.repository.root)
    return {"diagnosis": encode(replace(found, findings=placed))}


def hypothesise(parts: Parts, state: FixState) -> FixState:
    """Propose changes: by the generator when a model is set, else by the playbook."""
    trace = parts.load_trace(state["trace_id"])
    found = decode(Diagnosis, state["diagnosis"])
    with parts.open_library() as library:
        proposed = _proposed(parts, state, (trace, found), library)
    parts.say(f"{_count(proposed, 'hypothesis', 'hypotheses')} to try")
    return {
        "hypotheses": [encode(hypothesis) for hypothesis in proposed],
        "spending": parts.purse.document(),
    }


def _proposed(
    parts: Parts, state: FixState, case: tuple[Trace, Diagnosis], library: Library
) -> list[Hypothesis]:
    trace, found = case

    def cite(topic: str) -> tuple[str, ...]:
        return tuple(passage.citation for passage in library.search(topic, 2))

    if parts.model is None:
        return playbook.propose(found.findings, trace, parts.repository.root, cite)
    return generate(
        GeneratorTask(
            trace=trace,
            diagnosis=found,
            model=parts.model,
            repository=parts.repository,
            passages=tuple(library.search(_topic(found.findings), PASSAGES)),
            expectation=state.get("expectation"),
        )
    )


def draft(parts: Parts, state: FixState) -> FixState:
    """Turn each hypothesis into exact bytes and let the guard judge them."""
    attempts = []
    for value in state["hypotheses"]:
        hypothesis = decode(Hypothesis, value)
        try:
            patch = editor.plan(parts.repository, hypothesis.edits, state["base_commit"])
        except EditError as error:
            attempts.append(Attempt(hypothesis, problem=f"the edit does not fit: {error}"))
            continue
        guard = _review(parts, state, patch)
        blocked = guard.outcome is Outcome.BLOCK
        problem = "blocked by the guard" if blocked else None
        attempts.append(Attempt(hypothesis, patch, guard, problem=problem))
    return {"attempts": [encode(attempt) for attempt in attempts]}


def _review(parts: Parts, state: FixState, patch: Patch) -> GuardReport:
    """What the guard says of a patch under the present settings."""
    return review(state, patch, parts.load_trace(state["trace_id"]), parts)


class Reviewing(Protocol):
    """Where a patch goes, and the settings the guard obeys; `Parts` is one."""

    @property
    def repository(self) -> Repository:
        """Where the patch goes."""
        ...

    @property
    def settings(self) -> Settings:
        """With the limits of the guard."""
        ...


def review(state: FixState, patch: Patch, trace: Trace, place: Reviewing) -> GuardReport:
    """What the guard says of a patch, in the light of a session's diagnosis and trace."""
    found = decode(Diagnosis, state["diagnosis"])
    return policy.review(
        patch,
        GuardInput(
            changes=patch.changes,
            repository=place.repository.root,
            located=_located(found.findings),
            columns=_columns(found.findings),
            trace_texts=tuple(text for run in trace.runs for _, text in texts(run)),
            limits=place.settings.values.guard.model_dump(),
            fills=fills(place.repository, patch),
        ),
    )


def prove(parts: Parts, state: FixState) -> FixState:
    """Replay the failing and the passing traces with and without each patch."""
    attempts = [decode(Attempt, value) for value in state["attempts"]]
    found = decode(Diagnosis, state["diagnosis"])
    task = proof.Proof(
        repository=parts.repository,
        settings=parts.settings,
        load_trace=parts.load_trace,
        say=parts.say,
        state=state,
        purse=parts.purse,
        categories=tuple(dict.fromkeys(f.category for f in found.findings)),
        review=lambda patch: _review(parts, state, patch),
        judge=parts.judge,
    )
    tried = proof.run(task, attempts)
    chosen = best(tried.attempts)
    name = chosen.hypothesis.hypothesis_id if chosen else None
    proven: FixState = {
        "attempts": [encode(attempt) for attempt in tried.attempts],
        "chosen": name,
        "exchanges": [encode(item) for item in tried.exchanges_of(chosen)] if chosen else [],
        "spending": parts.purse.document(),
    }
    return {**proven, "proof_seal": seal(proof_of({**state, **proven}))}


def approve(parts: Parts, state: FixState) -> FixState:
    """Wait for a person; nothing has been written so far."""
    del parts
    return {"decision": interrupt({"chosen": state["chosen"]})}


def commit(parts: Parts, state: FixState) -> FixState:
    """Commit exactly the approved bytes, once, if the guard still lets them pass.

    Raises:
        RefusedError: the session is not this user's, the guard blocks the patch, or the
            approval does not cover it.
    """
    require_own_proof(state)
    attempts = (decode(Attempt, value) for value in state["attempts"])
    attempt = next(a for a in attempts if a.hypothesis.hypothesis_id == state["chosen"])
    if attempt.patch is None:
        raise RefusedError("the chosen hypothesis has no patch", hint="start again: refinery fix")
    guard = _review(parts, state, attempt.patch)
    if guard.outcome is Outcome.BLOCK:
        reasons = "; ".join(remark.message for remark in guard.remarks)
        raise RefusedError(f"the guard blocks this patch now: {reasons}")
    decision = cast("dict[str, Any]", state["decision"])
    approval.grant(
        parts.home / "approvals",
        attempt.patch.digest,
        str(decision.get("approver", "")),
        covers_held=bool(decision.get("covers_held")),
    )
    held = guard.outcome is Outcome.HOLD
    approval.redeem(parts.home / "approvals", attempt.patch.digest, needs_held=held)
    change = parts.commit(attempt.patch, attempt.hypothesis, state)
    written = change.branch == WORK_TREE
    what = "wrote the work tree" if written else f"committed {change.commit[:12]}"
    parts.say(f"{what} as {change.change_id}")
    return {"change": encode(change)}


def require_own_proof(state: FixState) -> None:
    """Refuse a session whose proof this user's Refinery did not make.

    Raises:
        RefusedError: it was altered, or came from somebody else.
    """
    if not is_sealed(proof_of(state), state.get("proof_seal")):
        raise RefusedError(
            "the proof of this session was not made by your Refinery, or was altered",
            hint="start again: refinery fix",
        )


def _count(items: Sequence[object], one: str, many: str = "") -> str:
    return f"{len(items)} {one if len(items) == 1 else many or one + 's'}"


def _topic(findings: Sequence[Finding]) -> str:
    words = " ".join(f"{finding.category} {finding.title}" for finding in findings[:3])
    return words.replace("_", " ")


def _columns(findings: Sequence[Finding]) -> tuple[tuple[str, int, int, int], ...]:
    """Places that are a part of one line, where no other place is all of it."""
    places = [p for f in findings for p in (f.source, *f.related) if p is not None]
    parts = {p for p in places if p.column_start and p.line_start == p.line_end}
    whole = [p for p in places if p not in parts]
    return tuple(
        (p.file, p.line_start, p.column_start, p.column_end)
        for p in sorted(parts, key=lambda p: (p.file, p.line_start, p.column_start))
        if not any(w.file == p.file and w.line_start <= p.line_start <= w.line_end for w in whole)
    )


def _located(findings: Sequence[Finding]) -> tuple[tuple[str, int, int], ...]:
    places = [p for f in findings for p in (f.source, *f.related) if p is not None]
    return tuple(dict.fromkeys((p.file, p.line_start, p.line_end) for p in places))
