"""Commits proven patches, lists them, and takes them back.

The ledger gets an entry before the commit (`approved`) and one after it (`committed`), so that a
process killed in between leaves a trace: `recover` finds the commit by its trailer and closes
the entry, or says that it was never made (`abandoned`). A roll-back is a commit of its own with
the entries `rolling back` and `rolled back`; so is doing it again (`redoing`, `redone`).
"""

import shutil
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from refinery import clock
from refinery import home as folders
from refinery.codebase import commit as commits
from refinery.codebase.merging import merge_or_unpick, recalling, remembering
from refinery.codebase.objects import dated, identity, signed_text
from refinery.codebase.repository import Repository
from refinery.errors import InputError, NotFoundError, RefineryError
from refinery.model.codec import decode, encode
from refinery.model.lesson import LessonOutcome
from refinery.model.patch import FileChange, Patch
from refinery.model.verdict import WORK_TREE, Change
from refinery.safety.ledger import Ledger
from refinery.workflows import learning
from refinery.workflows import receipt as receipts

APPROVED, COMMITTED, ABANDONED = "approved", "committed", "abandoned"
ROLLING_BACK, ROLLED_BACK = "rolling back", "rolled back"
APPLIED = "applied"
"""State of a change that is in force; one that is not is `rolled back`."""
REDOING, REDONE = "redoing", "redone"
BEGUN = (APPROVED, ROLLING_BACK, REDOING)
"""Kinds of entries that another one must follow."""
TESTING, TESTED = "testing", "tested"
"""Around a run of the user's own tests with a committed change (`user_tests`)."""
SUBJECT_LENGTH = 72
"""Longest first line of a commit message; git's own tools cut longer ones."""


def commit_change(
    repository: Repository,
    patch: Patch,
    *,
    trace_id: str,
    title: str,
    body: str,
    home: Path,
    branch: str | None = None,
    run_hooks: bool = False,
    receipt: Callable[[Change, str], bytes] | None = None,
) -> Change:
    """Commit a patch and write it to the ledger.

    Args:
        repository: at the patch's base commit.
        patch: exactly what was approved.
        trace_id: the failing trace.
        title: subject of the commit.
        body: why, in the commit message.
        home: the repository's `.refinery` folder.
        branch: commit there instead of the current branch; `WORK_TREE`: do not commit, write the
            work tree alone.
        run_hooks: run the repository's pre-commit and commit-msg hooks on a copy.
        receipt: makes the receipt of the change, kept in `home` and named by the commit, from the
            change and who commits it, when, with which words; None: there is no proof to keep.

    Raises:
        InputError: HEAD has moved, git knows no identity, or the repository is busy.
        RefusedError: uncommitted work touches the same lines. Nothing is changed.
    """
    ledger = Ledger(folders.prepare(home) / "ledger.jsonl")
    change = Change(
        change_id=clock.short_id("fix"),
        commit="",
        trace_id=trace_id,
        title=title,
        paths=tuple(item.path for item in patch.changes),
        branch=branch or repository.branch() or "HEAD",
        created_ns=clock.now_ns(),
    )
    trailers = {"Refinery-Trace": trace_id, "Refinery-Change": change.change_id}
    kept = receipts.path_of(home, change.change_id)
    who = dated(identity(repository.git), change.created_ns)
    if receipt is not None:
        text = signed_text(repository.git, _message(title, body, trailers), who)
        content = receipt(change, text)
        trailers["Refinery-Receipt"] = receipts.digest(content)
        kept.parent.mkdir(mode=0o700, exist_ok=True)
        kept.touch(0o600)
        kept.write_bytes(content)
    ledger.append(APPROVED, {"change": encode(change), "digest": patch.digest})
    message = _message(title, body, trailers)
    try:
        made = commits.apply(
            repository,
            patch,
            message,
            home / "journal",
            branch=None if branch == WORK_TREE else branch,
            run_hooks=run_hooks,
            kept_as=_kept_as(change),
            who=who,
        )
    except RefineryError:
        kept.unlink(missing_ok=True)
        ledger.append(ABANDONED, {"change": encode(change)})
        raise
    change = replace(change, commit=made)
    ledger.append(COMMITTED, {"change": encode(change), "digest": patch.digest})
    return change


def history(home: Path) -> list[Change]:
    """All committed changes of a project, newest first, with their present state.

    Raises:
        RefusedError: the ledger was altered.
    """
    found: dict[str, Change] = {}
    for entry in _ledger(home).entries():
        change = decode(Change, entry.body["change"])
        if entry.kind in (COMMITTED, ROLLED_BACK, REDONE):
            found[change.change_id] = change
    return sorted(found.values(), key=lambda change: -change.created_ns)


