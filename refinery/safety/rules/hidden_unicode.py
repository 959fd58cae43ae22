"""Blocks characters a reviewer cannot see, and names that mix alphabets to look like others."""

import ast
import re
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
        yield from _escaped(change)
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


def _escaped(change: FileChange) -> Iterable[Remark]:
    """Invisible characters a file spells as escapes, which what reads it turns into themselves."""
    known = _spelled(change.path, change.before)
    for name in sorted(_spelled(change.path, change.after) - known):
        yield Remark("hidden_unicode", Outcome.BLOCK, f"spells as an escape: {name}", change.path)


def _spelled(path: str, content: bytes | None) -> set[str]:
    if _change.suffix(path) not in (*_change.DATA, ".py", ".pyi", ".pyw"):
        return set()
    source = _change.text(content)
    plain = re.sub(r"\\\\", "", source)  # an escaped backslash begins no escape
    codes = re.findall(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))", plain)
    numbers = [int("".join(code), 16) for code in codes]
    read = "".join(chr(number) for number in numbers if number < 0x110000)
    read = read.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # joins the pairs
    found = {name for (name, _), _ in _found(read, path) if "JOINER" not in name}
    named = re.findall(r"\\N\{([A-Za-z0-9 -]{1,100})\}", plain)
    return found | {name for name in named if _is_hidden(name)}


def _is_hidden(name: str) -> bool:
    try:
        return bool(hidden_characters(unicodedata.lookup(name)))
    except KeyError:
        return False


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
    _given("a.py", "x = 1\n", r"x = '\u00e9 \\u202e \n'" + "\n"),
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
    _given("a.py", "x = 1\n", r"x = '\u202eteg'" + "\n"),
    _given("a.py", "x = 1\n", r"x = '\N{ZERO WIDTH SPACE}'" + "\n"),
    _given("a.py", "x = 1\n", r"x = '\x1b]52;c;AAAA'" + "\n"),
    _given("a.json", "{}\n", r'{"x": "\udb40\udc41"}' + "\n"),
]
