"""Holds a patch that changes more lines than allowed."""

from collections.abc import Iterable
from pathlib import Path

from refinery.model.patch import FileChange
from refinery.model.verdict import Outcome, Remark
from refinery.ports import GuardInput
from refinery.safety import _change

MAX_CHANGED_LINES = 60
"""More lines than a person reads with care at once (chosen by us); settings may lower it."""


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


def _replaced(count: int, limit: int | None = None) -> GuardInput:
    before = b"".join(b"a%d\n" % n for n in range(count))
    after = b"".join(b"b%d\n" % n for n in range(count))
    limits = None if limit is None else {"max_changed_lines": limit}
    return GuardInput((FileChange("a.txt", before, after),), Path("/"), limits=limits)


PASSES = [_replaced(60), _replaced(2, 2)]
REFUSED = [_replaced(61), _replaced(3, 2), _replaced(100, 1000)]