def find(home: Path, text: str = "latest", state: str = APPLIED) -> Change:
    """The change of an id, a unique prefix of one, or the newest in a state.

    Raises:
        NotFoundError: there is none.
        InputError: the prefix fits several.
    """
    changes = history(home)
    if text == "latest":
        fitting = [change for change in changes if change.state == state]
        if not fitting:
            what = "roll back" if state == APPLIED else "do again"
            raise NotFoundError(f"no change to {what}", hint="see `refinery history`")
        return fitting[0]
    fitting = [
        c for c in changes if text in (c.change_id, c.commit) or c.change_id.startswith(text)
    ]
    if len(fitting) > 1:
        names = ", ".join(change.change_id for change in fitting)
        raise InputError(f"{text!r} fits several changes: {names}", hint="write more of the id")
    if not fitting:
        raise NotFoundError(f"no change {text!r}", hint="see `refinery history`")
    return fitting[0]


def preview(repository: Repository, home: Path, change: Change) -> tuple[FileChange, ...]:
    """What a roll-back would write, or doing again what was rolled back; changes nothing.

    Raises:
        NotFoundError: the change is not on the branch, or was taken back already.
        RefusedError: the same words were changed since.
    """
    undone = change.commit if change.state == APPLIED else change.reverted_by or change.commit
    if kept_as := _kept_as(change):
        join = merge_or_unpick if change.state == APPLIED else recalling(_memory(home, change))
        return commits.reverse_in_tree(repository, undone, kept_as, join)
    return commits.reverse(repository, undone, _other_branch(repository, change) or "HEAD")


def rollback(
    repository: Repository, home: Path, change_id: str = "latest", *, reason: str = ""
) -> Change:
    """Take a change back as a new commit that keeps every later line of others.

    Args:
        repository: where it was committed.
        home: the repository's `.refinery` folder.
        change_id: id or unique prefix; default: the newest in force.
        reason: why, for the commit message and the ledger.

    Raises:
        NotFoundError: no such change, or it was taken back already.
        RefusedError: the same lines were changed since. Nothing is changed.
    """
    change = find(home, change_id)
    if change.state != APPLIED:
        raise NotFoundError(
            f"{change.change_id} has been rolled back already", hint="see `refinery history`"
        )
    trailers = {"Refinery-Trace": change.trace_id, "Refinery-Reverts": change.change_id}
    body = f"Takes back commit {change.commit}.\n{reason}"
    message = _message(f"Roll back: {change.title}", body, trailers)
    preview(repository, home, change)
    ledger = _ledger(home)
    ledger.append(ROLLING_BACK, {"change": encode(change)})
    join = remembering(_memory(home, change))
    try:
        made = commits.revert(
            repository,
            change.commit,
            message,
            home / "journal",
            branch=_other_branch(repository, change),
            join=join,
            kept_as=_kept_as(change),
        )
    except RefineryError:
        ledger.append(COMMITTED, {"change": encode(change)})
        raise
    change = replace(change, state=ROLLED_BACK, reverted_by=made)
    ledger.append(
        ROLLED_BACK, {"change": encode(change), **({"reason": reason} if reason else {})}
    )
    learning.settle(home, change.change_id, LessonOutcome.ROLLED_BACK)
    return change


def redo(repository: Repository, home: Path, change_id: str = "latest") -> Change:
    """Make a change again that was rolled back, as a new commit that keeps later work.

    Raises:
        NotFoundError: no such change, or it is not rolled back.
        RefusedError: the same words were changed since. Nothing is changed.
    """
    change = find(home, change_id, ROLLED_BACK)
    if change.state != ROLLED_BACK or change.reverted_by is None:
        raise NotFoundError(
            f"{change.change_id} is not rolled back", hint="see `refinery history`"
        )
    undone = change.reverted_by
    trailers = {"Refinery-Trace": change.trace_id, "Refinery-Redoes": change.change_id}
    message = _message(f"Redo: {change.title}", f"Makes commit {change.commit} again.", trailers)
    preview(repository, home, change)
    ledger = _ledger(home)
    ledger.append(REDOING, {"change": encode(change)})
    join = recalling(_memory(home, change))
    try:
        made = commits.revert(
            repository,
            undone,
            message,
            home / "journal",
            branch=_other_branch(repository, change),
            join=join,
            kept_as=_kept_as(change),
        )
    except RefineryError:
        ledger.append(ROLLED_BACK, {"change": encode(change)})
        raise
    change = replace(change, state=APPLIED, commit=made, reverted_by=None)
    ledger.append(REDONE, {"change": encode(change)})
    shutil.rmtree(_memory(home, change), ignore_errors=True)
    learning.settle(home, change.change_id, LessonOutcome.ACCEPTED)
    return change


