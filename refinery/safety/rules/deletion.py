"""Holds a patch that deletes or empties a file."""

from collections.abc import Iterable
from pathlib import Path

from refinery.model.patch import FileChange
from refinery.model.verdict import Outcome, Remark
from refinery.ports import GuardInput


def check(given: GuardInput) -> Iterable[Remark]:
    """One remark for each file that would be gone or have nothing left in it."""
    for change in given.changes:
        if change.after is None:
            yield Remark("deletion", Outcome.HOLD, "the file is deleted", change.path)
        elif (change.before or b"").strip() and not change.after.strip():
            yield Remark("deletion", Outcome.HOLD, "the file is emptied", change.path)


def _given(before: bytes | None, after: bytes | None) -> GuardInput:
    return GuardInput((FileChange("notes.txt", before, after),), Path("/"))


PASSES = [_given(b"a\n", b"b\n"), _given(None, b""), _given(b"", b"\n")]
REFUSED = [_given(b"a\n", None), _given(b"a\n", b""), _given(b"a\n", b" \n")]
