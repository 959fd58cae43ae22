"""Holds edits outside the places the diagnosis points to."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

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
        if beside := _beside(change, given.columns):
            message = "the diagnosis points to another part of this line"
            yield Remark("located_cause", Outcome.HOLD, message, change.path, beside)
        outside = [s for s in _change.changed_lines(change).spans if not _is_inside(s, places)]
        if outside:
            yield Remark(
                "located_cause",
                Outcome.HOLD,
                "the diagnosis does not point to these lines",
                change.path,
                outside[0][0],
            )


def _beside(change: FileChange, columns: tuple[tuple[str, int, int, int], ...]) -> int:
    """The first line that changes outside the parts that are located on it; 0: there is none."""
    before, after = _lines(change.before), _lines(change.after)
    for number, _ in _change.changed_lines(change).removed:
        parts = [(a, b) for path, line, a, b in columns if path == change.path and line == number]
        if not parts:
            continue
        if len(before) != len(after):  # nobody can say which line became which
            return number
        old, new = before[number - 1], after[number - 1]
        head = _common(old, new)
        tail = _common(old[head:][::-1], new[head:][::-1])
        is_inside = any(a <= head + 1 and len(old) - tail <= b for a, b in parts)
        if not is_inside or _paths(change.before) != _paths(change.after):
            return number
    return 0


def _common(left: str, right: str) -> int:
    """How many first characters two texts share."""
    pairs = enumerate(zip(left, right, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(left), len(right)))


def _paths(content: bytes | None) -> set[tuple[str, ...]]:
    """Key paths of a JSON text: what is put into a value must not end it and begin another."""
    try:
        waiting: list[tuple[tuple[str, ...], Any]] = [((), json.loads(_change.text(content)))]
    except (ValueError, RecursionError):
        return set()
    found = set()
    while waiting:
        keys, value = waiting.pop()
        found.add(keys)
        members = value.items() if isinstance(value, dict) else ()
        listed = enumerate(value) if isinstance(value, list) else ()
        waiting += [((*keys, str(key)), below) for key, below in (*members, *listed)]
    return found


def _lines(content: bytes | None) -> list[str]:
    return _change.text(content).removeprefix("\ufeff").splitlines()


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


def _on_one_line(prompt: str, number: int = 9, end: str = "}") -> GuardInput:
    """A file of one line, of which the prompt alone is located."""
    before, after = '{"p": "Be kind.", "n": 9}', f'{{"p": "{prompt}", "n": {number}{end}'
    change = FileChange("a.json", before.encode(), after.encode())
    located, part = (("a.json", 1, 1),), (("a.json", 1, 7, 16),)
    return GuardInput((change,), Path("/"), located, columns=part)


PASSES = [
    _given(10, located=()),
    _given(10, located=(("a.txt", 10, 10),)),
    _given(7, 15, located=(("a.txt", 10, 12),)),
    _given(30, located=(("a.txt", 0, 0),)),
    _on_one_line("Be kind. Be brief."),
]
REFUSED = [
    _given(10, located=(("b.txt", 10, 10),)),
    _given(20, located=(("a.txt", 10, 12),)),
    _given(10, 39, located=(("a.txt", 10, 12),)),
    _on_one_line("Be kind.", number=90),
    _on_one_line('x", "q": "Be kind.'),
    _on_one_line("Be kind. Be brief.", number=90),
    _on_one_line('Be kind.", "other": "x'),
    _on_one_line("Be kind.", end=',\n"b": 1}'),
]