def recover(repository: Repository, home: Path) -> list[str]:
    """Mend what a killed process left in the repository and in the ledger.

    Returns:
        One sentence an item; empty when there was nothing.
    """
    said = commits.recover(repository, home / "journal")
    ledger = _ledger(home)
    if not ledger.path.exists():
        return said
    if ledger.repair():
        said.append("cut off the last line of the ledger, which was never written whole")
    open_entries: dict[tuple[str, bool], tuple[str, Change]] = {}
    for entry in ledger.entries():
        change = decode(Change, entry.body["change"])
        key = (change.change_id, entry.kind in (TESTING, TESTED))
        if entry.kind in (*BEGUN, TESTING):
            open_entries[key] = (entry.kind, change)
        else:
            open_entries.pop(key, None)
    for kind, change in open_entries.values():
        said.append(_close(repository, ledger, kind, change))
    return said


def _close(repository: Repository, ledger: Ledger, kind: str, change: Change) -> str:
    """Write how a commit or a roll-back ended that was begun and never reported."""
    if kind == TESTING:
        ledger.append(TESTED, {"change": encode(change), "ending": "interrupted"})
        return (
            f"your tests of {change.change_id} were interrupted: it stays as it is; to take it "
            f"back: refinery rollback {change.change_id}"
        )
    if kind == APPROVED:
        made = _commit_of(repository, "Refinery-Change", change.change_id)
        if made is None:
            ledger.append(ABANDONED, {"change": encode(change)})
            return f"{change.change_id} was approved but never committed"
        ledger.append(COMMITTED, {"change": encode(replace(change, commit=made))})
        return f"{change.change_id} was committed as {made[:12]}; the ledger says so now"
    if kind == REDOING:
        made = _commit_of(repository, "Refinery-Redoes", change.change_id, change.reverted_by)
        if made is None:
            ledger.append(ROLLED_BACK, {"change": encode(change)})
            return f"{change.change_id} was to be done again, which did not happen"
        done = replace(change, state=APPLIED, commit=made, reverted_by=None)
        ledger.append(REDONE, {"change": encode(done)})
        return f"{change.change_id} was done again by {made[:12]}; the ledger says so now"
    made = _commit_of(repository, "Refinery-Reverts", change.change_id, change.commit)
    if made is None:
        ledger.append(COMMITTED, {"change": encode(change)})
        return f"{change.change_id} was to be rolled back, which did not happen"
    done = replace(change, state=ROLLED_BACK, reverted_by=made)
    ledger.append(ROLLED_BACK, {"change": encode(done)})
    return f"{change.change_id} was rolled back by {made[:12]}; the ledger says so now"


def _other_branch(repository: Repository, change: Change) -> str | None:
    """The branch of a change when it is not the one checked out."""
    here = (repository.branch(), "HEAD", WORK_TREE)
    return change.branch if change.branch not in here else None


def _kept_as(change: Change) -> str | None:
    """Name of the ref that keeps the commit of a change that is in the work tree alone."""
    return change.change_id if change.branch == WORK_TREE else None


def _commit_of(
    repository: Repository, trailer: str, change_id: str, after: str | None = None
) -> str | None:
    """The newest commit with that trailer, after another when one is named; None: never made."""
    text = f"{trailer}: {change_id}"
    wanted = ("--fixed-strings", f"--grep={text}", "--format=%H %(trailers:only,unfold)%x00")
    since = [f"^{after}"] if after else []
    for item in repository.git.text("log", "--all", *wanted, *since).split("\0"):
        commit, _, trailers = item.strip().partition(" ")
        if text in trailers.splitlines():
            return commit
    return None


def _memory(home: Path, change: Change) -> Path:
    """Where a roll-back keeps versions with uncommitted work, so that a redo is exact."""
    return home / "undone" / change.change_id


def _ledger(home: Path) -> Ledger:
    return Ledger(home / "ledger.jsonl")


def _message(title: str, body: str, trailers: dict[str, str]) -> str:
    """A commit message: one line, a paragraph, trailers; control characters are taken out."""
    subject = " ".join("".join(c for c in title if c.isprintable()).split())
    if len(subject) > SUBJECT_LENGTH:
        subject = subject[: SUBJECT_LENGTH - 1].rstrip() + "…"
    paragraphs = ("".join(c for c in line if c.isprintable()) for line in body.splitlines())
    text = "\n".join(textwrap.fill(paragraph, SUBJECT_LENGTH) for paragraph in paragraphs)
    foot = "\n".join(f"{name}: {value}" for name, value in trailers.items())
    return f"{subject}\n\n{text}\n\n{foot}\n"
