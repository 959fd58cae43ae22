"""Watches changes in new conversations: does the failure stay away, or has it returned?"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from refinery import clock, home
from refinery.codebase.repository import Repository
from refinery.errors import RefineryError
from refinery.model.codec import decode, encode
from refinery.model.lesson import LessonOutcome
from refinery.model.trace import Json, RunStatus, Trace
from refinery.model.verdict import Change, Trial
from refinery.ports import TraceFilter
from refinery.replay.judging import UNPATCHED
from refinery.replay.tape import entry_point
from refinery.workflows import changes, check_book, learning, recurrence, traces
from refinery.workflows import receipt as receipts
from refinery.workflows.check_book import ALWAYS, QUESTION, Entry
from refinery.workflows.recurrence import Plan, Standing, Watched
from refinery.workflows.wiring import Workspace

FILE = "watch.jsonl"
"""File of a `.refinery` folder: what was said of changes, a line for each new standing."""
MAX_TRACES = 5_000
"""Newest traces since a change that are looked at; bounds the work, chosen by us."""
MAX_BEFORE = 300
FEWEST_BEFORE = 5
"""Conversations before a change from which on its failure rate is taken from them."""


@dataclass(frozen=True, slots=True)
class Report:
    """What new conversations say of one change."""

    change: Change
    expectation: str
    watched: Watched
    plan: Plan
    failing: tuple[str, ...]
    """Traces in which the failure is back, newest first; at most 20."""
    older: int
    """Conversations left out: the code they ran does not hold the change."""
    why_not: str = ""
    """Why nothing can be told; empty when it can."""

    @property
    def has_returned(self) -> bool:
        """Whether the failure is back."""
        return self.watched.standing is Standing.RETURNED


@dataclass(frozen=True, slots=True)
class Note:
    """A line of the watch file."""

    change_id: str
    commit: str
    """Of the change as it was in force; one that was made again has another."""
    standing: str
    at_ns: int
    seen: int
    failed: int


def look(workspace: Workspace, repository: Repository) -> list[Report]:
    """Judge every change in force by the conversations recorded since, newest change first.

    A change whose failure has returned is reopened: it stays so until it is taken back.

    Args:
        workspace: store, receipts and what people said.
        repository: tells which conversations ran code that holds a change.

    Raises:
        RefusedError: the ledger was altered.
    """
    reports = []
    for change in changes.history(workspace.home):
        if change.state == changes.APPLIED:
            report = _report(workspace, repository, change)
            _remember(workspace.home, report)
            reports.append(report)
    return reports


def reopened(folder: Path) -> list[str]:
    """Ids of the changes in force whose failure was seen to return."""
    said = _said(folder)
    in_force = (c for c in changes.history(folder) if c.state == changes.APPLIED)
    back = Standing.RETURNED.value
    return [c.change_id for c in in_force if said.get((c.change_id, c.commit)) == back]


def _report(workspace: Workspace, repository: Repository, change: Change) -> Report:
    trial = _trial(workspace, change)
    entries = _entries(workspace, change, trial)
    words = "; ".join(dict.fromkeys(entry.words for entry in entries if entry.words))
    nothing = recurrence.watch(())
    if not entries:
        why = "nothing says what is right, so nothing can be held against it"
        return Report(change, words, nothing, Plan(), (), 0, why)
    found, older = _since(workspace, repository, change, entries)
    plan = Plan(before=_rate_before(workspace, change, entries, trial))
    watched = recurrence.watch((is_failure for _, is_failure in found), plan)
    failing = tuple(trace_id for trace_id, is_failure in reversed(found) if is_failure)[:20]
    was_reopened = change.change_id in reopened(workspace.home)
    if was_reopened and watched.standing is not Standing.RETURNED:
        watched = replace(watched, standing=Standing.RETURNED)
    return Report(change, words, watched, plan, failing, older)


def _entries(workspace: Workspace, change: Change, trial: Trial | None) -> list[Entry]:
    """What is right for the conversations a change was made for."""
    said = [e for e in check_book.entries(workspace.home) if change.change_id == e.change_id]
    said = said or [e for e in check_book.entries(workspace.home) if change.trace_id == e.trace_id]
    trace = workspace.store.get_trace(change.trace_id)
    if trace is not None and not said:
        label = traces.label_of(workspace, change.trace_id)
        if label is not None and label.checks:
            words = label.expectation or ", ".join(label.checks)
            said = [check_book.new_entry(trace, words, label.checks, QUESTION)]
        elif trial is not None and trial.checks:
            scope = ALWAYS if _is_about_signals(trial.checks) else QUESTION
            words = ", ".join(trial.checks)
            said = [check_book.new_entry(trace, words, trial.checks, scope)]
    return [
        entry for entry in said if trace is not None and check_book.holding(entry.checks, trace)
    ]


def _is_about_signals(checks: tuple[str, ...]) -> bool:
    return all(check.startswith(("signal_gone:", "no_error")) for check in checks)


def _since(
    workspace: Workspace, repository: Repository, change: Change, entries: list[Entry]
) -> tuple[list[tuple[str, bool]], int]:
    """Conversations since a change, whether each failed, oldest first; how many ran old code."""
    wanted = TraceFilter(since_ns=change.created_ns, limit=MAX_TRACES)
    holds_change = _ancestry(repository, change.commit)
    found: list[tuple[str, bool]] = []
    older = 0
    for summary in reversed(workspace.store.list_traces(wanted)):
        trace = workspace.store.get_trace(summary.trace_id)
        if trace is None or trace.trace_id == change.trace_id or not _has_ended(trace):
            continue
        spoken_of = [entry for entry in entries if entry.holds_for(trace)]
        if not spoken_of:
            continue
        if not holds_change(_commit_of(trace)):
            older += 1
            continue
        found.append((trace.trace_id, any(entry.is_missed_by(trace) for entry in spoken_of)))
    return found, older


def _rate_before(
    workspace: Workspace, change: Change, entries: list[Entry], trial: Trial | None
) -> float:
    """How often conversations of this kind failed before the change."""
    wanted = TraceFilter(until_ns=change.created_ns, limit=MAX_BEFORE)
    failed: list[bool] = []
    for summary in workspace.store.list_traces(wanted):
        trace = workspace.store.get_trace(summary.trace_id)
        if trace is not None and _has_ended(trace):
            spoken_of = [entry for entry in entries if entry.holds_for(trace)]
            failed += [any(entry.is_missed_by(trace) for entry in spoken_of)] if spoken_of else []
    if len(failed) >= FEWEST_BEFORE:
        return max(0.5 / len(failed), sum(failed) / len(failed))
    arm = (
        next((a for a in trial.arms if (a.name, a.group) == (UNPATCHED, "failing")), None)
        if trial
        else None
    )
    if arm is not None and arm.total:
        return max(recurrence.TOLERATED * 2, 1 - arm.passed / arm.total)
    return recurrence.SUSPECTED


def _trial(workspace: Workspace, change: Change) -> Trial | None:
    try:
        content = receipts.load(receipts.path_of(workspace.home, change.change_id))
        return receipts.unpack(content, "the receipt").trial
    except RefineryError:
        return None


def _ancestry(repository: Repository, change: str) -> Callable[[str | None], bool]:
    """Tells whether a commit holds a change; an unknown commit is taken to hold it."""
    known: dict[str, bool] = {}

    def holds(commit: str | None) -> bool:
        if commit is None or not change:
            return True
        if commit not in known:
            known[commit] = _holds(repository, change, commit)
        return known[commit]

    return holds


def _holds(repository: Repository, change: str, commit: str) -> bool:
    try:
        found = repository.resolve(commit)
    except RefineryError:
        return True
    with suppress(RefineryError):
        base = repository.git.text("merge-base", change, found).strip()
        return base == change
    return False


def _commit_of(trace: Trace) -> str | None:
    root = trace.root
    entry = entry_point(root) if root else None
    if entry is not None and entry.commit:
        return entry.commit
    return root.code.commit if root and root.code else None


def _has_ended(trace: Trace) -> bool:
    return trace.status in (RunStatus.OK, RunStatus.ERROR)


def _remember(folder: Path, report: Report) -> None:
    """Note a standing that differs from the last one; a return is a lesson as well."""
    said = report.watched.standing.value
    change = report.change
    if _said(folder).get((change.change_id, change.commit), Standing.OPEN.value) == said:
        return
    note = Note(
        change.change_id,
        change.commit,
        said,
        clock.now_ns(),
        report.watched.seen,
        report.watched.failed,
    )
    with suppress(OSError):  # a folder that cannot be written must not hide the answer
        home.append_line(folder / FILE, encode(note))
    if report.has_returned:
        learning.settle(folder, change.change_id, LessonOutcome.RETURNED)


def _said(folder: Path) -> dict[tuple[str, str], str]:
    """What was noted last of each change, by its id and commit."""
    return {(note.change_id, note.commit): note.standing for note in _notes(folder)}


def _notes(folder: Path) -> Iterator[Note]:
    for value in home.read_lines(folder / FILE):
        with suppress(ValueError):
            yield decode(Note, value)


def to_document(reports: list[Report]) -> dict[str, Json]:
    """The reports as the JSON of `refinery watch --json`."""
    return {
        "changes": [
            {
                "id": report.change.change_id,
                "commit": report.change.commit,
                "trace_id": report.change.trace_id,
                "title": report.change.title,
                "expectation": report.expectation,
                "standing": report.watched.standing.value,
                "seen": report.watched.seen,
                "failed": report.watched.failed,
                "evidence": report.watched.evidence,
                "decided_after": report.watched.decided_after,
                "failing": list(report.failing),
                "older_code": report.older,
                "rate_before": report.plan.before,
                "tolerated": report.plan.tolerated,
                "wrong_alarms_at_most": report.plan.alpha,
                "why_not": report.why_not,
                "revert": f"refinery rollback {report.change.change_id}"
                if report.has_returned
                else None,
            }
            for report in reports
        ],
        "returned": [r.change.change_id for r in reports if r.has_returned],
    }
