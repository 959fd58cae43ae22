"""Holds edits outside the places the diagnosis points to."""

from collections.abc import Iterable
from pathlib import Path

from refinery.model.patch import FileChange
from refinery.model.verdict import Outcome, Remark
from refinery.ports import GuardInput
from refinery.safety import _change

MARGIN_LINES = 3
"""Lines around a located place that count as part of it (chosen by us)."""


def check(given: GuardInput) -> Iterable[Remark]:
    """One remark for each file that changes elsewhere; silent when nothing was located.

    A place whose first line is 0 is the whole file.
    """
    if not given.located:
        return
    for change in given.changes:
        places = [(a, b) for path, a, b in given.located if path == change.path]
        if not places:
            yield Remark(
                "located_cause",
                Outcome.HOLD,
                "the diagnosis does not point to this file",
                change.path,
            )
            continue
        outside = [s for s in _change.changed_lines(change).spans if not _is_inside(s, places)]
        if outside:
            yield Remark(
                "located_cause",
                Outcome.HOLD,
                "the diagnosis does not point to these lines",
                change.path,
                outside[0][0],
            )


def _is_inside(span: tuple[int, int], places: list[tuple[int, int]]) -> bool:
    first, last = span
    return any(
        a == 0 or (a - MARGIN_LINES <= first and last <= max(a, b) + MARGIN_LINES)
        for a, b in places
    )


_LINES = [b"line %d\n" % n for n in range(1, 41)]


def _given(*changed: int, located: tuple[tuple[str, int, int], ...]) -> GuardInput:
    after = [b"new\n" if n in changed else line for n, line in enumerate(_LINES, 1)]
    change = FileChange("a.txt", b"".join(_LINES), b"".join(after))
    return GuardInput((change,), Path("/"), located)


PASSES = [
    _given(10, located=()),
    _given(10, located=(("a.txt", 10, 10),)),
    _given(7, 15, located=(("a.txt", 10, 12),)),
    _given(30, located=(("a.txt", 0, 0),)),
]
REFUSED = [
    _given(10, located=(("b.txt", 10, 10),)),
    _given(20, located=(("a.txt", 10, 12),)),
    _given(10, 39, located=(("a.txt", 10, 12),)),
]
