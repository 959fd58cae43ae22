"""Checks that a unified diff says exactly what a set of changes does."""

import re
from collections.abc import Iterator, Sequence

from refinery.model.patch import FileChange

_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_NO_LINE_FEED = "\\ No newline at end of file"


def tells(diff: str, changes: Sequence[FileChange]) -> bool:
    """Whether applying the diff to every file before gives every file after, and nothing else.

    A change that only creates or deletes an empty file needs no lines in the diff.
    """
    try:
        told = list(_files(diff.split("\n")))
    except (ValueError, IndexError):
        return False
    wanted = [c for c in changes if (c.before or b"") != (c.after or b"")]
    if len(told) != len(wanted):
        return False
    return all(
        head == _head(change) and _applied(change.before, hunks) == _lines(change.after)
        for (head, hunks), change in zip(told, wanted, strict=True)
    )


_Hunk = tuple[int, list[str], list[str]]
"""First line before (from 0), lines before, lines after; each line with its line feed."""


def _head(change: FileChange) -> tuple[str, str]:
    before = "/dev/null" if change.before is None else f"a/{change.path}"
    after = "/dev/null" if change.after is None else f"b/{change.path}"
    return f"--- {before}", f"+++ {after}"


def _lines(content: bytes | None) -> list[str]:
    text = (content or b"").decode("utf-8", "surrogateescape")
    lines = [line + "\n" for line in text.split("\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


def _files(lines: list[str]) -> Iterator[tuple[tuple[str, str], list[_Hunk]]]:
    at = 0
    while at < len(lines) - 1:
        head = (lines[at], lines[at + 1])
        if not head[0].startswith("--- ") or not head[1].startswith("+++ "):
            raise ValueError("no header of a file")
        at += 2
        hunks: list[_Hunk] = []
        while found := _HUNK.fullmatch(lines[at]):
            at, hunk = _hunk(lines, at + 1, found)
            hunks.append(hunk)
        yield head, hunks
    if lines[at:] != [""]:
        raise ValueError("more after the last hunk")


def _hunk(lines: list[str], at: int, found: re.Match[str]) -> tuple[int, _Hunk]:
    old_count, new_count = (int(found[n]) if found[n] is not None else 1 for n in (2, 4))
    first = int(found[1]) - (1 if old_count else 0)
    old: list[str] = []
    new: list[str] = []
    sides = {" ": (old, new), "-": (old,), "+": (new,)}
    last: tuple[list[str], ...] = ()
    while len(old) < old_count or len(new) < new_count or lines[at] == _NO_LINE_FEED:
        if lines[at] == _NO_LINE_FEED:
            for side in last:
                side[-1] = side[-1].removesuffix("\n")
        elif (mark := lines[at][:1]) in sides:
            last = sides[mark]
            for side in last:
                side.append(lines[at][1:] + "\n")
        else:
            raise ValueError("no line of a hunk")
        at += 1
    return at, (first, old, new)


def _applied(content: bytes | None, hunks: list[_Hunk]) -> list[str] | None:
    """The lines after all hunks; None when one does not fit."""
    before, after, at = _lines(content), list[str](), 0
    for first, old, new in hunks:
        if first < at or before[first : first + len(old)] != old:
            return None
        after += before[at:first] + new
        at = first + len(old)
    return after + before[at:]
