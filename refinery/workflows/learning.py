"""Keeps what a fix taught: a lesson for the next one, and a record for the statistics."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from refinery import clock
from refinery import home as folders
from refinery.agents.attempt import Attempt
from refinery.errors import InputError
from refinery.knowledge.lessons import Lessons, cited_in
from refinery.model.codec import decode, encode
from refinery.model.lesson import Lesson, LessonOutcome
from refinery.safety.untrusted import visible
from refinery.workflows.fix_outcome import FixOutcome
from refinery.workflows.wiring import LESSONS, Workspace

MAX_FIX_CHARACTERS = 200
"""Longest title of a change that is kept; titles a model wrote may carry text of a trace."""


@dataclass(frozen=True, slots=True)
class Tried:
    """One hypothesis of a session."""

    strategy: str
    confidence: float
    """As stated before the trial, 0 to 1."""
    guard: str | None
    """The guard's outcome; None when there was no patch."""
    verdict: str | None
    """The trial's verdict; None when it was not tried."""


@dataclass(frozen=True, slots=True)
class FixRecord:
    """One session of `refinery fix` that came to an end."""

    session_id: str
    trace_id: str
    started_ns: int
    ended_ns: int
    failed_ns: int | None
    """When the failing run ended; None when the trace does not say."""
    engine: str
    categories: tuple[str, ...]
    hypotheses: tuple[Tried, ...]
    trials_ms: tuple[float, ...]
    decision: str | None
    """`yes`, `no`, or None: nothing was proven."""
    approver: str | None = None
    change_id: str | None = None
    by_expert: bool = False
    """Whether it was approved in the guide, without an engineer."""


@dataclass(frozen=True, slots=True)
class Session:
    """What is known of a session beside its outcome."""

    started_ns: int
    failed_ns: int | None
    by_expert: bool = False


def lessons_of(home: Path) -> Lessons:
    """The lessons kept in a `.refinery` folder."""
    return Lessons(home / LESSONS)


def learn(workspace: Workspace, outcome: FixOutcome, session: Session) -> None:
    """Keep the lessons and the record of a session that has ended.

    A session that still waits for its approval teaches nothing yet.

    Raises:
        InputError: the files cannot be written.
    """
    if outcome.is_waiting:
        return
    answer = outcome.decision.get("answer") if outcome.decision else None
    lessons = lessons_of(workspace.home)
    if outcome.chosen is not None and answer in ("yes", "no"):
        accepted = outcome.change is not None
        lessons.learn(_lesson(outcome, outcome.chosen, accepted=accepted))
    for attempt in outcome.attempts:
        if attempt.trial is not None:
            helped = outcome.change is not None and attempt == outcome.chosen
            lessons.credit(cited_in(attempt.hypothesis.citations), helped=helped)
    approver = outcome.decision.get("approver") if outcome.decision else None
    _append(
        workspace.home / "fixes.jsonl",
        FixRecord(
            session_id=outcome.session_id,
            trace_id=outcome.trace_id,
            started_ns=session.started_ns,
            ended_ns=clock.now_ns(),
            failed_ns=session.failed_ns,
            engine=outcome.diagnosis.engine,
            categories=tuple(finding.category for finding in outcome.diagnosis.findings),
            hypotheses=tuple(_tried(attempt) for attempt in outcome.attempts),
            trials_ms=tuple(a.trial.duration_ms for a in outcome.attempts if a.trial),
            decision=answer if isinstance(answer, str) else None,
            approver=approver if isinstance(approver, str) else None,
            change_id=outcome.change.change_id if outcome.change else None,
            by_expert=session.by_expert,
        ),
    )


def settle(home: Path, change_id: str, outcome: LessonOutcome) -> None:
    """Say what became of a committed change later; the change itself does not depend on it."""
    if lessons_of(home).path.exists():
        with suppress(InputError):  # what was just done to the repository must not seem to fail
            lessons_of(home).settle(change_id, outcome)


def records(home: Path) -> list[FixRecord]:
    """The records of all ended sessions, oldest first; lines that cannot be read are left out."""
    return list(_read(home / "fixes.jsonl"))


def _lesson(outcome: FixOutcome, chosen: Attempt, *, accepted: bool) -> Lesson:
    hypothesis = chosen.hypothesis
    findings = {finding.finding_id: finding for finding in outcome.diagnosis.findings}
    finding = findings.get(hypothesis.finding_id)
    return Lesson(
        lesson_id=clock.short_id("lesson"),
        created_ns=clock.now_ns(),
        category=finding.category if finding else "unknown",
        root_cause=finding.root_cause.value if finding else "unknown",
        strategy=hypothesis.strategy,
        fix=visible(hypothesis.title)[:MAX_FIX_CHARACTERS],
        outcome=LessonOutcome.ACCEPTED if accepted else LessonOutcome.REJECTED,
        trace_id=outcome.trace_id,
        change_id=outcome.change.change_id if outcome.change else None,
        verdict=chosen.trial.verdict.value if chosen.trial else None,
    )


def _tried(attempt: Attempt) -> Tried:
    return Tried(
        attempt.hypothesis.strategy,
        attempt.hypothesis.confidence,
        attempt.guard.outcome.value if attempt.guard else None,
        attempt.trial.verdict.value if attempt.trial else None,
    )


def _read(path: Path) -> Iterator[FixRecord]:
    for value in folders.read_lines(path):
        with suppress(ValueError):
            yield decode(FixRecord, value)


def _append(path: Path, record: FixRecord) -> None:
    try:
        folders.append_line(path, encode(record))
    except OSError as error:
        raise InputError(
            f"the record of this fix cannot be written to {path}: {error}",
            hint="check that its folder can be written and the disk is not full",
        ) from error
