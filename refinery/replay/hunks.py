"""Takes a patch apart into hunks, and puts some of them together again.

A hunk is a stretch of changed lines without an unchanged line in it; a file that is made, deleted
or not text is one hunk. A part of a patch that does not parse, although the whole does, is none.
"""

import json
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from refinery import syntax
from refinery.codebase.patches import build
from refinery.model.patch import FileChange, Patch

MOST = 64
"""Hunks a patch is taken apart into at most; one with more stays whole."""


@dataclass(frozen=True, slots=True)
class Hunk:
    """A stretch of changed lines."""

    path: str
    start: int
    """First line before the change, from 0; lines up to `end` (not included) are replaced."""
    end: int
    lines: tuple[bytes, ...] | None
    """What stands there instead, with line ends; None: the whole file is one hunk."""

    def __str__(self) -> str:
        """For people, e.g. `app.py:12`."""
        return self.path if self.lines is None else f"{self.path}:{self.start + 1}"


def split(patch: Patch) -> tuple[Hunk, ...]:
    """The hunks of a patch, by path and line; one that stands for all when there are too many."""
    return tuple(hunk for change in patch.changes for hunk in _of_file(change))


def _of_file(change: FileChange) -> list[Hunk]:
    whole = [Hunk(change.path, 0, 0, None)]
    if change.before is None or change.after is None or b"\0" in change.before + change.after:
        return whole
    old, new = change.before.splitlines(keepends=True), change.after.splitlines(keepends=True)
    blocks = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    found = [
        Hunk(change.path, i1, i2, tuple(new[j1:j2]))
        for kind, i1, i2, j1, j2 in blocks
        if kind != "equal"
    ]
    return found if len(found) <= MOST else whole


def keep(patch: Patch, hunks: Iterable[Hunk]) -> Patch | None:
    """The patch with these of its hunks alone; None when nothing is left or it does not parse."""
    kept = list(hunks)
    changes = []
    for change in patch.changes:
        own = [hunk for hunk in kept if hunk.path == change.path]
        if not own:
            continue
        after = change.after if own[0].lines is None else _applied(change.before or b"", own)
        if not _parses(change.path, after):
            return None
        if after != change.before:
            changes.append(FileChange(change.path, change.before, after))
    if not changes:
        return None
    edits = patch.edits if tuple(changes) == patch.changes else ()
    return build(edits, changes, patch.base_commit)


def _applied(before: bytes, hunks: Sequence[Hunk]) -> bytes:
    lines = before.splitlines(keepends=True)
    made: list[bytes] = []
    at = 0
    for hunk in sorted(hunks, key=lambda one: (one.start, one.end)):
        made += [*lines[at : hunk.start], *(hunk.lines or ())]
        at = hunk.end
    return b"".join([*made, *lines[at:]])


def _parses(path: str, content: bytes | None) -> bool:
    """Whether a file of a kind we can read is whole; others are taken as they are."""
    readers: dict[str, Callable[[str], object]] = {
        ".py": syntax.parse_module,
        ".json": json.loads,
        ".toml": tomllib.loads,
    }
    reader = readers.get(path[path.rfind(".") :])
    if reader is None or content is None:
        return True
    try:
        reader(content.decode("utf-8"))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
