"""Holds a patch that changes more than a person reads: too many lines, or too long ones."""

from collections.abc import Iterable
from pathlib import Path

from refinery.model.patch import FileChange
from refinery.model.verdict import Outcome, Remark
from refinery.ports import GuardInput
from refinery.safety import _change

MAX_CHANGED_LINES = 60
"""More lines than a person reads with care at once (chosen by us); settings may lower it."""

MAX_ADDED_CHARACTERS = 6_000
"""Sixty lines of a hundred characters; a line may be long, a patch may not hide in it."""


def check(given: GuardInput) -> Iterable[Remark]:
    """One remark when added and removed lines together exceed the limit."""
    limit = MAX_CHANGED_LINES
    wanted = (given.limits or {}).get("max_changed_lines")
    if wanted is not None:
        limit = min(limit, int(wanted))
    lines = [_change.changed_lines(change) for change in given.changes]
    count = sum(max(len(one.removed), len(one.added)) for one in lines)
    if count > limit:
        yield Remark("size", Outcome.HOLD, f"{count} lines change, more than {limit}")
    added = sum(_grown(one) for one in lines)
    if added > MAX_ADDED_CHARACTERS:
        message = f"{added:,} characters are new, more than {MAX_ADDED_CHARACTERS:,}"
        yield Remark("size", Outcome.HOLD, message)


def _grown(lines: _change.ChangedLines) -> int:
    """Characters in added lines beyond those of the longest line each may have replaced."""
    old = sorted((len(line) for _, line in lines.removed), reverse=True)
    new = sorted((len(line) for _, line in lines.added), reverse=True)
    old += [0] * len(new)
    return sum(max(after - before, 0) for after, before in zip(new, old, strict=False))


def _replaced(count: int, limit: int | None = None) -> GuardInput:
    before = b"".join(b"a%d\n" % n for n in range(count))
    after = b"".join(b"b%d\n" % n for n in range(count))
    limits = None if limit is None else {"max_changed_lines": limit}
    return GuardInput((FileChange("a.txt", before, after),), Path("/"), limits=limits)


def _line(before: int, after: int) -> GuardInput:
    change = FileChange("a.txt", b"a" * before + b"\n", b"b" * after + b"\n")
    return GuardInput((change,), Path("/"))


PASSES = [_replaced(60), _replaced(2, 2), _line(9_000, 9_200)]
REFUSED = [_replaced(61), _replaced(3, 2), _replaced(100, 1000), _line(10, 9_000)]
