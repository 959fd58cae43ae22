"""Holds a patch that deletes or empties a file, or only takes lines away."""

from collections.abc import Iterable
from pathlib import Path

from refinery.model.patch import FileChange
from refinery.model.verdict import Outcome, Remark
from refinery.ports import GuardInput
from refinery.safety import _change


def check(given: GuardInput) -> Iterable[Remark]:
    """One remark for each file that would be gone or have nothing left in it."""
    for change in given.changes:
        if change.after is None:
            yield Remark("deletion", Outcome.HOLD, "the file is deleted", change.path)
        elif (change.before or b"").strip() and not change.after.strip():
            yield Remark("deletion", Outcome.HOLD, "the file is emptied", change.path)
        elif _only_removes(change):
            yield Remark("deletion", Outcome.HOLD, "lines are only taken away", change.path)


def _only_removes(change: FileChange) -> bool:
    lines = _change.changed_lines(change)
    has_new = any(line.strip() for _, line in lines.added)
    return not has_new and any(line.strip() for _, line in lines.removed)


def _given(before: bytes | None, after: bytes | None) -> GuardInput:
    return GuardInput((FileChange("notes.txt", before, after),), Path("/"))


PASSES = [
    _given(b"a\n", b"b\n"),
    _given(None, b""),
    _given(b"", b"\n"),
    _given(b"a\n\n\nb\n", b"a\nb\n"),
    _given(b"a\nb\n", b"a\nc\n"),
]
REFUSED = [
    _given(b"a\n", None),
    _given(b"a\n", b""),
    _given(b"a\n", b" \n"),
    _given(b"a\nb\n", b"a\n"),
]
