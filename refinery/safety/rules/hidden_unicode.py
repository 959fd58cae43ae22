"""Blocks characters a reviewer cannot see, and names that mix alphabets to look like others."""

import ast
import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from refinery.model.patch import FileChange
from refinery.model.verdict import Outcome, Remark
from refinery.ports import GuardInput
from refinery.safety import _change
from refinery.safety.untrusted import hidden_characters, is_needed_joiner

_MARKS = "\u061c\u200e\u200f"
"""Direction marks: needed now and then beside Arabic or Hebrew, harmless without embedding."""


def check(given: GuardInput) -> Iterable[Remark]:
    """One remark for each kind of invisible character a file gains.

    Joiners where a script needs them, and direction marks in text files, are held; the rest is
    blocked. Control characters other than newline, return, tab and form feed count as invisible.
    """
    for change in given.changes:
        yield from _characters(change)
        if _change.is_python(change.path):
            yield from _names(change)


def _characters(change: FileChange) -> Iterable[Remark]:
    before = Counter(kind for kind, _ in _found(_change.text(change.before), change.path))
    after: dict[tuple[str, Outcome], list[int]] = {}
    text = _change.text(change.after)
    for kind, offset in _found(text, change.path):
        after.setdefault(kind, []).append(offset)
    for (name, outcome), offsets in after.items():
        if len(offsets) > before[(name, outcome)]:
            line = text.count("\n", 0, offsets[-1]) + 1
            yield Remark("hidden_unicode", outcome, f"invisible: {name}", change.path, line)


def _found(text: str, path: str) -> Iterable[tuple[tuple[str, Outcome], int]]:
    is_text = _change.suffix(path) in _change.PROSE
    for offset, name in hidden_characters(text):
        is_mark = text[offset] in _MARKS and is_text
        is_fine = is_needed_joiner(text, offset) or is_mark
        yield (name, Outcome.HOLD if is_fine else Outcome.BLOCK), offset
    for offset, character in enumerate(text):
        if (character < " " and character not in "\n\r\t\f") or "\x7f" <= character <= "\x9f":
            yield (f"U+{ord(character):04X} CONTROL", Outcome.BLOCK), offset


def _names(change: FileChange) -> Iterable[Remark]:
    known = _identifiers(change.before)
    for name, line in _identifiers(change.after).items():
        if name not in known and len(scripts := _scripts(name)) > 1:
            mix = " and ".join(sorted(scripts))
            yield Remark(
                "hidden_unicode",
                Outcome.BLOCK,
                f"the name {name!a} mixes {mix}",
                change.path,
                line,
            )


def _identifiers(content: bytes | None) -> dict[str, int]:
    tree = _change.parsed(content or b"")
    found: dict[str, int] = {}
    for node in ast.walk(tree) if tree else ():
        for field in ("id", "attr", "name", "arg", "asname"):
            name = getattr(node, field, None)
            if isinstance(name, str) and not name.isascii():
                found.setdefault(name, getattr(node, "lineno", 1))
    return found


def _scripts(name: str) -> set[str]:
    return {unicodedata.name(c, "?").partition(" ")[0] for c in name if c.isalpha()}


def _given(path: str, before: str, after: str) -> GuardInput:
    return GuardInput((FileChange(path, before.encode(), after.encode()),), Path("/"))


PASSES = [
    _given("a.py", "x = 1\n", "x = 'é 中 👍'\n"),
    _given("a.md", "a\u200bb\n", "a\u200bb c\n"),
    _given("a.py", "x = 1\n", "größe = 1\n"),
    _given("a.md", "x\n", "\u0645\u0631\t\u05e9\u05dc\r\n"),
]
REFUSED = [
    _given("a.py", "x = 1\n", "x = 1  # \u202e}\n"),
    _given("a.md", "x\n", "x\u200b\n"),
    _given("a.md", "x\n", "x\U000e0041\n"),
    _given("a.md", "x\n", "x\x1b[31m\n"),
    _given("a.md", "x\n", "\u0645\u06cc\u200c\u062e\u0648\n"),
    _given("a.md", "x\n", "\u200f\u05e9\u05dc\n"),
    _given("a.py", "x = 1\n", "p\u0430ssword = 1\n"),
]
